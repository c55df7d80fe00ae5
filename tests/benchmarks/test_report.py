"""Candidates of two sides of the benchmark are compared one by one."""

import numpy as np

from benchmarks.report import compare


def side(labels: list[int], scores: list[float], prob: list[float] | None = None) -> dict[str, np.ndarray]:
    """A side whose field is one line of voxels."""
    line = np.array(labels).reshape(-1, 1, 1)
    return {
        "labels": line,
        "scores": np.array(scores),
        "prob": np.array(prob or [0.0] * len(labels), dtype=float).reshape(line.shape),
    }


def test_the_same_candidates_in_another_order_are_the_same():
    result = compare(side([1, 1, 0, 2], [0.9, 0.8]), side([2, 2, 0, 1], [0.75, 0.9]))

    assert result["same_candidates"] is True
    assert (result["equal"], result["differing"]) == (2, 0)
    assert result["voxels_changed"] == 0
    assert abs(result["score_difference"] - 0.05) < 1e-12


def test_a_voxel_more_makes_a_candidate_differ_but_leaves_it_the_same_one():
    result = compare(
        side([1, 1, 0, 0], [0.9], [0.9, 0.9, 0.4, 0]), side([1, 1, 1, 0], [0.7], [0.9, 0.9, 0.6, 0])
    )

    assert result["same_candidates"] is True
    assert (result["equal"], result["differing"], result["voxels_changed"]) == (0, 1, 1)
    assert abs(result["probability_difference"] - 0.2) < 1e-12


def test_a_candidate_without_counterpart_is_counted_on_its_side():
    result = compare(side([1, 0, 2, 0], [0.9, 0.8]), side([1, 0, 0, 0], [0.9]))

    assert result["same_candidates"] is False
    assert (result["without_counterpart"], result["peer_without_counterpart"]) == (1, 0)


def test_one_candidate_that_the_other_side_splits_is_not_the_same():
    result = compare(side([1, 1, 1], [0.9]), side([1, 0, 2], [0.9, 0.8]))

    assert result["same_candidates"] is False
    assert (result["without_counterpart"], result["peer_without_counterpart"]) == (0, 0)


def test_no_candidates_on_both_sides_are_the_same():
    result = compare(side([0, 0], []), side([0, 0], []))

    assert result["same_candidates"] is True
    assert result["candidates"] == result["peer_candidates"] == 0
