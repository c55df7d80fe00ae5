import csv
import io
import json

import pytest

from osln.bootstrap import resamples
from osln.criteria import PAPER, PAPER_AVERAGING
from osln.evaluation import Cohort, evaluate
from osln.evaluation_report import Report, curve_csv
from small_scored import scored


def report(compare: bool = False) -> Report:
    weights = resamples(2, draws=50)
    ours = Cohort(
        {"a": scored([0.9, 0.8], [1, 0], 2), "b": scored([], [], 0)},
        neither={"a": 3, "b": 0},
        left_out=["one case"],
        notes=["a remark"],
    )
    theirs = Cohort({"a": scored([0.9, 0.8], [1, 1], 2), "b": scored([], [], 0)})
    sets = {"ours": ours, "theirs": theirs} if compare else {"ours": ours}
    made = {name: evaluate(cohort, weights, 0.85, (0.25, 2)) for name, cohort in sets.items()}
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
    assert content["criterion"]["name"] == "paper" and content["bootstrap"] == {"draws": 50, "seed": 0}
    assert content["difference"] == {} and ours["left_out"] == ["one case"]


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
    nothing = evaluate(Cohort({"a": scored([0.5], [0], 0)}), resamples(1, draws=10))
    made = Report({"x": nothing}, PAPER, PAPER_AVERAGING, 10, 0)
    assert "no value" in made.text()
    assert made.content()["sets"]["x"]["figures"]["recall"] == {"value": None, "low": None, "high": None}


def test_the_points_of_the_curve_are_a_table():
    lines = list(csv.reader(io.StringIO(curve_csv(report(compare=True).sets))))
    assert lines[0] == ["set", "threshold", "false_positives_per_patient", "sensitivity"]
    assert lines[1] == ["ours", "inf", "0.0", "0.0"] and lines[3] == ["ours", "0.8", "0.5", "0.5"]
    assert lines[-1] == ["theirs", "0.8", "0.0", "1.0"]
