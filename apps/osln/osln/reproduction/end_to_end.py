"""What is made end to end: detectors, and what they find in the evaluated patients."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from osln.cohorts.cohort import Cohort
from osln.cohorts.phantoms import Patient
from osln.files.arrays import write_json
from osln.jobs.worker import device, tell, tell_training
from osln.metrics.matching import Scored
from osln.mulan.detection import SliceDetector
from osln.mulan.training import train_detector
from osln.rows.detectors import Detector
from osln.rows.experiments import Preset
from osln.tagging.node_tags import node_tags
from osln.weights.checkpoint import Checkpoint, load_checkpoint


def train_end_to_end(
    detector: Detector, preset: Preset, cohort: Cohort, iterations: int | None, **given: Any
) -> Checkpoint:
    """Train a detector on the training patients; `given` as by `keep_training`."""
    columns = [cohort.column(case) for case in cohort.cases("train")]
    known = [node_tags(Patient(column, tuple(cohort.findings(column.case)))) for column in columns]
    return train_detector(
        detector, preset, columns, known, iterations=iterations, on_progress=tell_training, **given
    )


def detect_nodes(cohort: Cohort, cases: Mapping[str, Sequence[str]], weights: Path, path: Path) -> None:
    """Keep what a detector finds in the cases of these splits."""
    detector = SliceDetector(load_checkpoint(weights), device(), number_format="f32")
    asked = [(split, case) for split, listed in cases.items() for case in listed]
    found: dict[str, dict[str, object]] = {split: {} for split in cases}
    for number, (split, case) in enumerate(asked, start=1):
        column = cohort.column(case)
        nodes: np.ndarray = column.nodes  # type: ignore[assignment]
        scored = detector.detect(column).scored(nodes, column.nodes_outside())
        content = {"scores": scored.scores.tolist(), "hits": scored.hits.tolist(), "nodes": scored.n_nodes}
        found[split][case] = content
        tell(number / len(asked))
    write_json(path, found)


def read_findings(path: Path, split: str) -> list[Scored]:
    """The (score, hit) pairs of each patient of a split, from the file of `detect_nodes`."""
    return [
        Scored(
            np.array(one["scores"], dtype=np.float64), np.array(one["hits"], dtype=bool), int(one["nodes"])
        )
        for one in json.loads(path.read_text())[split].values()
    ]
