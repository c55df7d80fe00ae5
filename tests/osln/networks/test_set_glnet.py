"""GLNet over the set: a candidate's score depends on the others, not on their order."""

import pytest
import torch

from osln.networks.glnet import GLNet
from osln.networks.set_glnet import SetGLNet
from osln.rows.presets import SetAttention

KNOWN = 3


def network() -> SetGLNet:
    torch.manual_seed(0)
    built = SetGLNet(GLNet(0, (), 4, KNOWN), SetAttention(width=8, heads=2, layers=1, dropout=0.0))
    return built.eval()


def related() -> SetGLNet:
    built = network()
    torch.nn.init.normal_(built.relation.weight)
    return built


def test_before_training_the_scores_are_glnets_own():
    known = torch.randn(5, KNOWN)

    torch.testing.assert_close(network()(None, None, known), network().glnet(None, None, known))


def test_a_candidates_score_depends_on_the_others():
    known = torch.randn(5, KNOWN)
    other = known.clone()
    other[4] += 3

    assert (related()(None, None, known)[:4] - related()(None, None, other)[:4]).abs().min() > 1e-5


def test_the_order_of_the_candidates_does_not_matter():
    known, order = torch.randn(5, KNOWN), torch.tensor([3, 0, 4, 1, 2])

    torch.testing.assert_close(related()(None, None, known)[order], related()(None, None, known[order]))


@pytest.mark.parametrize("count", [1, 70])
def test_any_number_of_candidates_is_judged(count):
    assert related()(None, None, torch.randn(count, KNOWN)).shape == (count,)


def test_number_of_weights_by_hand():
    attention = (3 * 8 * 8 + 3 * 8) + (8 * 8 + 8)
    feed_forward = (8 * 16 + 16) + (16 * 8 + 8)
    layer = attention + feed_forward + 2 * 2 * 8
    score, token, relation = KNOWN + 1, KNOWN * 8 + 8, 8 + 1

    assert sum(weight.numel() for weight in network().parameters()) == score + token + layer + relation
