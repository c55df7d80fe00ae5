"""Detections as JSON: what the server replies and what is written beside a label map."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from osln.files.arrays import plain
from osln.output.label_maps import LABELS, LAST_VALUE, WITH_REJECTED, candidate_names
from osln.pipeline import Pipeline
from osln.stage_one.candidates import Detections
from osln.weights.model_store import Version

NOTE = "Research software, not for clinical use: every candidate is to be checked by a physician."


def result(
    found: Detections,
    pipeline: Pipeline,
    *,
    warnings: Sequence[str],
    latencies: Mapping[str, float],
    with_rejected: bool,
    with_values: bool = False,
) -> dict[str, Any]:
    """Everything that is said about one patient, as JSON values.

    Args:
        found: The candidates.
        pipeline: What found them.
        warnings: About the case's files.
        latencies: Seconds by step.
        with_rejected: Whether rejected candidates are the second value of the label map.
        with_values: Whether each candidate has a value of its own in the label map (`candidate_map`); then
            its entry says which one, None if there is none left, and `operating_curve` what to expect of
            another operating point.
    """
    names = WITH_REJECTED if with_rejected else LABELS
    told = entries(found)
    if with_values:
        names = candidate_names(found)
        for entry in told["candidates"]:
            entry["value"] = entry["id"] if entry["id"] <= LAST_VALUE else None
        told["operating_curve"] = pipeline.curve
    return plain(
        told
        | {
            "model": pipeline.row.name,
            "operating_point": pipeline.point,
            "device": pipeline.device,
            "warnings": [*pipeline.warnings, *warnings, *found.column.warnings],
            "models": described(pipeline.versions),
            "latencies": {step: round(seconds, 3) for step, seconds in latencies.items()},
            "label_names": names,
            "note": NOTE,
        }
    )


def entries(found: Detections) -> dict[str, Any]:
    """Candidates as JSON values, each with its box in millimeters, and the grid their voxel boxes mean."""
    result = found.to_json()
    del result["seconds"]
    for entry in result["candidates"]:
        corners = [[x, y, z] for x in entry["box"][0] for y in entry["box"][1] for z in entry["box"][2]]
        # Voxel faces, half a voxel before the first and past the last center.
        faces = found.column.grid.index_to_mm(np.array(corners) - 0.5)
        entry["box_mm"] = [faces.min(axis=0), faces.max(axis=0)]
    grid = found.column.grid
    return result | {
        "coordinates": "RAS patient system in millimeters (x to the right, y to the front, z to the head)",
        "grid": {"shape": grid.shape, "affine": grid.affine, "meaning": "voxel boxes of the candidates"},
    }


def described(versions: Mapping[str, Version | None]) -> dict[str, Any]:
    """Versions as JSON: what every result and `/info/` say about the weights."""
    return {
        name: version
        and {
            "version": version.name,
            "sha256": version.sha256,
            "trained_on": version.trained_on,
            "created": version.metadata.get("created"),
        }
        for name, version in versions.items()
    }
