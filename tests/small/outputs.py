"""Runs cases as the command does, with networks that find what is bright."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from osln.dicom.intake.roi_names import load_rules
from osln.output.inputs import Reading, find_cases
from osln.output.running import Outcome, run_cases
from osln.output.writing import Wanted
from osln.pipeline import load_pipeline
from osln.rows.experiments import ROWS
from osln.weights.model_store import ModelStore
from small import store as small_store

NETWORKS = ("ct", "ct-proximal", "ct-distal", "local-ct-pet")


@pytest.fixture(scope="session")
def bright_models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bright")
    small_store.publish(folder, NETWORKS)
    return folder


@pytest.fixture
def bright(bright_models, monkeypatch):
    """`run` with stand-ins for networks: every voxel above 100 HU is a node."""
    monkeypatch.setattr("osln.published.Predictor", small_store.BrightVoxels)
    monkeypatch.setattr("osln.published.CandidateScorer", small_store.BrightnessScores)

    def run(inputs: Any, out: Path, row: str = "ct", *, models: Path = bright_models, **options: Any):
        return detected(inputs, out, row, models, **options)

    return run


def detected(
    inputs: Any,
    out: Path,
    row: str,
    models: Path,
    *,
    overwrite: bool = False,
    score: float = 0.0,
    ct_dicom: Path | None = None,
    keep_identity: bool = False,
    **wanted: Any,
) -> list[Outcome]:
    """What becomes of each case.

    Args:
        inputs: Paths, as on the command line.
        out: Made if it is not there.
        row: Name of the row.
        models: Model store.
        wanted: Of `Wanted`; the others are options of the command.
    """
    out.mkdir(parents=True, exist_ok=True)
    reading = Reading(ROWS[row], load_rules(None, []), keep_identity, ct_dicom)
    with ExitStack() as stack:
        cases = find_cases([str(path) for path in inputs], reading, stack)
        pipeline = load_pipeline(ModelStore(models), row, score=score)
        return list(run_cases(cases, pipeline, Wanted(out, **wanted), overwrite=overwrite))
