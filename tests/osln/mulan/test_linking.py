"""Boxes of neighboring slices become chains, each box once; the more certain chain is painted first."""

import numpy as np
import pytest

from osln.mulan.linking import box_overlap, box_voxels, link_boxes, paint_chains

FULL = np.ones((28, 28), np.float32)


def chains(
    *rows: tuple[int, tuple[float, float, float, float], float], least: float = 0.5
) -> list[list[int]]:
    """Chains of rows (slice, box, score)."""
    z, boxes, scores = zip(*rows, strict=True)
    return [chain.tolist() for chain in link_boxes(np.array(z), np.array(boxes), np.array(scores), least)]


def test_overlap_is_shared_over_joint_area():
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]], dtype=float)

    assert box_overlap(np.array([0.0, 0, 10, 10]), others).tolist() == pytest.approx([1, 50 / 150, 0, 0])


def test_a_chain_grows_upwards_and_downwards_from_its_best_box():
    box = (0, 0, 10, 10)

    assert chains((4, box, 0.3), (5, box, 0.9), (6, box, 0.5), (7, box, 0.1)) == [[1, 2, 3, 0]]


def test_a_gap_of_one_slice_ends_a_chain():
    box = (0, 0, 10, 10)

    assert chains((1, box, 0.9), (2, box, 0.5), (4, box, 0.8)) == [[0, 1], [2]]


def test_boxes_that_overlap_too_little_are_not_linked():
    # IoU 50 / 150.
    rows = ((1, (0, 0, 10, 10), 0.9), (2, (5, 0, 15, 10), 0.8))

    assert chains(*rows) == [[0], [1]]
    assert chains(*rows, least=0.3) == [[0, 1]]


def test_a_chain_follows_a_node_that_drifts():
    # Each box overlaps the next by 80 / 120, the first and the last by 60 / 140.
    drift = [(k, (2.0 * k, 0, 10 + 2.0 * k, 10), 0.9 - 0.1 * k) for k in range(3)]

    assert chains(*drift) == [[0, 1, 2]]


def test_of_two_boxes_the_one_that_overlaps_more_is_taken_and_the_other_starts_anew():
    assert chains((1, (0, 0, 10, 10), 0.9), (2, (2, 0, 12, 10), 0.8), (2, (1, 0, 11, 10), 0.1)) == [
        [0, 2],
        [1],
    ]


def test_a_box_belongs_to_the_chain_of_the_better_start():
    rows = ((1, (0, 0, 10, 10), 0.7), (1, (2, 0, 12, 10), 0.9), (2, (1, 0, 11, 10), 0.1))

    assert chains(*rows) == [[1, 2], [0]]


def test_of_equal_scores_the_first_leads_and_nothing_gives_no_chain():
    box = (0, 0, 10, 10)

    assert chains((3, box, 0.5), (3, box, 0.5)) == [[0], [1]]
    assert link_boxes(np.zeros(0, int), np.zeros((0, 4)), np.zeros(0)) == []


def voxels(box: tuple[float, float, float, float], mask: np.ndarray, shape=(20, 20)) -> set[tuple[int, int]]:
    return {(int(x), int(y)) for x, y in zip(*box_voxels(np.array(box), mask, shape), strict=True)}


def test_a_full_mask_paints_the_voxels_whose_center_the_box_holds():
    assert voxels((2.0, 3.0, 4.0, 5.0), FULL) == {(2, 3), (3, 3), (2, 4), (3, 4)}
    # The centers 2.5 and 4.5 lie outside 2.6 to 4.4 along x.
    assert voxels((2.6, 3.0, 4.4, 4.0), FULL) == {(3, 3)}


def test_rows_of_the_mask_run_along_y_and_columns_along_x():
    right = np.zeros((28, 28), np.float32)
    right[:, 14:] = 1
    high = right.T

    assert voxels((0.0, 0.0, 4.0, 2.0), right) == {(2, 0), (3, 0), (2, 1), (3, 1)}
    assert voxels((0.0, 0.0, 2.0, 4.0), high) == {(0, 2), (1, 2), (0, 3), (1, 3)}


def test_an_empty_mask_or_a_box_between_centers_leaves_the_voxel_in_the_middle():
    assert voxels((4.0, 6.0, 9.0, 9.0), np.zeros((28, 28), np.float32)) == {(6, 7)}
    assert voxels((4.6, 6.0, 5.2, 7.0), FULL) == {(4, 6)}


def test_a_box_beyond_the_slice_is_cut():
    assert voxels((18.0, -3.0, 25.0, 1.0), FULL) == {(18, 0), (19, 0)}


def test_a_chain_is_the_union_of_its_slices():
    boxes = np.array([[0, 0, 2, 1], [0, 0, 1, 1]], dtype=float)
    labels, painted = paint_chains(
        [np.array([0, 1])], np.array([2, 3]), boxes, np.stack([FULL] * 2), (4, 4, 5)
    )

    assert {tuple(at) for at in np.argwhere(labels == 1)} == {(0, 0, 2), (1, 0, 2), (0, 0, 3)}
    assert painted.tolist() == [0] and labels.dtype == np.int32


def test_the_earlier_chain_keeps_shared_voxels_and_one_without_any_gets_no_label():
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 1], [1, 0, 3, 2]], dtype=float)
    chains = [np.array([0]), np.array([1]), np.array([2])]
    labels, painted = paint_chains(chains, np.zeros(3, int), boxes, np.stack([FULL] * 3), (4, 4, 1))

    assert labels[:, :2, 0].tolist() == [[1, 1], [1, 1], [2, 2], [0, 0]]
    assert painted.tolist() == [0, 2]


def test_no_chain_gives_an_empty_map():
    labels, painted = paint_chains([], np.zeros(0, int), np.zeros((0, 4)), np.zeros((0, 28, 28)), (2, 3, 4))

    assert labels.shape == (2, 3, 4) and not labels.any() and len(painted) == 0
