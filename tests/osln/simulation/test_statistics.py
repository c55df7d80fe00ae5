"""Figures of runs, by hand."""

import math

import numpy as np
import pytest

from osln.simulation.statistics import (
    Curve,
    Ratio,
    arrivals,
    by_seed_and_patient,
    holm,
    mean_over_rounds,
    p_value,
    paired,
    ratio,
    reaches,
)

GRID = np.array([0.0, 10.0, 20.0])


def test_the_mean_over_rounds_leaves_the_start_out_and_is_taken_at_equal_decisions():
    curve = Curve(np.array([100.0, 120.0]), np.array([0.2, 0.6]))

    assert mean_over_rounds(curve, budget=10, rounds=2) == pytest.approx((0.4 + 0.6) / 2)


def test_a_run_with_nothing_left_to_ask_stays_where_it_is():
    assert Curve(np.array([0.0, 10.0]), np.array([0.1, 0.3])).at(np.array([50.0])) == 0.3


@pytest.mark.parametrize(
    ("target", "cost"), [(0.1, 0.0), (0.2, 0.0), (0.3, 5.0), (0.4, 10.0), (0.5, 15.0), (0.7, math.inf)]
)
def test_a_curve_reaches_a_value_between_its_points_or_never(target, cost):
    assert reaches(GRID, np.array([0.2, 0.4, 0.6]), target) == pytest.approx(cost)


def test_a_curve_that_falls_again_has_reached_it():
    assert reaches(GRID, np.array([0.0, 0.5, 0.2]), 0.5) == 10.0


def test_paired_differences_have_the_interval_of_student():
    found = paired([0.0, 0.2])

    # t of .975 with one degree of freedom is 12.706; the standard error of 0 and .2 is .1.
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1 - 1.2706, abs=1e-4)
    assert found.high == pytest.approx(0.1 + 1.2706, abs=1e-4)
    assert math.isnan(paired([0.3]).low)


def test_the_p_value_is_that_of_students_test():
    # One degree of freedom: p = 1 - 2 / pi * atan(t), t = 1.
    assert p_value([0.0, 0.2]) == pytest.approx(1 - 2 / math.pi * math.atan(1))
    assert p_value([0.0, 0.0]) == 1.0
    assert p_value([0.1]) == 1.0


def test_holm_multiplies_the_smallest_most_and_never_falls():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}
    assert holm({}) == {}


def test_an_arrival_counts_the_runs_and_resamples_that_never_arrive():
    values = np.array([[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]])
    found = arrivals(GRID, values, full=np.array([1.0, 1.0]), share=0.4)

    # The mean curve is 0, .25, .5; a resample of the second run alone is a quarter of all and never arrives.
    assert found.cost == pytest.approx(16.0)
    assert found.runs == 0.5
    assert found.never == pytest.approx(0.25, abs=0.03)
    assert found.low == pytest.approx(8.0)
    assert math.isinf(found.high)


def test_a_ratio_is_infinite_where_only_the_arm_never_arrives():
    up, flat = np.array([[0.0, 0.5, 1.0]]), np.array([[0.0, 0.0, 0.0]])
    slow = np.array([[0.0, 0.25, 0.5]])
    full = np.array([1.0])

    assert ratio(GRID, up, GRID, slow, full, 0.5).value == pytest.approx(0.5)
    assert math.isinf(ratio(GRID, flat, GRID, up, full, 0.5).value)


def test_a_ratio_is_an_upper_bound_where_only_the_other_never_arrives():
    up, flat, full = np.array([[0.0, 0.5, 1.0]]), np.array([[0.0, 0.0, 0.0]]), np.array([1.0])
    slow = np.array([[0.0, 0.25, 0.5]])

    # What never arrives in 20 takes more than 20: the true ratio is below 10 / 20, and nobody knows how far.
    assert ratio(GRID, up, GRID, flat, full, 0.5) == Ratio(0.5, 0.0, 0.5, at_most=True)
    assert ratio(GRID, up, GRID, slow, full, 0.5) == Ratio(0.5, 0.5, 0.5, at_most=False)
    # Of two that never arrive nothing is known.
    assert ratio(GRID, flat, GRID, flat, full, 0.5) == Ratio(math.inf, 0.0, math.inf, at_most=False)
    assert ratio(GRID, flat, GRID, up, full, 0.5).low == math.inf


def test_a_ratio_begins_at_0_where_resamples_of_the_other_never_arrive():
    up, full = np.array([[0.0, 0.5, 1.0]] * 2), np.array([1.0, 1.0])
    some = np.array([[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]])
    found = ratio(GRID, up, GRID, some, full, 0.4)

    # The mean curve of the other has .4 at 16, the arm at 8; a quarter of the resamples never has it.
    assert (found.value, found.low, found.at_most) == (pytest.approx(0.5), 0.0, False)


def test_seeds_and_patients_both_widen_the_interval():
    differences = np.array([0.0, 0.2])
    still = np.repeat(differences[:, None], 4, axis=1)
    # All patients alike: Student's t over seeds.
    found, student = by_seed_and_patient(differences, still), paired([0.0, 0.2])
    assert (found.low, found.high) == pytest.approx((student.low, student.high))

    # All seeds alike: the spread over patients, times t of one degree of freedom.
    spread = np.array([[0.0, 0.2, math.nan]] * 2)
    found = by_seed_and_patient(np.array([0.1, 0.1]), spread)
    assert (found.value, found.high) == (pytest.approx(0.1), pytest.approx(0.1 + 12.706 * 0.1, abs=1e-3))
    assert math.isnan(by_seed_and_patient(np.array([0.3]), np.zeros((1, 5))).low)
    assert math.isnan(by_seed_and_patient(differences, np.full((2, 3), math.nan)).low)


@pytest.mark.parametrize("seeds", [2, 4, 16])
def test_an_interval_over_few_seeds_holds_the_truth_as_often_as_it_says(seeds):
    rng = np.random.default_rng(seeds)
    inside = 0
    for _ in range(400):
        # Patients are shared by the seeds: what they add is the same in all.
        own, shared = rng.normal(0, 1, seeds), rng.normal(0, 0.5)
        differences = own + shared
        resampled = differences[:, None] + rng.normal(0, 0.5, 60)
        found = by_seed_and_patient(differences, resampled)
        inside += found.low <= 0 <= found.high
    assert inside / 400 > 0.93
