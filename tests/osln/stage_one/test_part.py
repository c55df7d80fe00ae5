"""Learning from patients who were reviewed in part: what is undecided weighs nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from osln.imaging.distance import zone_mask
from osln.imaging.lung_column import LungColumn
from osln.imaging.reviewed_part import UNKNOWN, ReviewedPart, known_voxels
from osln.imaging.transforms import Scaling
from osln.learning.losses import masked_loss
from osln.rows.experiments import PRESETS, SEGMENTERS
from osln.stage_one.sampling import PatchSampler
from osln.stage_one.training import train
from small.columns import small_column, tiny_preset
from small.parts import box_of


def in_part(column: LungColumn, undecided: int, rejected: int | None = None) -> LungColumn:
    """The column with one of its balls undecided, and perhaps another one rejected."""
    boxes = [
        np.array([box_of(column, ball)] if ball else []).reshape(-1, 2, 3) for ball in (rejected, undecided)
    ]
    nodes = np.where(np.isin(column.nodes, [undecided, rejected or undecided]), 0, column.nodes)
    return replace(column, nodes=nodes, known=known_voxels(ReviewedPart(*boxes), nodes, column.grid))


def sampler(column: LungColumn, name: str = "ct", **changes) -> PatchSampler:
    scaling = Scaling(pet_mean=1.0, pet_sd=2.0)
    return PatchSampler([column], SEGMENTERS[name], tiny_preset(**changes), scaling)


def marked(column: LungColumn) -> LungColumn:
    """The column with a CT that says where its voxels are known: 0 HU, else -100 HU."""
    return replace(column, ct_hu=np.where(column.known > UNKNOWN, 0, -100).astype(np.int16))


def test_the_loss_counts_where_it_is_known_what_is_there_and_nowhere_else():
    supply = sampler(marked(in_part(small_column(0), undecided=4, rejected=3)))
    for number in range(10):
        inputs, target, mask = supply.batch(number)
        assert np.array_equal(mask == 1, inputs == inputs.max())
        assert (target <= mask).all() and mask.reshape(4, -1).any(axis=1).all()


def test_zone_and_review_are_both_asked():
    column = in_part(small_column(0), undecided=1)
    inside = zone_mask(column.distance_mm, "distal") & (column.known > UNKNOWN)
    (index,) = {len(places) for places in sampler(column, "ct-distal")._known_places.values()}
    assert index == (inside & column.body).sum() > 0


def test_half_of_the_patches_lie_where_something_was_rejected_or_near_nodes():
    column = in_part(small_column(0, nodes=2), undecided=2)
    supply = sampler(column, batch=2)
    places = {tuple(place) for place in np.argwhere(column.known > UNKNOWN)}
    for number in range(30):
        rng = np.random.default_rng(number)
        assert tuple(int(along) for along in supply._anywhere(rng)[1]) in places


def test_a_column_smaller_than_a_patch_is_unknown_outside():
    column = in_part(small_column(0), undecided=4)
    _, _, mask = sampler(column, patch=(32, 32, 80)).batch(0)
    assert mask[0].sum() == (column.known > UNKNOWN).sum()


@pytest.mark.parametrize("said", [-8.0, 8.0])
def test_whatever_a_network_says_of_what_is_undecided_has_neither_loss_nor_gradient(said):
    column = in_part(small_column(0), undecided=4)
    whole = sampler(column, patch=(24, 24, 72), batch=1).batch(0)
    _, target, mask = (torch.from_numpy(array) for array in whole)
    torch.manual_seed(0)
    logits = torch.randn(target.shape)
    loss, dice = masked_loss(logits, target, mask, positive_weight=5.0)
    other = torch.where(mask == 0, torch.tensor(said), logits).requires_grad_()
    again, same_dice = masked_loss(other, target, mask, positive_weight=5.0)
    again.backward()
    assert again.item() == loss.item() and same_dice.item() == dice.item()
    # Neither as node (target 1 would pull up) nor as none (target 0 would pull down).
    assert (other.grad[mask == 0] == 0).all() and (other.grad[mask == 1] != 0).all()


def other_ball(column: LungColumn, ball: np.ndarray) -> LungColumn:
    """The column with other HU inside a ball."""
    return replace(column, ct_hu=np.where(ball, -60, column.ct_hu).astype(np.int16))


def weights(column: LungColumn) -> dict[str, torch.Tensor]:
    return train(SEGMENTERS["ct"], tiny_preset(), [column], iterations=4).state_dict


def test_trainings_are_the_same_whatever_an_undecided_ball_looks_like(monkeypatch):
    monkeypatch.setitem(PRESETS, "demo", tiny_preset())
    whole = small_column(0)
    # Balls 1 and 2 are nodes, 3 and 4 at the upper end are not decided: no patch of 16 voxels reaches them.
    ball = whole.nodes == 4
    nodes = np.where(np.isin(whole.nodes, [3, 4]), 0, whole.nodes)
    boxes = np.array([box_of(whole, 3), box_of(whole, 4)])
    part = ReviewedPart(np.zeros((0, 2, 3)), boxes)
    column = replace(whole, nodes=nodes, known=known_voxels(part, nodes, whole.grid))
    one, other = weights(column), weights(other_ball(column, ball))
    assert all(torch.equal(one[name], other[name]) for name in one)
    # The same label as a complete one says that the ball is no node: then it matters what it looks like.
    complete = replace(column, known=None)
    one, other = weights(complete), weights(other_ball(complete, ball))
    assert not all(torch.equal(one[name], other[name]) for name in one)
