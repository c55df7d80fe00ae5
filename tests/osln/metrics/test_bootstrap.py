from dataclasses import replace

import numpy as np
import pytest

from osln.metrics.bootstrap import (
    CANDIDATE_METRICS,
    METRICS,
    candidate_distributions,
    distribution,
    resamples,
)
from osln.metrics.definitions import Counts, macro_curves
from osln.metrics.intervals import interval_cell, plain_interval, verdict
from small.scored import PATIENTS, f1_at


def cohort(found: list[int], nodes: int = 2) -> Counts:
    """Patients with one threshold, one false prediction each and the given numbers of found nodes."""
    hits = np.array(found)[:, None]
    return Counts(hits, np.ones_like(hits), hits, np.full(len(found), nodes), np.array([0.5]))


def recall_of(recall, precision):
    return recall[..., 0]


def test_every_resample_has_as_many_patients_as_the_cohort_and_is_repeatable():
    weights = resamples(7, draws=50, seed=3)
    assert weights.shape == (50, 7) and (weights.sum(axis=1) == 7).all()
    assert np.array_equal(weights, resamples(7, draws=50, seed=3))
    assert not np.array_equal(weights, resamples(7, draws=50, seed=4))


def test_the_draws_are_what_a_loop_over_patients_gives():
    counts = cohort([0, 1, 2, 2])
    weights = resamples(4, draws=20)
    drawn = distribution([counts], recall_of, weights).draws
    for row, value in zip(weights, drawn, strict=True):
        assert value == pytest.approx(np.average([0, 0.5, 1, 1], weights=row))


def test_identical_patients_leave_an_interval_of_no_width():
    interval = distribution([cohort([1, 1, 1])], METRICS["mean_recall"], resamples(3)).interval()
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.5, 0.5, 0.5))


def test_seeds_are_averaged_inside_each_resample():
    weights = resamples(3, draws=10)
    both = distribution([cohort([0, 1, 2]), cohort([2, 2, 2])], recall_of, weights)
    first = distribution([cohort([0, 1, 2])], recall_of, weights)
    assert both.per_seed.tolist() == pytest.approx([0.5, 1.0]) and both.value == pytest.approx(0.75)
    assert both.draws == pytest.approx((first.draws + 1) / 2)


def test_a_paired_difference_knows_more_than_two_single_intervals():
    weights = resamples(6)
    better = distribution([cohort([1, 2, 1, 2, 1, 2])], recall_of, weights)
    worse = distribution([cohort([0, 1, 0, 1, 0, 1])], recall_of, weights)
    difference = (better - worse).interval()
    assert difference.value == pytest.approx(0.5) and difference.low == pytest.approx(0.5)
    assert not difference.low <= 0 <= difference.high and better.interval().low < worse.interval().high + 0.5


def test_a_row_minus_itself_is_zero():
    row = distribution([cohort([0, 1, 2])], METRICS["recall"], resamples(3))
    zero = (row - row).interval()
    assert (zero.value, zero.low, zero.high) == (0, 0, 0)


def test_resamples_without_a_node_are_left_out_of_the_interval():
    counts = Counts(
        np.array([[1], [0]]), np.array([[0], [1]]), np.array([[1], [0]]), np.array([1, 0]), np.array([0.5])
    )
    weights = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    row = distribution([counts], METRICS["recall"], weights)
    assert np.isnan(row.draws[1]) and row.interval().low == 1.0
    assert macro_curves(counts)[0].tolist() == [1.0]


def test_differences_of_other_resamples_and_empty_cohorts_are_refused():
    row = distribution([cohort([1, 2])], recall_of, resamples(2, draws=5))
    other = distribution([cohort([1, 2])], recall_of, resamples(2, draws=6))
    with pytest.raises(ValueError, match="same resamples"):
        row - other
    with pytest.raises(ValueError, match="at least one"):
        resamples(0)


def test_rows_of_candidates_average_their_seeds_each_at_its_own_threshold():
    weights = resamples(5, draws=50)
    other = [replace(one, scores=one.scores / 2) for one in PATIENTS]
    found = candidate_distributions([PATIENTS, other], [0.5, 0.25], weights)
    # Halving scores and threshold changes no order, hence no figure.
    alone = candidate_distributions([PATIENTS], [0.5], weights)
    for name in CANDIDATE_METRICS:
        assert found[name].per_seed.tolist() == pytest.approx(alone[name].per_seed.tolist() * 2)
        assert np.array_equal(found[name].draws, alone[name].draws, equal_nan=True)
    apart = candidate_distributions([PATIENTS, other], [0.5, np.nan], weights)["f1_chosen"]
    assert apart.per_seed.tolist() == pytest.approx([f1_at(PATIENTS, 0.5), 0])
    assert apart.value == pytest.approx(f1_at(PATIENTS, 0.5) / 2)


def test_where_no_resample_has_a_node_there_is_no_interval():
    nothing = distribution([cohort([0, 0], nodes=0)], METRICS["recall"], resamples(2)).interval()
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


def test_one_patient_says_nothing_of_others():
    one = distribution([cohort([1])], recall_of, resamples(1, draws=20))
    assert one.value == 0.5 and np.isnan(one.draws).all() and np.isnan(one.interval().low)
    found = candidate_distributions([PATIENTS[:1]], [0.5], resamples(1, draws=20))
    assert all(np.isnan(figure.draws).all() for figure in found.values())
    entry = plain_interval(one - one)
    assert verdict(entry) == verdict({"low": None, "high": None}) == "not shown: no interval"
    assert interval_cell(entry) == "0.000 [no interval] / 0.000"


def test_cases_of_one_patient_are_drawn_together():
    weights = resamples(["a", "b", "a", "c"], draws=50)
    assert np.array_equal(weights, resamples(3, draws=50)[:, [0, 1, 0, 2]])
    assert np.array_equal(resamples(["z", "a", "k"], draws=50), resamples(3, draws=50))
    counts = cohort([0, 1, 2, 2])
    drawn = distribution([counts], recall_of, weights).draws
    for row, value in zip(weights, drawn, strict=True):
        assert value == pytest.approx(np.average([0, 0.5, 1, 1], weights=row))


def test_several_cases_of_one_patient_say_nothing_of_others():
    one = distribution([cohort([0, 1, 2])], recall_of, resamples(["a"] * 3, draws=20))
    assert one.value == pytest.approx(0.5) and np.isnan(one.draws).all()
