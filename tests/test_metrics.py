import numpy as np
import pytest

from osln.matching import Scored
from osln.metrics import (
    Counts,
    best_f1,
    f1_at,
    froc,
    macro_curves,
    mean_recall,
    operating_index,
    operating_thresholds,
    recall_at_precision,
    stage_one,
)
from osln.sweep import Sweep


def counts(*patients: tuple[list[int], list[int], list[int], int]) -> Counts:
    """Counts from (true predictions, false predictions, hit nodes, nodes) of each patient."""
    sweeps = [Sweep(np.array(t), np.array(f), np.array(h), n) for t, f, h, n in patients]
    return Counts.of(sweeps, np.linspace(0.1, 0.9, len(patients[0][0])))


def scored(scores: list[float], hits: list[bool], n_nodes: int) -> Scored:
    return Scored(np.array(scores, dtype=float), np.array(hits, dtype=bool), n_nodes)


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


def test_froc_of_two_patients_by_hand():
    curve = froc([scored([0.9, 0.8, 0.3], [True, False, True], 2), scored([0.8, 0.2], [False, False], 2)])
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.8, 0.3, 0.2]
    assert curve.false_positives.tolist() == [0, 0, 1, 1, 1.5]
    assert curve.sensitivity.tolist() == [0, 0.25, 0.25, 0.5, 0.5]


def test_equal_scores_move_together():
    curve = froc([scored([0.5, 0.5], [True, False], 1)])
    assert curve.false_positives.tolist() == [0, 1] and curve.sensitivity.tolist() == [0, 1]


def test_the_lowest_score_is_kept():
    curve = froc([scored([0.9, 0.2, 0.8, 0.3], [False, True, True, False], 2)])
    assert curve.sensitivity[-1] == 1.0


def test_beyond_its_end_the_curve_keeps_its_last_value_and_says_so():
    short = froc([scored([0.9, 0.5], [True, False], 2)])
    assert short.clamped and short.mean() == pytest.approx(0.5)
    long = froc([scored([0.9] + [0.5] * 6, [True] + [False] * 6, 2)])
    assert not long.clamped


def test_mfroc_is_the_mean_at_2_3_4_and_6_false_positives():
    scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    curve = froc([scored(scores, [True, False, False, True, False, False, True, False, False], 4)])
    # Sensitivities at 2, 3, 4 and 6 false positives: .5, .5, .75, .75 (the upper end of each step).
    assert curve.at([2, 3, 4, 6]).tolist() == pytest.approx([0.5, 0.5, 0.75, 0.75])
    assert curve.mean() == pytest.approx(0.625)


def test_patients_without_nodes_count_in_the_divisor_and_a_cohort_without_nodes_is_nan():
    curve = froc([scored([0.9], [True], 1), scored([0.8], [False], 0)])
    assert curve.false_positives.tolist() == [0, 0, 0.5]
    assert np.isnan(froc([scored([0.8], [False], 0)]).mean())


def test_best_f1_and_f1_at_a_chosen_threshold_by_hand():
    patients = [scored([0.9, 0.8, 0.3], [True, False, True], 2)]
    # F1 at .9: 2/(1+0+2) = .667, at .8: 2/4 = .5, at .3: 4/(2+1+2) = .8.
    best = best_f1(patients)
    assert best.f1 == pytest.approx(0.8) and best.threshold == 0.3
    assert f1_at(patients, 0.85) == pytest.approx(2 / 3) and f1_at(patients, 0.95) == 0.0
    assert np.isnan(best_f1([scored([0.5], [False], 0)]).f1) and best_f1([scored([], [], 3)]).f1 == 0.0


def test_no_patient_and_scores_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        froc([])
    with pytest.raises(ValueError, match="at least one"):
        Counts.of([])
    with pytest.raises(ValueError, match="not a number"):
        froc([scored([np.nan], [True], 1)])
