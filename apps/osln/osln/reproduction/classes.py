"""Which nodes a map finds, by zone, uptake and size, and where its false positives lie."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy import ndimage

from osln.imaging.lung_column import LungColumn
from osln.metrics.definitions import Counts, operating_index, stage_one
from osln.metrics.matching import match, radius_mm
from osln.rows.experiments import PROXIMAL_MM
from osln.stage_one.candidates import CONNECTIVITY

AVID_SUV = 2.5
"""SUVmax from which a node is called avid; the usual one of clinical reports."""
DIAMETERS_MM = (0.0, 6.0, 8.0, 10.0)
"""Lower borders of the size classes: diameter of the sphere of the same volume."""


def node_volumes_mm3(column: LungColumn) -> np.ndarray:
    """(n,) volume of each node by ascending label."""
    nodes: np.ndarray = column.nodes  # type: ignore[assignment]
    return np.unique(nodes[nodes > 0], return_counts=True)[1] * column.grid.voxel_mm3


def node_classes(column: LungColumn) -> dict[int, tuple[str, str]]:
    """For each node label its zone with its uptake, and its size class."""
    nodes: np.ndarray = column.nodes  # type: ignore[assignment]
    labels = np.unique(nodes[nodes > 0])
    classes = {}
    for label, volume in zip(labels, node_volumes_mm3(column), strict=True):
        inside = nodes == label
        words = []
        if column.distance_mm is not None:
            center = tuple(np.round(np.argwhere(inside).mean(axis=0)).astype(int))
            words.append("proximal" if column.distance_mm[center] <= PROXIMAL_MM else "distal")
        if column.pet_suv is not None:
            words.append("avid" if column.pet_suv[inside].max() >= AVID_SUV else "cold")
        at = int(np.searchsorted(DIAMETERS_MM, 2 * radius_mm(volume), side="right")) - 1
        last = at == len(DIAMETERS_MM) - 1
        size = (
            f"from {DIAMETERS_MM[at]:g} mm"
            if last
            else f"{DIAMETERS_MM[at]:g} to {DIAMETERS_MM[at + 1]:g} mm"
        )
        classes[int(label)] = (" ".join(words) or "all", size)
    return classes


OUTSIDE = "outside the searched column"


def class_table(
    columns: Sequence[LungColumn], fused: Iterable[np.ndarray], threshold: float
) -> dict[str, Any]:
    """Recall by class of node, and false positives by zone, at one threshold.

    Returns:
        "classes": [found, all] nodes of each class of `node_classes`; "false": false positives per patient by
        the zone of their center of mass; "radius_only": nodes missed only because the prediction over them
        has no fitting radius.
    """
    classes: dict[str, list[int]] = {}
    false = {"proximal": 0, "distal": 0}
    radius_only = 0
    for column, prob in zip(columns, fused, strict=True):
        labels, n = ndimage.label(prob >= np.float32(threshold), CONNECTIVITY)
        index = np.arange(1, n + 1)
        scores = ndimage.mean(prob, labels, index) if n else np.zeros(0)
        matching = match(labels, column.nodes, scores)  # type: ignore[arg-type]
        radius_only += int(matching.radius_only.sum())
        named = node_classes(column)
        if outside := column.nodes_outside():
            entry = classes.setdefault(OUTSIDE, [0, 0])
            entry[1] += outside
        for label, by in zip(matching.node_labels, matching.found_by, strict=True):
            for name in named[int(label)]:
                entry = classes.setdefault(name, [0, 0])
                entry[0] += int(by >= 0)
                entry[1] += 1
        wrong = index[matching.false_positive]
        for center in ndimage.center_of_mass(labels > 0, labels, wrong) if len(wrong) else []:
            at = tuple(np.round(center).astype(int))
            near = column.distance_mm is not None and column.distance_mm[at] <= PROXIMAL_MM
            false["proximal" if near else "distal"] += 1
    return {
        "classes": dict(sorted(classes.items())),
        "false": {zone: number / len(columns) for zone, number in false.items()},
        "radius_only": radius_only,
    }


def judge(counts: Counts, chosen: Counts) -> dict[str, Any]:
    """A row's figures on test patients, also at the threshold that validation patients chose.

    Args:
        counts: Of the test patients.
        chosen: Of the validation patients.
    """
    figures = asdict(stage_one(counts))
    at = operating_index(chosen)
    with_nodes = counts.n_nodes > 0
    recalls = counts.hit_nodes[with_nodes] / counts.n_nodes[with_nodes, None]
    predictions = (counts.true_predictions + counts.false_predictions)[:, at]
    precise = counts.true_predictions[:, at][predictions > 0] / predictions[predictions > 0]
    figures["ceiling"] = float(recalls.mean(axis=0).max())
    figures["at_validation_threshold"] = {
        "threshold": float(counts.thresholds[at]),
        "recall": float(recalls[:, at].mean()),
        "precision": float(precise.mean()) if len(precise) else None,
        "false_positives": float(counts.false_predictions[:, at].mean()),
    }
    return figures
