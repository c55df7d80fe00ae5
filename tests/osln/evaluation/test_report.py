import csv
import io
import json

import numpy as np
import pytest

from osln.evaluation.figures import ScoredPatients, assess
from osln.evaluation.report import Report, curve_csv
from osln.metrics.bootstrap import resamples
from osln.metrics.criteria import AVERAGINGS, PAPER, PAPER_AVERAGING
from osln.metrics.sweep import THRESHOLDS, Sweep
from small.scored import scored


def report(compare: bool = False) -> Report:
    weights = resamples(2, draws=50)
    ours = ScoredPatients(
        {"a": scored([0.9, 0.8], [1, 0], 2), "b": scored([], [], 0)},
        neither={"a": 3, "b": 0},
        left_out=["one case"],
        notes=["a remark"],
    )
    theirs = ScoredPatients({"a": scored([0.9, 0.8], [1, 1], 2), "b": scored([], [], 0)})
    sets = {"ours": ours, "theirs": theirs} if compare else {"ours": ours}
    made = {name: assess(cohort, weights, 0.85, (0.25, 2)) for name, cohort in sets.items()}
    return Report(made, PAPER, PAPER_AVERAGING, 50, 0)


def test_the_table_on_the_screen_says_what_was_counted_and_what_was_left_out():
    text = report().text()
    assert "ours: 2 patients (1 without nodes, 1 without predictions), 2 nodes, 1 found; 1 false" in text
    assert "3 neither true nor false" in text and "criterion paper: a common voxel" in text
    assert "recall, score from 0.85" in text and "sensitivity at 0.25 FP per patient" in text
    assert "ours: best F1 at the score 0.9" in text
    assert "the curve ends at 0.5 false positives per patient; beyond it the last value stands in" in text
    assert "ours: left out: one case" in text and "ours: a remark" in text


def test_the_json_holds_every_figure_with_its_interval_and_every_case():
    content = json.loads(json.dumps(report().content(), allow_nan=False))
    ours = content["sets"]["ours"]
    assert ours["figures"]["recall"]["value"] == 0.5
    assert set(ours["figures"]["mfroc"]) == {"value", "low", "high"}
    assert ours["cases"]["a"] == {
        "nodes": 2,
        "found": 1,
        "false": 1,
        "neither": 3,
        "overlapped_but_missed": 0,
    }
    assert content["criterion"]["name"] == "paper" and content["bootstrap"]["draws"] == 50
    assert content["difference"] == {} and ours["left_out"] == ["one case"]


def test_averages_over_patients_tell_whom_they_leave_out():
    text = report().text()
    assert "ours: macro recall leaves 1 patients without nodes out, macro precision 1 without" in text
    cohort = ScoredPatients(
        {"a": scored([0.9], [0], 1), "b": scored([0.5], [1], 1), "c": scored([0.5], [0], 0)}
    )
    one = assess(cohort, resamples(3, draws=10), 0.6)
    told = Report({"x": one}, PAPER, PAPER_AVERAGING, 10, 0)
    assert "x: macro recall leaves 1 patients without nodes out, macro precision 2 without" in told.text()
    assert told.content()["sets"]["x"]["patients_without_predictions_at_threshold"] == 2
    everybody = Report({"x": one}, PAPER, AVERAGINGS["all-patients"], 10, 0)
    assert "macro precision 0 without" in everybody.text()


def test_a_patient_whose_predictions_are_neither_true_nor_false_is_not_without_predictions():
    found = {
        "a": scored([0.9], [1], 1),
        "b": scored([], [], 1),
        "c": scored([], [], 0),
        "d": scored([], [], 0),
    }
    cohort = ScoredPatients(found, neither={"a": 1, "b": 2, "c": 1, "d": 0})
    one = assess(cohort, resamples(4, draws=10))
    told = Report({"x": one}, PAPER, PAPER_AVERAGING, 10, 0)
    assert "x: 4 patients (2 without nodes, 1 without predictions)" in told.text()
    assert "macro precision 3 without a prediction that counts" in told.text()
    content = told.content()["sets"]["x"]
    assert content["patients_without_predictions"] == 1
    assert content["patients_without_predictions_at_threshold"] == 3
    # The precision of b, who has a node, is 0; c and d, who have none, have 1.
    everybody = assess(cohort, resamples(4, draws=10), averaging=AVERAGINGS["all-patients"])
    assert one.figures["macro_precision"].value == 1.0
    assert everybody.figures["macro_precision"].value == 3 / 4


