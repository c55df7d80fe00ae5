import numpy as np
import pytest

from osln.evaluation.figures import ScoredPatients, assess, differences
from osln.metrics.bootstrap import resamples
from osln.metrics.criteria import AVERAGINGS
from osln.metrics.froc import best_f1, froc
from osln.metrics.sweep import THRESHOLDS, Sweep
from small.scored import f1_at, scored

PATIENTS = {
    "a": scored([0.9, 0.5, 0.8], [1, 1, 0], 2),
    "b": scored([0.7, 0.4], [0, 1], 3),
    "c": scored([], [], 0),
    "d": scored([0.6], [0], 0),
}


def values(evaluation) -> dict[str, float]:
    return {name: found.value for name, found in evaluation.figures.items()}


def test_figures_of_four_patients_by_hand():
    found = values(assess(ScoredPatients(PATIENTS), threshold=0.5, false_positives=(0.25, 0.5)))
    # From .5 on: 2 of 5 nodes found, false .8, .7 and .6.
    assert found["recall"] == pytest.approx(2 / 5) and found["precision"] == pytest.approx(2 / 5)
    assert found["f1_at_threshold"] == pytest.approx(4 / 10)
    # Patients: recall 1 and 0; precision 2/3, 0 and 0, c has no prediction.
    assert found["macro_recall"] == pytest.approx(1 / 2)
    assert found["macro_precision"] == pytest.approx(2 / 9)
    # All: 3 found, 3 false, 5 nodes.
    assert found["best_f1"] == pytest.approx(6 / 11)
    assert found["froc_0.25"] == pytest.approx(1 / 5) and found["froc_0.5"] == pytest.approx(1 / 5)
    assert found["mfroc"] == pytest.approx(1 / 5)


def test_the_figures_are_those_of_their_modules_and_all_predictions_count_by_default():
    evaluation = assess(ScoredPatients(PATIENTS))
    patients, found = list(PATIENTS.values()), values(assess(ScoredPatients(PATIENTS)))
    assert (
        found["best_f1"] == best_f1(patients).f1 and evaluation.best_threshold == best_f1(patients).threshold
    )
    assert found["f1_at_threshold"] == f1_at(patients, -np.inf)
    assert found["mfroc"] == froc(patients).mean() and evaluation.threshold == -np.inf
    assert evaluation.curve.sensitivity.tolist() == froc(patients).sensitivity.tolist()


def test_averagings_change_the_figures_that_they_name():
    plain = values(assess(ScoredPatients(PATIENTS)))
    macro = values(assess(ScoredPatients(PATIENTS), averaging=AVERAGINGS["macro-froc"]))
    everybody = values(assess(ScoredPatients(PATIENTS), averaging=AVERAGINGS["all-patients"]))
    # At the end of the curve: 3 of 5 nodes; patients 2/2 and 1/3.
    assert plain["mfroc"] == pytest.approx(3 / 5) and macro["mfroc"] == pytest.approx(2 / 3)
    # Precisions 2/3, 1/2 and 0, and 1 for the patient without node and prediction.
    assert plain["macro_precision"] == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert everybody["macro_precision"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 4)
    assert everybody["best_f1"] == plain["best_f1"]


def test_a_paired_comparison_of_a_set_with_itself_is_zero_and_of_a_better_one_is_not():
    weights = resamples(4, draws=200)
    one = assess(ScoredPatients(PATIENTS), weights)
    better = dict(PATIENTS) | {"b": scored([0.95, 0.4], [1, 1], 3)}
    for name, zero in differences(one, one).items():
        assert (zero.value, zero.interval().low, zero.interval().high) == (0, 0, 0), name
    gain = differences(assess(ScoredPatients(better), weights), one)
    assert gain["recall"].value == pytest.approx(1 / 5) and gain["mfroc"].value == pytest.approx(1 / 5)
    assert gain["recall"].interval().low == 0 and gain["recall"].interval().high > 0


def test_sets_of_other_patients_or_other_truth_cannot_be_compared():
    one = assess(ScoredPatients(PATIENTS))
    fewer = assess(ScoredPatients({case: PATIENTS[case] for case in "abc"}))
    with pytest.raises(ValueError, match="the sets differ in d"):
        differences(one, fewer)
    many = assess(ScoredPatients({f"p{number}": PATIENTS["a"] for number in range(9)}))
    with pytest.raises(ValueError, match="differ in a, b, c, d, p0 and 8 more"):
        differences(one, many)
    other = assess(ScoredPatients(dict(PATIENTS) | {"b": scored([], [], 4)}))
    with pytest.raises(ValueError, match="case b has 3 nodes in one set and 4"):
        differences(one, other)


def test_a_cohort_without_nodes_has_no_recall_and_one_without_predictions_finds_nothing():
    nothing_there = values(assess(ScoredPatients({"a": scored([0.5], [0], 0)})))
    assert np.isnan([nothing_there[name] for name in ("recall", "macro_recall", "mfroc", "best_f1")]).all()
    assert nothing_there["precision"] == 0
    nothing_said = values(assess(ScoredPatients({"a": scored([], [], 2)})))
    assert nothing_said["recall"] == nothing_said["mfroc"] == nothing_said["best_f1"] == 0
    assert np.isnan([nothing_said["precision"], nothing_said["macro_precision"]]).all()
    with pytest.raises(ValueError, match="at least one"):
        assess(ScoredPatients({}))


def test_sweeps_add_the_figures_of_stage_one():
    ones, rest = np.ones(len(THRESHOLDS), dtype=int), np.zeros(len(THRESHOLDS), dtype=int)
    rest[:40] = 9
    sweeps = {case: Sweep(ones, rest, ones, 2) for case in "ab"}
    found = values(assess(ScoredPatients({case: scored([0.5], [1], 2) for case in "ab"}, sweeps)))
    # Precision 1/10 at low thresholds, 1 at the others; half of the nodes are found at all of them.
    assert found["recall_at_precision_0.15"] == 0.5 and found["mean_recall"] == pytest.approx(0.5)
