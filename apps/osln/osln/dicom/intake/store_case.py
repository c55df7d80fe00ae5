"""One imported case into the store: all of its files or none, the CT last, because the CT makes it a case."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from osln.files.images import twins
from osln.imaging.grid import Volume, write_volume
from osln.store.file_content import content_of
from osln.store.imported_pet import WRITTEN, is_another_pet
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
        manifest: JSON values; `write_case` adds whether the nodes are approved and which file the PET is.
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
    """Of "tumor" and "nodes" those that the store has a label of, which no import replaces.

    In any format, and also one that was taken away and whose revisions are kept.
    """
    return tuple(
        part
        for part, tag in TAGS.items()
        if labels_lie(store, case, part) or label_revisions(store, case, tag).head() is not None
    )


def labels_lie(store: Path, case: str, part: str) -> bool:
    """Whether a label of "tumor" or "nodes" lies in the store; of one that was taken away revisions stay."""
    final = label_revisions(store, case, TAGS[part]).final
    return final.is_file() or bool(twins(final))


def labeled_images(store: Path, case: str) -> str:
    """The images of the CT that the labels of a case were drawn on, as `noted_images`; "" if not known.

    Once there is a label, the images of a case are never exchanged: those that are noted for one of its
    labels, or for what was imported last, are those of all.
    """
    heads = (label_revisions(store, case, tag).head() for tag in TAGS.values())
    return next((head.images for head in heads if head and head.images), noted_images(store, case))


def check_same_images(store: Path, case: str, instances: str) -> None:
    """Refuses to put other images under labels that stay.

    Args:
        store: Folder of the store.
        case: Id of the case.
        instances: Tells which images are to be written, as `noted_images`.

    Raises:
        ValueError: If there are labels that were drawn on other images.
    """
    noted = labeled_images(store, case) if labels_there(store, case) else ""
    if noted and noted != instances:
        raise ValueError(
            f"the store has labels of case {case} that were drawn on other images of this CT: import those, "
            "or move the labels away"
        )


def write_case(store: Path, case: str, content: ImportedCase) -> dict[str, Any]:
    """Writes a case whole or not at all.

    Everything is written beside its place first, then moved there; what a former import brought and the
    study has no more is taken away, so that the store holds what the manifest says. A process that is killed
    leaves no CT at the top of the store, hence no case, and the next import writes it again; a former CT goes
    first, lest it lie beside the manifest, PET or tumor of other images. A label that somebody has stored
    meanwhile stays, which the manifest says.

    Returns:
        The manifest as it was written.

    Raises:
        OSError: If the disk is full or not writable; everything is as it was before.
        ValueError: If an image lies there in another format, or a label that was drawn on other images, or
            somebody else is writing a label for long; everything is as it was before.
    """
    ready = import_folder(store) / f"unfinished-{case}"
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir(parents=True)
    try:
        files = _write_files(ready, store, case, content)
        # From here on no label can come that was not looked at.
        with _label_locks(store, case):
            check_same_images(store, case, content.manifest["ct"]["instances"])
            there = labels_there(store, case)
            sources = {target: source for _, source, target in files}
            pet = sources.get(store / "pet" / f"{case}.nii.gz")
            manifest = _completed(store, case, content, there, pet)
            noted = ready / "manifest.json"
            noted.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            # First what goes: a process that is killed after it leaves the former manifest, which says that
            # it came from an import, so that the next one does not take it for somebody's own.
            gone = [*_images(store / f"{case}.nii.gz"), *_withdrawn(store, case, content, there)]
            moves: list[tuple[Path | None, Path]] = [(None, path) for path in gone]
            moves.append((noted, import_folder(store) / f"{case}.json"))
            moves += [(source, target) for part, source, target in files if part not in there]
            _move_all(moves, ready)
    finally:
        shutil.rmtree(ready, ignore_errors=True)
    return manifest


@contextmanager
def _label_locks(store: Path, case: str) -> Iterator[None]:
    """Those of the nodes and of the tumor, in the order in which submissions take them."""
    with ExitStack() as held:
        for tag in ("final", "gtv"):
            held.enter_context(label_revisions(store, case, tag).lock())
        yield


def _completed(
    store: Path, case: str, content: ImportedCase, there: tuple[str, ...], pet: Path | None
) -> dict[str, Any]:
    """The manifest of a case whose labels in `there` stay.

    Tells whether nodes are approved, of labels that came during the import, of a PET of somebody's own, and
    by which file the PET of this import is known.
    """
    comes = "nodes" not in there and content.nodes is not None
    manifest = {**content.manifest, "approved": comes or labels_lie(store, case, "nodes")}
    if pet is not None:
        manifest["pet"] = {**(content.manifest.get("pet") or {}), WRITTEN: content_of(pet)}
    if not _had_pet(store, case) and (own := _images(store / "pet" / f"{case}.nii.gz")):
        told = (
            "was replaced by the study's PET"
            if content.pet is not None
            else "stayed, and is used with the CT: move it away if it is not meant"
        )
        manifest["warnings"] = [
            *manifest["warnings"],
            f"pet/{own[0].name}, which the last import did not write, {told}",
        ]
    if came := [part for part in there if getattr(content, part) is not None]:
        told = (
            f"a label of the {' and one of the '.join(came)} was stored while this case was imported: it "
            "stayed as it is, and what the study has was not written"
        )
        manifest["warnings"] = [*manifest["warnings"], told]
    return manifest


def _withdrawn(store: Path, case: str, content: ImportedCase, there: tuple[str, ...]) -> list[Path]:
    """Files that a former import wrote of what the study does not have any more, and its PET in any case.

    A PET of a case that was imported without one, or another than that import wrote, is somebody's own, and
    stays. So a former PET goes before the manifest that would call it another one.
    """
    name, gone = f"{case}.nii.gz", []
    if _had_pet(store, case):
        gone += _images(store / "pet" / name)
    if content.nodes is None and "nodes" not in there:
        gone += _images(store / "nodes" / name)
    transform = import_folder(store) / f"{case}.tfm"
    return [*gone, transform] if content.transform is None and transform.is_file() else gone


def _had_pet(store: Path, case: str) -> bool:
    """Whether the last import of a case brought a PET, and what lies there is no other one."""
    lying = _images(store / "pet" / f"{case}.nii.gz")
    brought = bool((read_manifest(store, case) or {}).get("pet"))
    return brought and not any(is_another_pet(store, case, one) for one in lying)


def _images(path: Path) -> list[Path]:
    """The image files of this name, whatever their suffixes."""
    return [one for one in (path, *twins(path)) if one.is_file()]


def _move_all(moves: list[tuple[Path | None, Path]], ready: Path) -> None:
    """Moves files to their places, and takes away what None comes for, or does nothing of it.

    What lies there is kept in `ready` meanwhile.
    """
    for source, target in moves:
        if source is not None and (others := twins(target)):
            raise ValueError(
                f"{others[0].name} would lie beside {target.name} in {target.parent.name}, and programs "
                "confuse the two: move it away and import again"
            )
    # Before the first move: where they are copies they take time, and meanwhile there must be a CT.
    formers: dict[Path, Path] = {}
    for _, target in moves:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target not in formers and target.exists():
            formers[target] = _second_name(target, ready / f"former-{len(formers)}")
    moved: list[tuple[Path, Path | None]] = []
    try:
        for source, target in moves:
            moved.append((target, formers.pop(target, None)))
            if source is None:
                target.unlink()
            else:
                source.replace(target)
    except BaseException:
        # The CT, which went first, comes back last.
        for target, former in reversed(moved):
            if former is None:
                target.unlink(missing_ok=True)
            else:
                former.replace(target)
        raise


def _second_name(path: Path, other: Path) -> Path:
    """The same file under another name, too; a copy where the file system has no links."""
    try:
        os.link(path, other)
    except OSError:
        shutil.copy2(path, other)
    return other


def _write_files(ready: Path, store: Path, case: str, content: ImportedCase) -> list[tuple[str, Path, Path]]:
    """Which part of the case each written file is of, the file, and where it is to lie; the CT last."""
    ct, nodes = content.ct, content.nodes
    name = f"{case}.nii.gz"
    images: list[tuple[str, np.ndarray | None, Volume, Path]] = [
        ("pet", content.pet.array if content.pet else None, content.pet or ct, store / "pet" / name),
        ("tumor", content.tumor, ct, store / "labels" / "gtv" / name),
        ("nodes", nodes, ct, store / "nodes" / name),
        ("final", None if nodes is None else nodes > 0, ct, store / "labels" / "final" / name),
        ("ct", ct.array, ct, store / name),
    ]
    files = []
    if content.transform is not None:
        path = ready / "registration.tfm"
        sitk.WriteTransform(content.transform, str(path))
        files.append(("pet", path, import_folder(store) / f"{case}.tfm"))
    for what, array, volume, target in images:
        if array is not None:
            path = ready / f"{what}.nii.gz"
            write_volume(path, array, volume.grid, volume.file_grid)
            files.append(("nodes" if what == "final" else what, path, target))
    return files
