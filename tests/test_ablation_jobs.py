import numpy as np
import pytest

from osln import ablation_jobs, cohort
from osln.ablation import ROWS, Run
from osln.ablation_jobs import (
    Plan,
    evaluate_row,
    jobs_of,
    make_phantoms,
    row_counts,
    row_figures,
    train_network,
)
from osln.cohort import Patient
from osln.experiments import SERVED_SEGMENTERS
from osln.sweep import THRESHOLDS
from small_columns import small_column
from small_store import untrained

TRUTH = {label: {"zone": "proximal", "avid": False, "short_axis_mm": 7.0} for label in range(1, 5)}


class TruthPredictor:
    """Answers with the nodes."""

    def __init__(self, checkpoint, device="cpu", precision="auto"):
        pass

    def probability(self, column):
        return np.where(column.nodes > 0, 0.9, 0.0).astype(np.float32)


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Two patients of each split; trainings and predictions are replaced, and counted."""
    made = []

    def train(segmenter, preset, columns, **options):
        made.append((segmenter.name, options["iterations"], options["seed"]))
        return untrained(segmenter.name)

    def make_patient(seed, *_):
        return Patient(small_column(seed, case=f"phantom-{seed}"), TRUTH, {"proximal": 0, "distal": 0})

    monkeypatch.setattr(ablation_jobs, "train", train)
    monkeypatch.setattr(ablation_jobs, "Predictor", TruthPredictor)
    monkeypatch.setattr(cohort, "make_patient", make_patient)
    found = Plan(str(tmp_path), {"train": 2, "validation": 2, "test": 2}, 10, 2, ("ct", "two-ct"))
    object.__setattr__(found, "made", made)
    return found


def test_a_job_waits_for_what_it_needs(plan):
    jobs = jobs_of(plan, None)
    assert jobs["ct-x1-seed1"].needed == ("phantoms 0",)
    assert jobs["two-ct seed 1"].needed == ("ct-x1-seed1", "ct-x1-seed0")
    assert list(jobs) == [
        "phantoms 0",
        "ct-x1-seed0",
        "ct-x1-seed1",
        *(f"{r} seed {s}" for s in (0, 1) for r in plan.rows),
    ]


def test_the_weights_are_shipped_as_soon_as_seed_0_is_trained(tmp_path):
    whole = Plan(str(tmp_path), {"train": 2, "validation": 2, "test": 2}, 10, 3, tuple(ROWS))
    jobs = jobs_of(whole, tmp_path / "shipped")
    assert set(jobs["ship"].needed) == {Run(name, 1, 0).name for name in SERVED_SEGMENTERS}
    assert list(jobs).index("ship") < list(jobs).index("ct-x1-seed0")


def test_what_lies_in_the_folder_is_not_made_again(plan):
    make_phantoms(plan, [100_000, 100_001])
    for _ in range(2):
        train_network(plan, Run("ct", 1, 0))
    assert plan.made == [("ct", 10, 0)]
    train_network(plan, Run("ct", 2, 1))
    assert plan.made[1] == ("ct", 20, 1)


def test_a_row_is_fused_and_counted_from_the_stored_maps(plan):
    for seed in (0, 1):
        train_network(plan, Run("ct", 1, seed))
    evaluate_row(plan, "two-ct", 0)
    counts = row_counts(plan, "two-ct", 0)
    assert counts.n_nodes.tolist() == [4, 4] and counts.hit_nodes.max(axis=1).tolist() == [4, 4]
    figures = row_figures(plan, "two-ct", 0)
    assert figures["recall"] == 1.0 and figures["table"]["classes"]["proximal cold"] == [8, 8]


def test_a_row_counted_with_other_thresholds_is_counted_again(plan, monkeypatch):
    train_network(plan, Run("ct", 1, 0))
    evaluate_row(plan, "ct", 0)
    path = plan.folder / "rows" / "ct-seed0.npz"
    before = path.stat().st_mtime_ns
    evaluate_row(plan, "ct", 0)
    assert path.stat().st_mtime_ns == before
    monkeypatch.setattr(ablation_jobs, "THRESHOLDS", THRESHOLDS[:-1])
    evaluate_row(plan, "ct", 0)
    assert path.stat().st_mtime_ns > before
