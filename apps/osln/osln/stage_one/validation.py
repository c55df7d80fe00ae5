"""How good one network is inside its own zone on validation patients: what publishing is decided by."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from osln.imaging.lung_column import LungColumn, zone_of
from osln.metrics.definitions import Counts, stage_one
from osln.metrics.sweep import THRESHOLDS, Sweep, sweep
from osln.rows.experiments import SEGMENTERS
from osln.stage_one.inference import Predictor
from osln.weights.checkpoint import Checkpoint

EVEN_ODDS = int(np.argmin(np.abs(THRESHOLDS - 0.5)))
"""Threshold for the progress figures, which cannot wait for an operating point."""


def inside_zone(prob: np.ndarray, nodes: np.ndarray, zone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What one network answers for: its probability and the nodes of its zone.

    A node belongs to the zone that holds most of it; of that node the part inside the zone is asked for.
    Voxels of the other nodes count neither for nor against the network.

    Args:
        prob: (X, Y, Z) probability.
        nodes: (X, Y, Z) integer instances.
        zone: (X, Y, Z) bool.

    Returns:
        Probability and instances, both 0 where the network does not answer.
    """
    own = _of_zone(nodes, zone)
    foreign = ~own[nodes] & (nodes != 0)
    return np.where(zone & ~foreign, prob, 0.0).astype(np.float32), np.where(zone & own[nodes], nodes, 0)


def nodes_asked_for(column: LungColumn, zone: str) -> int:
    """How many nodes of a patient a network of a zone is judged by: its own in the column and outside.

    Raises:
        ValueError: A zone is asked for and the patient has no tumor contour.
    """
    outside = column.nodes_outside(zone)
    if column.nodes is None:
        return outside
    return int(_of_zone(column.nodes, zone_of(column, zone)).sum()) + outside


def _of_zone(nodes: np.ndarray, zone: np.ndarray) -> np.ndarray:
    """By label, whether it is a node of which the zone holds most."""
    whole = np.bincount(nodes.ravel())
    within = np.bincount(nodes[zone], minlength=len(whole))
    own = (2 * within >= whole) & (whole > 0)
    own[0] = False
    return own


def evaluate(checkpoint: Checkpoint, columns: Sequence[LungColumn], device: str = "cpu") -> dict[str, Any]:
    """Stage-one figures of one network alone, in its own zone.

    Args:
        checkpoint: Weights to judge.
        columns: Patients with nodes labeled as instances.
        device: Where to run.

    Returns:
        JSON values. "metric" is mRecall, the figure that publishing is decided by: None if no patient
        has a node in the zone. "recall", "precision", "false_positives" (per patient) and "threshold"
        belong to the operating point, "recall_even", "false_positives_even" to a threshold of about .5;
        "cases" has nodes, found and false predictions of each patient at the operating point.
    """
    return figures_of([column.case for column in columns], sweeps(checkpoint, columns, device))


def sweeps(checkpoint: Checkpoint, columns: Sequence[LungColumn], device: str = "cpu") -> list[Sweep]:
    """What one network finds in each patient inside its zone, at every threshold.

    Arguments as `evaluate`.

    Raises:
        ValueError: A patient has no approved nodes.
    """
    predictor = Predictor(checkpoint, device)
    zone = SEGMENTERS[checkpoint.name].zone
    found = []
    for column in columns:
        if column.nodes is None:
            raise ValueError(
                f"case {column.case} has no approved nodes to compare with: review and submit it"
            )
        inside = inside_zone(predictor.probability(column), column.nodes, zone_of(column, zone))
        found.append(sweep(*inside).with_missed(column.nodes_outside(zone)))
    return found


def figures_of(cases: Sequence[str], found: Sequence[Sweep]) -> dict[str, Any]:
    """The figures of `evaluate` for patients whose sweeps are there."""
    counts = Counts.of(found)
    figures = stage_one(counts)
    nodes = int(counts.n_nodes.sum())
    at = int(np.flatnonzero(counts.thresholds == figures.threshold)[0])
    with_nodes = counts.n_nodes > 0
    even = counts.hit_nodes[with_nodes, EVEN_ODDS] / counts.n_nodes[with_nodes]
    return {
        "metric": figures.mean_recall if nodes else None,
        "recall": figures.recall if nodes else None,
        "precision": None if np.isnan(figures.precision) else figures.precision,
        "false_positives": figures.false_positives,
        "threshold": figures.threshold,
        "recall_even": float(even.mean()) if nodes else None,
        "false_positives_even": float(counts.false_predictions[:, EVEN_ODDS].mean()),
        "patients": len(cases),
        "patients_without_nodes": figures.without_nodes,
        "nodes": nodes,
        "cases": {
            case: {
                "nodes": int(counts.n_nodes[i]),
                "found": int(counts.hit_nodes[i, at]),
                "false": int(counts.false_predictions[i, at]),
            }
            for i, case in enumerate(cases)
        },
    }
