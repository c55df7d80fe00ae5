"""The report of Table 2: figures by hand, paired differences, and words about what they are."""

import json

import numpy as np
import pytest

from osln.matching import Scored
from osln.table_two import ROWS
from osln.table_two_report import Measured, count_candidates, summarize, write_report

SETTING = "lf-stratified"


def patient(*, hit: float, false: float = 0.5, count: int = 8) -> Scored:
    """One found node of two under a score, and false candidates under another."""
    return Scored(np.array([hit] + [false] * count), np.array([True] + [False] * count), 2)


def cohort(good: int, size: int = 4) -> list[Scored]:
    """In so many patients the node is above the false candidates, in the others below."""
    return [patient(hit=0.9 if index < good else 0.1) for index in range(size)]


TRAINING = {"candidates": 100, "nodes": 20, "epochs": 6, "losses": [1.5, 0.75], "seconds": 12.3}


def measured(seeds=1, **changes) -> Measured:
    good = {"nothing": 0, "local-ct": 2, "glnet": 4}
    rows = {f"{SETTING}+{name}": [cohort(number)] * seeds for name, number in good.items()}
    counts = count_candidates(cohort(4), [10] * 4)
    values = {
        "command": "scripts/measure_stage_two.py --seeds 1",
        "sizes": {"stage two": 3, "validation": 4, "test": 4},
        "epochs": 6,
        "seeds": seeds,
        "phantom": "phantoms-abc",
        "tagger": {
            "name": "LesaNet",
            "origin": "phantom",
            "width": 16,
            "trained_on": "phantom",
            "sha256": "a" * 64,
        },
        "candidates": {SETTING: {"test": counts}},
        "test": rows,
        "validation": rows,
        "trainings": {f"{SETTING}+glnet seed 0": TRAINING},
    }
    return Measured(**(values | changes))


def test_the_figures_of_a_row_are_known_by_hand():
    rows = summarize(measured())["rows"]
    # GLNet: four of eight nodes at 0 false positives, which is all.
    glnet = rows[f"{SETTING}+glnet"]
    assert [glnet[name]["value"] for name in ("2", "3", "4", "6", "mfroc")] == pytest.approx([0.5] * 5)
    assert glnet["f1"]["value"] == glnet["f1_chosen"]["value"] == pytest.approx(8 / 12)
    assert glnet["thresholds"] == [0.9] and not glnet["clamped"]
    # CT: two of eight nodes at 0; the false ones come together, and at 8 per patient the other two.
    local = rows[f"{SETTING}+local-ct"]
    assert local["mfroc"]["value"] == pytest.approx(0.25) and local["f1"]["value"] == pytest.approx(4 / 10)
    # Stage one: nothing up to 8 false positives per patient, then all at once.
    nothing = rows[f"{SETTING}+nothing"]
    assert nothing["6"]["value"] == 0 and nothing["f1"]["value"] == pytest.approx(8 / (4 + 32 + 8))


def test_differences_are_paired_and_those_of_missing_rows_are_left_out():
    found = {(e["row"], e["minus"]): e for e in summarize(measured())["differences"]}
    names = {f"{SETTING}+{name}" for name in ("nothing", "local-ct", "glnet")}
    assert found and {name for pair in found for name in pair} <= names
    # Every patient gains its node, so no resample says otherwise.
    gain = found[f"{SETTING}+glnet", f"{SETTING}+nothing"]["mfroc"]
    assert (gain["low"], gain["value"], gain["high"]) == pytest.approx((0.5, 0.5, 0.5))


def test_the_threshold_of_f1_comes_from_validation_patients():
    other = measured(validation={row: [cohort(0)] for row in measured().test})
    rows = summarize(other)["rows"]
    # On these validation patients the best score is .1, which keeps every test candidate.
    glnet = rows[f"{SETTING}+glnet"]
    assert glnet["thresholds"] == [0.1] and glnet["f1"]["value"] == pytest.approx(8 / 12)
    assert glnet["f1_chosen"]["value"] == pytest.approx(8 / (4 + 32 + 8))


def test_candidates_and_their_ceiling_are_counted():
    patients = [patient(hit=0.9), Scored(np.zeros(0), np.zeros(0, bool), 2), patient(hit=0.9, count=1)]
    found = count_candidates(patients, [10, 0, 2])
    assert found == pytest.approx({"nodes": 2, "candidates": 4, "false": 3, "ceiling": 2 / 6})
    assert np.isnan(count_candidates([Scored(np.zeros(0), np.zeros(0, bool), 0)], [0])["ceiling"])


def test_the_report_has_rows_differences_setting_and_trainings(tmp_path):
    write_report(measured(), tmp_path / "docs" / "stage-two.md")
    text = (tmp_path / "docs" / "stage-two.md").read_text()
    assert "measured on generated phantoms" in text and "not comparable with the paper's" in text
    assert "`scripts/measure_stage_two.py --seeds 1`" in text and "phantoms-abc" in text
    assert "LesaNet, phantom, width 16" in text and "aaaaaaaaaaaa" in text
    for name in ("nothing", "local-ct", "glnet"):
        assert f"| {ROWS[f'{SETTING}+{name}'].title} |" in text
    assert "10.0 candidates per test phantom with 2.0 nodes; 0.500 of the nodes are hit" in text
    assert "+0.500 [+0.500, +0.500] | yes, above |" in text
    assert "| lf-stratified+glnet seed 0 | 100 | 20 | 6 | 1.500 | 0.750 | 12 |" in text
    assert "curve ends before" not in text


def test_a_curve_that_ends_early_is_named(tmp_path):
    few = {row: [[patient(hit=0.9, count=5)] * 4] for row in measured().test}
    write_report(measured(test=few), tmp_path / "stage-two.md")
    text = (tmp_path / "stage-two.md").read_text()
    assert "The curve ends before 6 false positives per patient" in text and "for: LF#, LF (CT)" in text


def test_several_trainings_are_shown_beside_their_mean(tmp_path):
    one = measured(seeds=2)
    glnet = {f"{SETTING}+glnet": [cohort(4), cohort(2)]}
    both = measured(seeds=2, test={**one.test, **glnet}, validation={**one.validation, **glnet})
    found = summarize(both)["rows"][f"{SETTING}+glnet"]["mfroc"]
    assert found["value"] == pytest.approx(0.375) and found["per_seed"] == [0.5, 0.25]
    write_report(both, tmp_path / "stage-two.md")
    assert "/ 0.500 0.250 |" in (tmp_path / "stage-two.md").read_text()


def test_the_json_beside_the_report_holds_the_same_figures(tmp_path):
    write_report(measured(), tmp_path / "stage-two.md")
    content = json.loads((tmp_path / "stage-two.json").read_text())
    assert content["rows"][f"{SETTING}+glnet"]["mfroc"]["value"] == pytest.approx(0.5)
    assert content["setting"]["patients"]["test"] == 4 and content["setting"]["tagger"]["width"] == 16
    assert content["candidates"][SETTING]["test"]["ceiling"] == 0.5
    assert content["trainings"][f"{SETTING}+glnet seed 0"]["seconds"] == 12.3
