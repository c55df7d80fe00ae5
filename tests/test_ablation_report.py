import json

import numpy as np
import pytest

from osln.ablation import ROWS
from osln.ablation_report import Measured, summarize, write_report
from osln.metrics import Counts

FIGURES = {
    "threshold": 0.4,
    "ceiling": 0.9,
    "reached": True,
    "at_validation_threshold": {"recall": 0.5, "precision": 0.2},
    "table": {"classes": {"distal avid": [3, 4]}, "false": {"proximal": 1.0, "distal": 2.5}},
}
TRAINING = {"iterations": 100, "seconds": 12.3, "losses": [[50, 1.5, 0.75], [100, 1.0, 0.5]]}


def counts(found: list[int]) -> Counts:
    """Patients of two nodes with one threshold and one false prediction."""
    hits = np.array(found)[:, None]
    return Counts(hits, np.ones_like(hits), hits, np.full(len(found), 2), np.array([0.5]))


@pytest.fixture
def measured():
    found = {"ct": [1, 1, 1, 1], "ef": [2, 2, 2, 2], "lf": [1, 1, 0, 1], "two-ct": [1, 0, 1, 1]}
    return Measured(
        command="scripts/measure_stratification.py --seeds 2",
        sizes={"train": 3, "validation": 2, "test": 4},
        iterations=100,
        seeds=2,
        phantom="phantoms-abc",
        counts={"test": {"patients": 4, "nodes": 2.0}},
        counts_by_row={row: [counts(hits), counts(hits)] for row, hits in found.items()},
        figures_by_row={row: [FIGURES, FIGURES | {"reached": row != "ef"}] for row in found},
        trainings={"ct-x1-seed0": TRAINING},
    )


def test_rows_and_differences_come_from_the_same_resamples(measured):
    summary = summarize(measured)
    assert summary["rows"]["ct"]["mean_recall"]["value"] == pytest.approx(0.5)
    assert summary["rows"]["ct"]["mean_recall"]["per_seed"] == [0.5, 0.5]
    ef = next(entry for entry in summary["differences"] if (entry["row"], entry["minus"]) == ("ef", "ct"))
    # Every patient gains one of two nodes, so no resample says otherwise.
    assert (ef["recall"]["low"], ef["recall"]["value"], ef["recall"]["high"]) == pytest.approx(
        (0.5, 0.5, 0.5)
    )


def test_differences_of_rows_that_were_not_measured_are_left_out(measured):
    rows = {entry[side] for entry in summarize(measured)["differences"] for side in ("row", "minus")}
    assert rows == {"ct", "ef", "lf", "two-ct"}


def test_the_report_has_every_row_question_and_training(measured, tmp_path):
    write_report(measured, tmp_path / "docs" / "stratification.md")
    text = (tmp_path / "docs" / "stratification.md").read_text()
    assert "`scripts/measure_stratification.py --seeds 2`" in text and "phantoms-abc" in text
    for row in ("ct", "ef", "lf", "two-ct"):
        assert f"| {ROWS[row].title} |" in text
    assert "+0.500 [+0.500, +0.500]" in text and "yes, above" in text and "not shown" in text
    assert "| ct-x1-seed0 | 100 | 0.500 | 0.750 | 12 |" in text
    assert "Precision .15 was not reached at any threshold by every training of: EF." in text
    assert "0.75 | 1.0 | 2.5 | 0.90 | 0.500 / 0.200 |" in text


def test_the_json_beside_the_report_holds_the_same_figures(measured, tmp_path):
    write_report(measured, tmp_path / "stratification.md")
    content = json.loads((tmp_path / "stratification.json").read_text())
    assert content["rows"]["ct"]["recall"]["value"] == pytest.approx(0.5)
    assert content["setting"]["patients"]["test"] == 4 and content["setting"]["versions"]["numpy"]
    assert content["trainings"]["ct-x1-seed0"]["seconds"] == 12.3
