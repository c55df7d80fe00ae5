"""The slider of the operating point (`lib/ohif/points.js`), run by Node.js."""

import json

from small.ohif_scripts import run

CURVE = [
    {"fp_per_patient": 0.5, "threshold": 0.9, "sensitivity": 0.25},
    {"fp_per_patient": 3, "threshold": 0.5, "sensitivity": 0.506},
    {"fp_per_patient": 6, "threshold": 0.3, "sensitivity": None},
]


def asked(script, curve=CURVE):
    return run("points", f"const curve = {json.dumps(curve)}; return {script}")


def test_a_curve_gives_its_points_and_then_all_candidates():
    assert asked("sliderRange(curve)") == {"min": 0, "max": 3, "step": 1}
    assert asked("[0, 1, 2, 3].map(n => thresholdAt(curve, n))") == [0.9, 0.5, 0.3, 0]
    assert asked("[0.9, 0.51, 0.3, 0.1, 0].map(at => positionOf(curve, at))") == [0, 1, 2, 3, 3]


def test_false_positives_and_sensitivity_are_told_where_validation_measured_them():
    told = asked("[0.9, 0.5, 0.3, 0].map(at => pointTold(curve, at).text)")

    assert told == [
        "0.5 FP per patient, finds 25%, score from 0.90",
        "3 FP per patient, finds 51%, score from 0.50",
        "6 FP per patient, score from 0.30",
        "all candidates, score from 0.00",
    ]


def test_without_a_curve_the_slider_goes_the_same_way():
    assert asked("sliderRange(curve)", []) == {"min": 0, "max": 1, "step": 0.01}
    assert asked("[0, 1].map(n => thresholdAt(curve, n))", []) == [1, 0]
    assert asked("positionOf(curve, 0.75)", []) == 0.25
    assert asked("pointTold(curve, 0.75)", []) == {
        "text": "score from 0.75",
        "title": "no validation curve of these weights here",
    }
