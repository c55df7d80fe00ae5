import numpy as np
import pytest

from osln.metrics.criteria import AVERAGINGS
from osln.metrics.definitions import (
    Counts,
    macro_curves,
    mean_recall,
    operating_index,
    operating_thresholds,
    recall_at_precision,
    stage_one,
)
from osln.metrics.sweep import Sweep


def counts(*patients: tuple[list[int], list[int], list[int], int]) -> Counts:
    """Counts from (true predictions, false predictions, hit nodes, nodes) of each patient."""
    sweeps = [Sweep(np.array(t), np.array(f), np.array(h), n) for t, f, h, n in patients]
    return Counts.of(sweeps, np.linspace(0.1, 0.9, len(patients[0][0])))


TWO = counts(([2, 1], [2, 0], [2, 1], 2), ([1, 0], [9, 0], [1, 0], 4))


def test_recall_and_precision_are_averages_over_patients():
    recall, precision = macro_curves(TWO)
    # First threshold: recalls 1 and 1/4, precisions 1/2 and 1/10. Second: one patient has no prediction.
    assert recall.tolist() == pytest.approx([0.625, 0.25])
    assert precision.tolist() == pytest.approx([0.3, 1.0])


def test_recall_leaves_out_patients_without_nodes_and_precision_those_without_predictions():
    with_empty = counts(([1], [1], [1], 1), ([0], [3], [0], 0), ([0], [0], [0], 2))
    recall, precision = macro_curves(with_empty)
    assert recall.tolist() == pytest.approx([0.5]) and precision.tolist() == pytest.approx([0.25])
    figures = stage_one(with_empty)
    assert figures.without_nodes == 1 and figures.without_predictions == 1
    assert figures.false_positives == pytest.approx(4 / 3)


def test_weights_count_a_patient_several_times():
    recall, precision = macro_curves(TWO, np.array([[1.0, 1.0], [2.0, 0.0]]))
    assert recall.tolist() == [pytest.approx([0.625, 0.25]), pytest.approx([1.0, 0.5])]
    assert precision.tolist() == [pytest.approx([0.3, 1.0]), pytest.approx([0.5, 1.0])]


def test_recall_at_precision_is_the_highest_recall_among_precise_enough_thresholds():
    recall, precision = np.array([0.9, 0.5, 0.7, 0.3]), np.array([0.05, 0.15, 0.16, 0.4])
    assert recall_at_precision(recall, precision, 0.15) == pytest.approx(0.7)
    assert recall_at_precision(recall, precision, 0.2) == pytest.approx(0.3)
    assert recall_at_precision(recall, precision, 0.5) == 0.0


def test_a_precision_of_exactly_the_wanted_value_counts():
    exact = counts(([3], [17], [3], 3))
    recall, precision = macro_curves(exact)
    assert recall_at_precision(recall, precision, 0.15) == 1.0


def test_mean_recall_averages_eleven_precisions_from_10_to_20_percent():
    # .9 is reached for .10 to .14 (5 of 11), .5 for .15 to .20 (6 of 11).
    value = mean_recall(np.array([0.9, 0.5]), np.array([0.145, 0.25]))
    assert value == pytest.approx((5 * 0.9 + 6 * 0.5) / 11)


def test_mean_recall_averages_the_precisions_that_are_asked_for():
    # .25 and .30 are reached by the first threshold with .9, .35 by the second alone, .5 by none.
    value = mean_recall(np.array([0.9, 0.5]), np.array([0.30, 0.40]), np.array([0.25, 0.30, 0.35, 0.50]))
    assert value == pytest.approx((0.9 + 0.9 + 0.5 + 0.0) / 4)


def test_thresholds_without_any_prediction_are_not_precise():
    recall, precision = macro_curves(counts(([1, 0], [3, 0], [1, 0], 2)))
    assert np.isnan(precision[1]) and recall_at_precision(recall, precision, 0.15) == pytest.approx(0.5)


def test_a_cohort_without_nodes_has_no_recall():
    recall, precision = macro_curves(counts(([0], [3], [0], 0)))
    assert np.isnan(recall_at_precision(recall, precision, 0.15))


def test_the_operating_point_is_the_highest_threshold_among_equals():
    same = counts(([1, 1, 1], [9, 2, 1], [1, 1, 1], 1))
    assert operating_index(same) == 2
    assert operating_thresholds(same)["0.15"] == pytest.approx(0.9)


def test_the_most_precise_threshold_stands_in_where_none_is_precise_enough():
    poor = counts(([1, 1], [99, 19], [1, 1], 1))
    assert operating_index(poor) == 1 and not stage_one(poor).reached and stage_one(poor).recall == 0.0


def test_precision_over_all_patients_is_1_for_nothing_said_of_nothing_there_and_0_for_a_missed_patient():
    # Precisions: 1/4, nothing predicted and nothing there, nothing predicted and two nodes missed.
    three = counts(([1], [3], [1], 1), ([0], [0], [0], 0), ([0], [0], [0], 2))
    recall, precision = macro_curves(three, averaging=AVERAGINGS["all-patients"])
    assert precision.tolist() == pytest.approx([(0.25 + 1 + 0) / 3])
    assert recall.tolist() == macro_curves(three)[0].tolist() == pytest.approx([0.5])
    assert macro_curves(three)[1].tolist() == pytest.approx([0.25])


def test_without_nodes_the_operating_point_is_the_most_precise_threshold():
    # Nothing is said of nothing there from the second threshold on: precision 1 where all patients count.
    empty = counts(([0, 0], [3, 0], [0, 0], 0))
    found = stage_one(empty, AVERAGINGS["all-patients"])
    assert (found.precision, found.false_positives) == (1.0, 0.0) and np.isnan(found.recall)


def test_no_patient_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        Counts.of([])
