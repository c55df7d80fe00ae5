"""The networks of a run's first seed as the weights that come with the software."""

from pathlib import Path
from typing import Any

from osln.reproduction.artifacts import Artifacts
from osln.reproduction.plan import Plan
from osln.reproduction.reading import row_patients
from osln.retraining.operating_points import operating_curve, operating_points, score_thresholds
from osln.rows.experiments import ROWS
from osln.tagging.tagger import Tagger
from osln.weights.checkpoint import Checkpoint, load_checkpoint
from osln.weights.shipped import write_shipped


def ship(plan: Plan, folder: Path) -> None:
    """Writes the networks of the rows that the server offers, with operating points of validation patients.

    The tagger goes with them, because a classifier that reads tags understands those of its own tagger only.

    Raises:
        ValueError: The run has not all of these rows.
    """
    artifacts = Artifacts(plan)
    networks: dict[str, Checkpoint] = {}
    classifiers: dict[str, Checkpoint] = {}
    scores: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for row in (row for row in ROWS.values() if row.served and not row.of_one_zone):
        if row not in plan.rows:
            raise ValueError(f"the run has no row {row.key}, which {row.name} needs: use --table all")
        for network in plan.networks(row, 0):
            networks.setdefault(network.segmenter, load_checkpoint(artifacts.training(network).path))
        if row.classifier is not None:
            classifiers[row.classifier] = load_checkpoint(artifacts.classifier(row, 0).path)
            patients = row_patients(artifacts, row, 0, "validation")
            scores[row.classifier] = score_thresholds(patients)
            curves[row.classifier] = (row.networks, operating_curve(patients))
    columns = [plan.cohort.column(case) for case in plan.cohort.cases("validation")]
    points = operating_points(networks, columns) | scores
    tagger = (plan.tagger, Tagger.load(plan.tagger).describe())
    write_shipped(folder, networks | classifiers, points, tagger, plan.command, curves)
