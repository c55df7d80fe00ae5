"""Losses of both stages by hand."""

import math

import pytest
import torch

from osln.learning.losses import candidate_loss, masked_loss

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


def test_the_overlap_is_asked_of_nodes_alone():
    logits = torch.zeros(3, 2, requires_grad=True)
    truth = torch.tensor([[1.0, 0.8], [0.0, 0.0], [-1.0, float("nan")]])

    loss = candidate_loss(logits, truth, torch.tensor(3.0))
    loss.backward()

    # A node or none as above; a sigmoid of .5 costs ln 2 whatever the overlap is, and is too low for .8.
    assert loss.item() == pytest.approx((3 + 1) * math.log(2) / 2 + math.log(2))
    assert logits.grad[0].tolist() == pytest.approx([-3 * 0.5 / 2, 0.5 - 0.8])
    assert logits.grad[1].tolist() == pytest.approx([0.5 / 2, 0])
    assert logits.grad[2].tolist() == [0, 0]


def test_the_loss_of_the_overlap_is_least_at_the_overlap():
    truth = torch.tensor([[1.0, 0.8]])
    logits = torch.tensor([[0.0, math.log(0.8 / 0.2)]], requires_grad=True)

    candidate_loss(logits, truth, torch.tensor(1.0)).backward()

    assert logits.grad[0, 1].item() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("truth", [[[0.0, 0.0]], [[-1.0, float("nan")]]])
def test_without_a_node_the_overlap_costs_nothing(truth):
    logits = torch.ones(1, 2, requires_grad=True)

    loss = candidate_loss(logits, torch.tensor(truth), torch.tensor(1.0))
    loss.backward()

    assert logits.grad[0, 1].item() == 0
    assert loss.item() == pytest.approx(math.log(1 + math.e) if truth[0][0] == 0 else 0)


def test_a_perfect_answer_costs_nearly_nothing():
    logits = (TARGET * 2 - 1) * 30
    assert masked_loss(logits, TARGET, torch.ones_like(TARGET), 20.0)[0].item() == pytest.approx(0, abs=1e-6)


def test_an_empty_mask_gives_a_loss_without_gradient():
    logits = LOGITS.clone().requires_grad_()
    loss, _ = masked_loss(logits, TARGET, torch.zeros_like(TARGET), 20.0)
    loss.backward()
    assert loss.item() == 0.0 and (logits.grad == 0).all()
