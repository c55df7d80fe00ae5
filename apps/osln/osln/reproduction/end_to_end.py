"""Jobs of the end-to-end detectors: their training, and what they find in the evaluated patients."""

import json
from functools import partial

import numpy as np

from osln.cohorts.phantoms import Patient
from osln.files.arrays import write_json
from osln.learning.fit import Progress
from osln.metrics.matching import Scored
from osln.mulan.detection import SliceDetector
from osln.mulan.training import train_detector
from osln.reproduction.jobs import device, tell
from osln.reproduction.kept_training import keep_training
from osln.reproduction.plan import EVALUATED, Plan
from osln.rows.detectors import DETECTORS
from osln.rows.lines import Row
from osln.tagging.node_tags import node_tags
from osln.weights.checkpoint import load_checkpoint


def train_end_to_end(plan: Plan, name: str, row: Row, seed: int) -> None:
    """Train a detector and keep it; goes on where an interrupted training was."""
    cases = plan.cohort.cases("train")
    columns = [plan.cohort.column(case) for case in cases]
    known = [node_tags(Patient(column, tuple(plan.cohort.findings(column.case)))) for column in columns]
    training = partial(
        train_detector,
        DETECTORS[str(row.detector)],
        plan.preset,
        columns,
        known,
        iterations=plan.detector_iterations,
        on_progress=partial(_told, name),
    )
    keep_training(plan, plan.detector_path(row, seed), seed, training)


def _told(name: str, state: Progress) -> None:
    tell(name, state.share, f"loss {state.loss:.3f}")


def detect_nodes(plan: Plan, name: str, row: Row, seed: int) -> None:
    """Keep what a detector finds in the evaluated patients."""
    detector = SliceDetector(load_checkpoint(plan.detector_path(row, seed)), device(), precision="f32")
    cases = [(split, case) for split in EVALUATED for case in plan.cohort.cases(split)]
    found: dict[str, dict[str, object]] = {split: {} for split in EVALUATED}
    for number, (split, case) in enumerate(cases, start=1):
        column = plan.cohort.column(case)
        scored = detector.detect(column).scored(column.nodes)  # type: ignore[arg-type]
        content = {"scores": scored.scores.tolist(), "hits": scored.hits.tolist(), "nodes": scored.n_nodes}
        found[split][case] = content
        tell(name, number / len(cases))
    write_json(plan.found_path(row, seed), found)


def detected_patients(plan: Plan, row: Row, seed: int, split: str) -> list[Scored]:
    """The (score, hit) pairs of a detector on the patients of a split."""
    stored = json.loads(plan.found_path(row, seed).read_text())[split]
    return [
        Scored(
            np.array(stored[case]["scores"], dtype=np.float64),
            np.array(stored[case]["hits"], dtype=bool),
            int(stored[case]["nodes"]),
        )
        for case in plan.cohort.cases(split)
    ]
