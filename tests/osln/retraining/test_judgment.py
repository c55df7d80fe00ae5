"""Two networks beside each other, with numbers that can be worked out by hand."""

import numpy as np
import pytest
from scipy.stats import t as student

from osln.metrics.sweep import THRESHOLDS, Sweep
from osln.retraining.judgment import judge
from small.scored import finds


def test_patients_that_all_gain_leave_no_doubt():
    judged = judge([finds(0.6)] * 3, [finds(0.5)] * 3)
    assert judged.difference == pytest.approx(0.1) and judged.risk == 0
    assert (judged.patients, judged.nodes) == (3, 30) and judged.passes(0.2)
    assert judged.low == judged.high == pytest.approx(0.1)


def test_two_that_find_the_same_are_not_told_apart():
    judged = judge([finds(0.5)] * 12, [finds(0.5)] * 12)
    assert judged.difference == 0 and judged.risk == 0.5 and not judged.passes(0.2)
    assert judged.patients_to_tell is None


def test_one_patient_and_nobody_cannot_tell():
    one = judge([finds(0.9)], [finds(0.1)])
    assert one.difference == pytest.approx(0.8) and one.risk is None and not one.passes(0.5)
    nobody = judge([], [])
    assert nobody.difference is None and not nobody.passes(0.5)
    without_nodes = judge([finds(None)] * 20, [finds(None)] * 20)
    assert without_nodes.patients == 20 and without_nodes.difference is None


def test_the_risk_is_that_of_the_paired_difference_over_patients():
    # Differences of +.4 and -.2 in turn: mean .1, and every patient has as many nodes.
    new = [finds(0.7), finds(0.5)] * 5
    judged = judge(new, [finds(0.3), finds(0.7)] * 5)
    differences = np.array([0.4, -0.2] * 5)
    error = differences.std(ddof=1) / np.sqrt(10)
    assert judged.difference == pytest.approx(0.1)
    # The spread comes from 1000 resamples, whose own error is 2 %.
    assert (judged.high - judged.low) / 2 == pytest.approx(student.ppf(0.975, 9) * error, rel=0.08)
    assert judged.risk == pytest.approx(student.cdf(-0.1 / error, 9), abs=0.02)
    assert judged.passes(0.2) and not judged.passes(0.1)


def test_a_gain_in_doubt_says_how_many_patients_would_tell():
    new, rival = [finds(0.8), finds(0.4)] * 2, [finds(0.4), finds(0.7)] * 2
    judged = judge(new, rival)
    assert judged.difference == pytest.approx(0.05) and not judged.passes(0.2)
    more = judged.patients_to_tell
    assert more > 4
    told = judge(new * (more // 4 + 2), rival * (more // 4 + 2))
    assert told.passes(0.2)
    assert judge(rival, new).patients_to_tell is None and judge(rival, new).risk > 0.5


def test_stage_one_is_judged_by_mean_recall():
    def sweep(found):
        hits = np.full(len(THRESHOLDS), found)
        return Sweep(hits, np.zeros_like(hits), hits, 4)

    judged = judge([sweep(2), sweep(3)], [sweep(1), sweep(2)])
    assert judged.difference == pytest.approx(0.25) and judged.risk == 0 and judged.nodes == 8


def test_other_patients_are_refused():
    with pytest.raises(ValueError, match="same ones"):
        judge([finds(0.5)], [])


def test_cases_of_one_patient_are_one_patient():
    one = judge([finds(0.9)] * 3, [finds(0.1)] * 3, ["p"] * 3)
    assert (one.patients, one.nodes, one.risk) == (1, 30, None) and not one.passes(0.5)
    # A second case that says the same says nothing new.
    new, rival = [finds(0.8), finds(0.4)] * 2, [finds(0.4), finds(0.7)] * 2
    once, twice = judge(new, rival), judge(new * 2, rival * 2, list("abcd") * 2)
    assert twice.nodes == 2 * once.nodes
    for name in ("patients", "difference", "low", "high", "risk", "patients_to_tell"):
        assert getattr(twice, name) == pytest.approx(getattr(once, name)), name
    # The case of a patient without a node does not make him another one.
    assert judge([*new, finds(None)], [*rival, finds(None)], list("abcda")).risk == pytest.approx(once.risk)
