"""GLNet with predicted overlap: the score is a product, and both outputs learn."""

import math

import pytest
import torch

from osln.learning.losses import candidate_loss
from osln.networks.glnet import GLNet
from osln.networks.quality_glnet import QualityGLNet

KNOWN = 3


def network() -> QualityGLNet:
    torch.manual_seed(0)
    return QualityGLNet(GLNet(0, (), 4, KNOWN)).eval()


def saying(node: float, overlap: float) -> QualityGLNet:
    """Probability and overlap that it gives to every candidate."""
    built = network()
    with torch.no_grad():
        for layer, share in ((built.glnet.score, node), (built.overlap, overlap)):
            layer.weight.zero_()
            layer.bias.fill_(math.log(share / (1 - share)))
    return built


@pytest.mark.parametrize(("node", "overlap"), [(0.8, 0.5), (0.5, 0.5), (0.999, 0.3), (0.01, 0.02)])
def test_the_score_is_the_product(node, overlap):
    scores = torch.sigmoid(saying(node, overlap)(None, None, torch.randn(4, KNOWN)))

    assert scores.tolist() == pytest.approx([node * overlap] * 4, rel=1e-5)


def test_a_score_near_0_or_1_stays_a_number():
    built = network()
    with torch.no_grad():
        for bias, expected in ((200.0, 1.0), (-200.0, 0.0)):
            built.glnet.score.bias.fill_(bias)
            built.overlap.bias.fill_(bias)
            assert torch.sigmoid(built(None, None, torch.zeros(1, KNOWN))).item() == expected


def test_in_training_both_outputs_are_given():
    built = network().train()
    given = built(None, None, torch.zeros(5, KNOWN))

    assert given.shape == (5, 2)
    assert given[0].tolist() == pytest.approx([built.glnet.score.bias.item(), built.overlap.bias.item()])


def test_a_gradient_reaches_both_outputs():
    built = network().train()
    truth = torch.tensor([[1.0, 0.7], [0.0, 0.0]])

    candidate_loss(built(None, None, torch.randn(2, KNOWN)), truth, torch.tensor(1.0)).backward()

    assert all((weight.grad != 0).all() for weight in (built.glnet.score.weight, built.overlap.weight))


def test_number_of_weights_by_hand():
    assert sum(weight.numel() for weight in network().parameters()) == 2 * (KNOWN + 1)
