"""The gated U-Net: which head has how much say where."""

import math

import pytest
import torch

from osln.networks.gated_unet import GATES, WIDTH_MM, Gate, GatedUNet

TWO = (10.0, -2.0)
"""What the proximal and the distal head say, wherever they are asked."""


def network(gate: str | Gate, said=TWO) -> GatedUNet:
    """Each head says one number, from the tumor outwards."""
    torch.manual_seed(0)
    asked = GATES[gate] if isinstance(gate, str) else gate
    built = GatedUNet(2, ((3, 3), (4, 4)), asked, distance=1, unit_mm=100.0).eval()
    with torch.no_grad():
        for name, logit in zip(asked.heads, said, strict=True):
            head = built.get_submodule(name)
            head[-1].weight.zero_()
            head[-1].bias.fill_(logit)
    return built


def shares(gate: str | Gate, distance_mm: float) -> list[float]:
    """What each head has to say at a distance: what comes out if it says 1 and the others 0."""
    heads = (GATES[gate] if isinstance(gate, str) else gate).heads
    return [asked(network(gate, [float(one == name) for one in heads]), distance_mm) for name in heads]


def asked(built: GatedUNet, distance_mm: float) -> float:
    images = torch.randn(1, 2, 4, 4, 4)
    images[:, 1] = distance_mm / 100
    with torch.inference_mode():
        found = built(images)
    assert found.shape == (1, 1, 4, 4, 4) and found.std() < 1e-5
    return found.mean().item()


@pytest.mark.parametrize(("distance_mm", "logit"), [(-5, 10), (69.9, 10), (70, 10), (70.1, -2), (100, -2)])
def test_a_hard_gate_asks_the_head_of_the_voxels_zone(distance_mm, logit):
    assert asked(network("hard"), distance_mm) == pytest.approx(logit)


def test_a_soft_gate_mixes_both_heads_around_the_border():
    built = network("soft")

    assert asked(built, 70) == pytest.approx(0.5 * 10 + 0.5 * -2, abs=1e-4)
    assert WIDTH_MM == 10
    share = 1 / (1 + math.exp(-1))
    assert asked(built, 60) == pytest.approx(share * 10 + (1 - share) * -2, abs=1e-3)
    assert asked(built, 80) == pytest.approx((1 - share) * 10 + share * -2, abs=1e-3)


def test_the_width_of_a_soft_gate_is_learned():
    built = network("soft")
    built(torch.full((1, 2, 4, 4, 4), 0.6)).sum().backward()
    assert built.log_width.grad.item() != 0
    with torch.no_grad():
        built.log_width.fill_(5.0)

    # So wide that both heads have half the say everywhere.
    assert asked(built, 60) == pytest.approx(4, abs=0.1)
    assert network("hard").log_width is None


def test_two_soft_strata_with_the_papers_border_are_the_soft_gate():
    torch.manual_seed(0)
    soft = GatedUNet(2, ((3, 3), (4, 4)), GATES["soft"], distance=1, unit_mm=100.0)
    torch.manual_seed(0)
    moving = Gate(("proximal", "distal"), (70.0,), soft=True, moving=True)
    strata = GatedUNet(2, ((3, 3), (4, 4)), moving, distance=1, unit_mm=100.0)
    images = torch.randn(1, 2, 4, 4, 4)

    assert set(strata.state_dict()) == {*soft.state_dict(), "shift"}
    assert torch.equal(strata(images), soft(images)) and soft.shift is None


def test_the_gate_of_the_row_has_four_strata_that_share_the_say():
    gate = GATES["strata"]
    assert len(gate.heads) == 4 and gate.borders_mm == (35, 70, 85) and gate.soft and gate.moving

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    first, second, third = (sigmoid((border - 60) / 10) for border in gate.borders_mm)
    by_hand = [first, (1 - first) * second, (1 - first) * (1 - second) * third]
    by_hand.append((1 - first) * (1 - second) * (1 - third))
    assert shares("strata", 60) == pytest.approx(by_hand, abs=1e-5)
    for distance_mm in (-10, 0, 34, 71, 84, 100):
        found = shares("strata", distance_mm)
        assert sum(found) == pytest.approx(1, abs=1e-5) and min(found) > 0
    assert shares("strata", -10)[0] > 0.98 and shares("strata", 100)[3] > 0.75


def test_shares_stay_shares_wherever_borders_and_widths_go():
    built = network("strata", (1.0, 1.0, 1.0, 1.0))
    only_second = network("strata", (0.0, 1.0, 0.0, 0.0))
    for one in (built, only_second):
        with torch.no_grad():
            # The first border lies behind the second, with a width of its own: nothing is left between them.
            one.shift.copy_(torch.tensor([5.0, -3.0, 0.0]))
            one.log_width.copy_(torch.tensor([-1.0, 1.0, 0.0]))

    assert asked(built, 60) == pytest.approx(1, abs=1e-5)
    # Borders at 85 and 40 mm: the first stratum has all but 1 / (1 + e^(25 / 3.68)) at 60 mm.
    left = 1 / (1 + math.exp(25 / (10 * math.exp(-1))))
    second = 1 / (1 + math.exp(20 / (10 * math.exp(1))))
    assert asked(only_second, 60) == pytest.approx(left * second, abs=1e-6)


def test_borders_and_widths_of_strata_are_learned_each_by_itself():
    built = network("strata", (3.0, 1.0, -1.0, -2.0))
    built(torch.full((1, 2, 4, 4, 4), 0.6)).sum().backward()

    assert (built.shift.grad > 0).all(), "an outer border further out is more of the nearer, larger numbers"
    assert (built.log_width.grad != 0).all() and len(built.log_width) == 3
    assert network("hard").shift is None