def test_stage_one_tells_where_its_precision_is_read_and_whom_it_leaves_out():
    high = np.arange(len(THRESHOLDS)) >= 60
    none = np.zeros(len(THRESHOLDS), dtype=int)
    # Below the 60th threshold 10 of 11 predictions are false; from there on a is right and b says nothing.
    sweeps = {"a": Sweep(none + 1, np.where(high, 0, 10), none + 1, 1), "b": Sweep(none, 10 * ~high, none, 1)}
    cohort = ScoredPatients({case: scored([0.5], [1], 1) for case in "ab"}, sweeps)
    made = Report({"x": assess(cohort, resamples(2, draws=10))}, PAPER, PAPER_AVERAGING, 10, 0)
    words = (
        f"precision at least .15 (1.000) at the voxel threshold {float(THRESHOLDS[-1])!r}, "
        "0 false positives per patient; the "
    )
    assert words + "precision leaves 1 patients without predictions out" in made.text()
    found = made.content()["sets"]["x"]["stage_one"]
    assert (found["precision"], found["without_predictions"], found["without_nodes"]) == (1.0, 1, 0)
    poor = ScoredPatients(cohort.scored, {case: Sweep(none, none + 9, none, 1) for case in "ab"})
    never = Report({"x": assess(poor, resamples(2, draws=10))}, PAPER, PAPER_AVERAGING, 10, 0)
    assert "stage one: no voxel threshold has a precision of .15" in never.text()


def test_two_sets_stand_side_by_side_with_their_paired_difference():
    made = report(compare=True)
    content = made.content()
    assert content["difference"]["recall"]["value"] == 0.0
    # At the end of the curve: one of two nodes, and both.
    assert content["difference"]["froc_2"]["value"] == pytest.approx(-0.5)
    header, _, first = made.markdown().split("\n\n")[2].splitlines()[:3]
    assert header.endswith("| ours | theirs | difference |")
    assert first.startswith("| recall, score from 0.85 | 0.500 [") and "+0.000 [+0.000, +0.000]" in first


def test_figures_that_have_no_value_are_words_on_the_screen_and_null_in_the_json():
    nothing = assess(ScoredPatients({"a": scored([0.5], [0], 0)}), resamples(1, draws=10))
    made = Report({"x": nothing}, PAPER, PAPER_AVERAGING, 10, 0)
    assert "no value" in made.text()
    assert made.content()["sets"]["x"]["figures"]["recall"] == {"value": None, "low": None, "high": None}


def test_one_patient_gives_no_interval_and_no_difference():
    sets = {
        name: assess(ScoredPatients({"a": scored([0.9, 0.8], hits, 2)}), resamples(1, draws=10))
        for name, hits in (("x", [1, 1]), ("y", [1, 0]))
    }
    made = Report(sets, PAPER, PAPER_AVERAGING, 10, 0)
    assert "recall, all scores" in made.text() and "1.000 [no interval]" in made.text()
    assert "+0.500 [no interval]" in made.text()
    assert "no intervals: one patient says nothing of others" in made.markdown()
    content = made.content()
    assert content["difference"]["recall"] == {"value": 0.5, "low": None, "high": None}
    (told,) = content["bootstrap"]["notes"]
    assert told.startswith("no intervals: one patient says nothing of others")


def test_all_nodes_in_one_patient_are_told():
    assert "one patient has all nodes: intervals of recall and sensitivity" in report().text()


def test_a_name_is_neither_a_formula_nor_two_cells():
    one = assess(ScoredPatients({"a": scored([0.9], [1], 1)}), resamples(1, draws=10))
    made = Report({"=a|b": one}, PAPER, PAPER_AVERAGING, 10, 0)
    assert curve_csv(made.sets).splitlines()[1] == "'=a|b,inf,0.0,0.0"
    assert "| =a\\|b |" in made.markdown()


def test_the_points_of_the_curve_are_a_table():
    lines = list(csv.reader(io.StringIO(curve_csv(report(compare=True).sets))))
    assert lines[0] == ["set", "threshold", "false_positives_per_patient", "sensitivity"]
    assert lines[1] == ["ours", "inf", "0.0", "0.0"] and lines[3] == ["ours", "0.8", "0.5", "0.5"]
    assert lines[-1] == ["theirs", "0.8", "0.0", "1.0"]
