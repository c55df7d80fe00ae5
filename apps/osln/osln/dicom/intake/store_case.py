"""One imported case into the store: all of its files or none, the CT last, because the CT makes it a case."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from osln.imaging.grid import Volume, write_volume
from osln.store.patients import import_folder, read_manifest
from osln.store.revisions import label_revisions

TAGS = {"tumor": "gtv", "nodes": "final"}
"""Label tag by part of an import."""


@dataclass(frozen=True)
class ImportedCase:
    """What is written.

    Attributes:
        ct: HU.
        pet: SUV on its own grid, or None.
        tumor: bool on the CT's grid, or None.
        nodes: Instances on the CT's grid, or None.
        transform: CT points to PET points (LPS) if the PET was registered, or None.
        manifest: JSON values.
    """

    ct: Volume
    pet: Volume | None
    tumor: np.ndarray | None
    nodes: np.ndarray | None
    transform: sitk.Transform | None
    manifest: dict[str, Any]


def noted_images(store: Path, case: str) -> str:
    """Tells which images of the CT a case was made from, by their fingerprint; "" if that is not known."""
    ct = (read_manifest(store, case) or {}).get("ct")
    noted = ct.get("instances") if isinstance(ct, dict) else None
    return noted if isinstance(noted, str) else ""


def labels_there(store: Path, case: str) -> tuple[str, ...]:
    """Of "tumor" and "nodes" those that the store has a label of, which no import replaces."""
    there = []
    for part, tag in TAGS.items():
        kept = label_revisions(store, case, tag)
        if kept.final.is_file() or kept.head() is not None:
            there.append(part)
    return tuple(there)


def write_case(store: Path, case: str, content: ImportedCase) -> None:
    """Writes a case whole or not at all.

    Everything is written beside its place first, then moved there. A process that is killed leaves no CT at
    the top of the store, hence no case, and the next import writes it again.

    Raises:
        OSError: If the disk is full or not writable; everything is as it was before.
    """
    ready = import_folder(store) / f"unfinished-{case}"
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir(parents=True)
    moved: list[tuple[Path, Path | None]] = []
    try:
        targets = _write_files(ready, store, case, content)
        for source, target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
            former = _second_name(target, ready / f"former-{len(moved)}") if target.exists() else None
            source.replace(target)
            moved.append((target, former))
    except BaseException:
        for target, former in moved:
            if former is None:
                target.unlink(missing_ok=True)
            else:
                former.replace(target)
        raise
    finally:
        shutil.rmtree(ready, ignore_errors=True)


def _second_name(path: Path, other: Path) -> Path:
    """The same file under another name, too; a copy where the file system has no links."""
    try:
        os.link(path, other)
    except OSError:
        shutil.copy2(path, other)
    return other


def _write_files(ready: Path, store: Path, case: str, content: ImportedCase) -> list[tuple[Path, Path]]:
    ct = content.ct
    name = f"{case}.nii.gz"
    images: list[tuple[str, np.ndarray | None, Volume, Path]] = [
        ("pet", content.pet.array if content.pet else None, content.pet or ct, store / "pet" / name),
        ("tumor", content.tumor, ct, store / "labels" / "gtv" / name),
        ("nodes", content.nodes, ct, store / "nodes" / name),
        (
            "final",
            None if content.nodes is None else content.nodes > 0,
            ct,
            store / "labels" / "final" / name,
        ),
        ("ct", ct.array, ct, store / name),
    ]
    targets = []
    for what, array, volume, target in images:
        if array is not None:
            path = ready / f"{what}.nii.gz"
            write_volume(path, array, volume.grid, volume.file_grid)
            targets.append((path, target))
    if content.transform is not None:
        path = ready / "registration.tfm"
        sitk.WriteTransform(content.transform, str(path))
        targets.insert(0, (path, import_folder(store) / f"{case}.tfm"))
    manifest = ready / "manifest.json"
    manifest.write_text(json.dumps(content.manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    targets.insert(0, (manifest, import_folder(store) / f"{case}.json"))
    return targets
