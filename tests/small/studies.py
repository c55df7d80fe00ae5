"""A store of small patients with approved labels, and networks that find every bright ball in it."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from osln.retraining import candidate_cache
from osln.rows.experiments import GATED, LATE_FUSION, PRESETS, Preset
from osln.store.patients import import_folder
from osln.store.splits import assign
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore, Version
from small.columns import small_column, tiny_preset
from small.store import untrained

TRAIN, VALIDATION, TEST = ("d", "f", "g"), ("a", "c"), ("b",)
"""Splits of the cases that `add_case` makes."""
SPLITS = {
    case: split
    for split, cases in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST))
    for case in cases
}


def write(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def add_case(
    root: Path,
    case: str,
    *,
    pet: bool = True,
    approved: bool = True,
    truth: bool = False,
    nodes: int = 4,
    deleted: tuple[int, ...] = (),
) -> None:
    """Writes a patient; of its bright balls the annotator has deleted some from the approved label."""
    column = small_column(ord(case), case=case, nodes=nodes)
    affine = column.grid.affine
    write(root / f"{case}.nii.gz", column.ct_hu, affine)
    if pet:
        write(root / "pet" / f"{case}.nii.gz", column.pet_suv.astype(np.float32), affine)
    tumor = (column.distance_mm <= 0).astype(np.uint8)
    write(root / "labels" / "gtv" / f"{case}.nii.gz", tumor, affine)
    if approved:
        label = (column.nodes > 0) & ~np.isin(column.nodes, deleted)
        write(root / "labels" / "final" / f"{case}.nii.gz", label.astype(np.uint8), affine)
    if case in SPLITS:
        assign(root, [case], wanted=SPLITS)
    if truth:
        write(root / "truth" / f"{case}.nii.gz", column.nodes, affine)


def tiny_stage_two() -> Preset:
    """The tiny recipe with a GLNet that trains in a second."""
    small = {"patch": (8, 8, 8), "margin": 2, "widths": (4, 4, 8, 8), "features": 8, "batch": 8, "epochs": 4}
    return tiny_preset(stage_two=replace(PRESETS["demo"].stage_two, **small))


def use_tiny_networks(monkeypatch) -> None:
    """Two tiny presets of the same voxels, `demo` and a wider one; stage one is `FindsBright`."""
    tiny = tiny_stage_two()
    monkeypatch.setitem(PRESETS, "demo", tiny)
    monkeypatch.setitem(PRESETS, "wide", replace(tiny, name="wide", widths=((6, 6), (8, 8))))
    monkeypatch.setattr(candidate_cache, "Predictor", FindsBright)
    monkeypatch.setattr(FindsBright, "asked", [])


def publish_stage_one(models: ModelStore, **metadata: object) -> dict[str, Version]:
    """Publishes late fusion and the gated networks, which have seen nobody unless the metadata say so."""
    return {name: published(models, untrained(name), **metadata) for name in (*LATE_FUSION, *GATED)}


def published(models: ModelStore, checkpoint: Checkpoint, **metadata: object) -> Version:
    """Stores and publishes a network with these metadata."""
    return models.publish(checkpoint.name, stored(models, checkpoint, **metadata).name)


def stored(models: ModelStore, checkpoint: Checkpoint, **metadata: object) -> Version:
    """Stores a network with these metadata; it has seen nobody unless they say so."""
    known = {"preset": checkpoint.preset, "train_cases": [], **metadata}
    return models.add(replace(checkpoint, metadata=known))


class FindsBright:
    """Stands in for a predictor: every bright ball, more likely the further up; "asked" lists the calls."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", number_format: str | None = None) -> None:
        self.name = checkpoint.name
        self.preset = PRESETS[checkpoint.preset]

    def probability(self, column) -> np.ndarray:
        FindsBright.asked.append((column.case, self.name))
        height = np.linspace(0.8, 0.95, column.ct_hu.shape[2])
        return np.where(column.ct_hu > 0, height, 0.0).astype(np.float32)


class BrightnessTags:
    """Stands in for a tagger: the CT at the middle of a lesion, the same for all tags."""

    def __init__(self, sha256: str = "f" * 64) -> None:
        self.sha256 = sha256
        self.asked = 0

    def describe(self) -> dict[str, object]:
        return {"name": "LesaNet", "origin": "phantom", "sha256": self.sha256, "trained_on": "phantom"}

    def tag_lesions(self, ct, lesions: np.ndarray) -> np.ndarray:
        self.asked += 1
        centers = np.stack([lesions[:, :2].mean(axis=1), lesions[:, 2:4].mean(axis=1), lesions[:, 4]], axis=1)
        at = np.round(ct.grid.mm_to_index(centers)).astype(int)
        return np.repeat(ct.array[tuple(at.T)][:, None], 171, axis=1).astype(np.float32) / 100


def of_patient(root: Path, patient: str, *cases: str) -> None:
    """Notes as the import does that these cases are one patient's."""
    folder = import_folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        (folder / f"{case}.json").write_text(json.dumps({"case": case, "patient": patient}))
