import numpy as np
import pytest

from osln.active.gathering import MOST_WINDOWS, case_evidence, doubtful_windows
from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn
from osln.stage_one.candidates import Detections, find_candidates

GRID = Grid((40, 40, 40), np.diag([5.0, 5.0, 5.0, 1.0]))
"""Windows of 4 x 4 x 4 voxels, 2 voxels apart."""


def maps() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(GRID.shape, np.float32), np.zeros(GRID.shape, np.int32)


def test_a_window_of_even_odds_is_found_where_it_is():
    prob, labels = maps()
    prob[10:14, 20:24, 30:34] = 0.5
    (first, *others) = doubtful_windows(prob, labels, GRID)

    assert first.center_mm == pytest.approx((57.5, 107.5, 157.5))
    assert (first.size_mm, first.doubt, first.probability) == pytest.approx((20.0, 1.0, 0.5))
    assert others == []


def test_windows_that_touch_a_candidate_are_left_out():
    prob, labels = maps()
    prob[10:14, 20:24, 30:34] = 0.5
    prob[20, 20, 20] = 0.5
    labels[10:14, 20:24, 30:34] = 1
    (only,) = doubtful_windows(prob, labels, GRID)

    assert only.doubt == pytest.approx(1 / 64)
    assert only.probability == pytest.approx(0.5 / 64)


def test_where_all_is_sure_there_is_no_window_and_where_nothing_is_there_are_a_few_apart():
    assert doubtful_windows(*maps(), GRID) == ()
    prob, labels = maps()
    found = doubtful_windows(prob + np.float32(0.5), labels, GRID)

    assert len(found) == MOST_WINDOWS
    centers = np.array([one.center_mm for one in found])
    apart = np.abs(centers[:, None] - centers[None]).max(axis=2)[~np.eye(len(found), dtype=bool)]
    assert apart.min() >= 20.0


def test_a_column_smaller_than_a_window_has_one():
    small = Grid((2, 2, 2), np.diag([5.0, 5.0, 5.0, 1.0]))
    (only,) = doubtful_windows(np.full(small.shape, 0.5, np.float32), np.zeros(small.shape, int), small)

    assert only.doubt == pytest.approx(8 / 64)


def test_the_evidence_of_a_case_has_what_was_found_in_it():
    prob, _ = maps()
    prob[4:6, 4, 4], prob[20, 20, 20] = 0.8, 0.9
    prob[30:34, 30:34, 30:34] = 0.3
    column = LungColumn("other", GRID, prob, None, None, None, None, prob > 2)
    candidates, labels = find_candidates(prob, 0.5, column)
    streams = [{"ct": 0.9}, {"ct": 0.7, "ef": 0.8}]
    features = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    found = Detections("ct", 0.5, candidates, labels, prob, column, {}, streams=streams, features=features)
    evidence = case_evidence(found, "p1", "w1")

    assert (evidence.case, evidence.weights, evidence.operating_point) == ("p1", "w1", 0.5)
    first, second = evidence.candidates
    assert (first.candidate, second.candidate) == (1, 2)
    assert first.score == first.stage_one == pytest.approx(0.9)
    assert second.streams == {"ct": 0.7, "ef": 0.8}
    assert (first.stage_two, first.zone) == (None, "unknown")
    # Two voxels of 125 mm3: a sphere of 7.816 mm.
    assert second.size_mm == pytest.approx(7.816, abs=1e-3)
    assert second.features == (3.0, 4.0)
    assert [round(one.probability, 3) for one in evidence.windows] == [0.3]


def test_the_operating_point_is_that_of_stage_two_where_there_was_one():
    prob, labels = maps()
    column = LungColumn("p1", GRID, prob, None, None, None, None, prob > 2)
    found = Detections("osln", 0.5, [], labels, prob, column, {}, score_threshold=0.25)

    assert case_evidence(found, "p1", "w1").operating_point == 0.25
