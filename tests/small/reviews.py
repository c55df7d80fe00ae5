"""A reviewed label of the case "one": two touching nodes, one of the model and one that was added."""

from typing import Any

import numpy as np

from small.store import NODE, SHAPE, write

BESIDE = np.s_[14:16, 20:23, 8:10]
"""Touches `NODE`: 12 voxels."""
NAMES = [{"name": "lymph node 1", "idx": 3}, {"name": "lymph node 2", "idx": 9}]


def touching() -> np.ndarray:
    """`NODE` as value 3 and what touches it as value 9."""
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[NODE], label[BESIDE] = 3, 9
    return label


def candidate(identity: str, state: str, value: int | None = None, **other: Any) -> dict[str, Any]:
    """An entry of a review as the panel sends it."""
    return {
        "id": identity,
        "state": state,
        "value": value,
        "center_mm": [31.25, -2.5, -4.5],
        "radius_mm": 4.1,
        "score": 0.9,
        "stage_one_score": 0.8,
        "suv_max": None,
        "distance_mm": 12.5,
        "zone": "proximal",
        "origin": "model",
        "seconds": 2.4,
        "tags": [["mediastinum", 0.8]],
        "box_mm": [[27.0, -7.0, -9.0], [35.5, 2.0, 0.0]],
    } | other


def review(*candidates: dict[str, Any], **other: Any) -> dict[str, Any]:
    """A review; without candidates that of `touching`, with a rejected one besides."""
    default = (
        candidate("c1", "accepted", 3),
        candidate("c2", "rejected", score=0.4),
        candidate("c3", "added", 9, origin="click", score=None),
    )
    return {
        "complete": True,
        "seconds": 84.2,
        "undecided": "rejected",
        "model": {"name": "osln", "versions": {"glnet": "shipped"}, "operating_point": "3 FP per patient"},
        "candidates": list(candidates or default),
    } | other


def send(store, tmp_path, label=None, names=None, **params: Any) -> dict[str, Any]:
    """Submits a label of the case as anna; returns the server's reply."""
    path = write(tmp_path / "upload.nii.gz", touching() if label is None else label)
    told = {"label_info": NAMES if names is None else names, "client_id": "anna", "review": review()}
    store.save_label("one", str(path), "final", told | params)
    return store.about_label("one")
