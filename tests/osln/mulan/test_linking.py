"""Boxes of neighboring slices become chains: the best first, without gaps, each box once."""

import numpy as np
import pytest

from osln.mulan.linking import box_overlap, link_boxes


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
