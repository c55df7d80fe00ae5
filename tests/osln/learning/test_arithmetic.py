import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from osln.learning.arithmetic import learning_rate
from osln.learning.losses import candidate_loss, masked_loss
from osln.weights import devices
from osln.weights.devices import bf16_is_fast, bf16_is_sound

LOGITS = torch.tensor([0.0, 0.0, 2.0, -2.0]).reshape(1, 1, 4, 1, 1)
TARGET = torch.tensor([1.0, 0.0, 1.0, 0.0]).reshape(1, 1, 4, 1, 1)


def test_loss_of_two_voxels_inside_the_mask_by_hand():
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 4, 1, 1)
    loss, dice = masked_loss(LOGITS, TARGET, mask, positive_weight=20.0)
    # Both sigmoids are .5: Dice (2 * .5 + 1) / (1 + 1 + 1); cross-entropy (20 + 1) * ln 2 over two voxels.
    assert dice.item() == pytest.approx(1 - 2 / 3)
    assert loss.item() == pytest.approx(1 - 2 / 3 + 21 * math.log(2) / 2)


def test_voxels_outside_the_mask_have_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 4, 1, 1)
    masked_loss(logits, TARGET, mask, 20.0)[0].backward()
    gradient = logits.grad.ravel()
    assert (gradient[:2] != 0).all() and (gradient[2:] == 0).all()


def test_the_loss_of_several_maps_is_the_mean_of_theirs():
    mask = torch.ones_like(TARGET)
    maps = torch.cat([LOGITS, 2 * LOGITS, -LOGITS], dim=1)

    loss, dice = masked_loss(maps, TARGET, mask, 20.0)

    pairs = [masked_loss(one, TARGET, mask, 20.0) for one in (LOGITS, 2 * LOGITS, -LOGITS)]
    assert loss.item() == pytest.approx(sum(one.item() for one, _ in pairs) / 3)
    assert dice.item() == pytest.approx(sum(one.item() for _, one in pairs) / 3)


def test_candidates_that_are_neither_a_node_nor_none_cost_nothing():
    logits = torch.tensor([0.0, 0.0, 5.0])
    weight = torch.tensor(3.0)

    loss = candidate_loss(logits, torch.tensor([1.0, 0.0, -1.0]), weight)

    # Each ln 2, the node three times.
    assert loss.item() == pytest.approx((3 + 1) * math.log(2) / 2)
    assert candidate_loss(logits, torch.tensor([-1.0, -1.0, -1.0]), weight).item() == 0.0


def test_a_perfect_answer_costs_nearly_nothing():
    logits = (TARGET * 2 - 1) * 30
    assert masked_loss(logits, TARGET, torch.ones_like(TARGET), 20.0)[0].item() == pytest.approx(0, abs=1e-6)


def test_an_empty_mask_gives_a_loss_without_gradient():
    logits = LOGITS.clone().requires_grad_()
    loss, _ = masked_loss(logits, TARGET, torch.zeros_like(TARGET), 20.0)
    loss.backward()
    assert loss.item() == 0.0 and (logits.grad == 0).all()


def test_the_learning_rate_is_constant_for_half_and_ends_at_2_percent():
    rates = [learning_rate(1.0, i, 10) for i in range(10)]
    assert rates[:6] == [1.0] * 6
    assert rates[-1] == pytest.approx(0.02)
    steps = [a - b for a, b in pairwise(rates[5:])]
    assert steps == pytest.approx([0.245] * 4)


def test_a_training_of_one_step_has_a_learning_rate():
    assert learning_rate(0.5, 0, 1) == 0.5


def test_bf16_is_used_only_on_devices_that_have_it():
    assert bf16_is_fast(torch.device("meta")) is False
    assert isinstance(bf16_is_fast(torch.device("cpu")), bool)


class Halvings(nn.Module):
    """So many halvings of a map, then a convolution."""

    def __init__(self, halvings: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.MaxPool3d(2) for _ in range(halvings))
        self.conv = nn.Conv3d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for pool in self.pools:
            x = pool(x)
        return self.conv(x)


def test_a_network_of_maps_two_voxels_wide_learns_in_single_precision_on_a_cpu(monkeypatch):
    x, cpu = torch.zeros(1, 1, 16, 16, 16), torch.device("cpu")
    monkeypatch.setattr(devices, "bf16_is_fast", lambda device: True)
    sound = {}
    for halvings in (2, 3, 4):
        network = Halvings(halvings).train()
        sound[halvings] = bf16_is_sound(cpu, network, lambda network=network: network(x))
        assert network.training and not network.conv._forward_pre_hooks
    # Maps of 4, 2 and 1 voxels.
    assert sound == {2: True, 3: False, 4: True}
    monkeypatch.setattr(devices, "bf16_is_fast", lambda device: False)
    assert not bf16_is_sound(cpu, Halvings(2), lambda: None)
