"""The gated U-Net: which head has how much say where."""

import math

import pytest
import torch

from osln.networks.gated_unet import WIDTH_MM, GatedUNet


def network(*, soft: bool) -> GatedUNet:
    """The proximal head says 10, the distal one -2, wherever they are asked."""
    torch.manual_seed(0)
    built = GatedUNet(2, ((3, 3), (4, 4)), distance=1, border=0.7, unit_mm=100.0, soft=soft).eval()
    with torch.no_grad():
        for head, logit in ((built.proximal, 10.0), (built.distal, -2.0)):
            head[-1].weight.zero_()
            head[-1].bias.fill_(logit)
    return built


def asked(built: GatedUNet, distance_mm: float) -> float:
    images = torch.randn(1, 2, 4, 4, 4)
    images[:, 1] = distance_mm / 100
    with torch.inference_mode():
        found = built(images)
    assert found.shape == (1, 1, 4, 4, 4) and found.std() < 1e-5
    return found.mean().item()


@pytest.mark.parametrize(("distance_mm", "logit"), [(-5, 10), (69.9, 10), (70, 10), (70.1, -2), (100, -2)])
def test_a_hard_gate_asks_the_head_of_the_voxels_zone(distance_mm, logit):
    assert asked(network(soft=False), distance_mm) == pytest.approx(logit)


def test_a_soft_gate_mixes_both_heads_around_the_border():
    built = network(soft=True)

    assert asked(built, 70) == pytest.approx(0.5 * 10 + 0.5 * -2, abs=1e-4)
    assert WIDTH_MM == 10
    share = 1 / (1 + math.exp(-1))
    assert asked(built, 60) == pytest.approx(share * 10 + (1 - share) * -2, abs=1e-3)
    assert asked(built, 80) == pytest.approx((1 - share) * 10 + share * -2, abs=1e-3)


def test_the_width_of_a_soft_gate_is_learned():
    built = network(soft=True)
    built(torch.full((1, 2, 4, 4, 4), 0.6)).sum().backward()
    assert built.log_width.grad.item() != 0
    with torch.no_grad():
        built.log_width.fill_(5.0)

    # So wide that both heads have half the say everywhere.
    assert asked(built, 60) == pytest.approx(4, abs=0.1)
    assert network(soft=False).log_width is None
