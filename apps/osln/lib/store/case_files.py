"""Taking a CT into a store as a case, and taking a case out of it."""

import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from lib.errors import NotReadyError, UnknownCaseError
from lib.options import listed
from lib.store.cases import UPLOAD_SUFFIXES, read_ct
from lib.store.shelf import Shelf
from osln.dicom.served.uids import UID_ROOT
from osln.files.images import split_suffix, twins, write_atomically
from osln.files.whole import name_before
from osln.imaging.grid import Volume, read_volume, write_volume
from osln.store.layout import check_case
from osln.store.revisions import label_revisions

REMOVED = Path(".osln", ".removed")
COMPANIONS = ("pet", "truth", "nodes", "labels/gtv", "labels/final", "labels/original")


def take_ct(store: Shelf, image_id: str, image_file: str | Path, info: dict[str, Any]) -> str:
    """Stores an uploaded CT, after reading it; returns the id of its case.

    A CT that the case has already is no conflict: 3D Slicer uploads it when an annotator has opened a
    stored CT by hand, to correct a label that was submitted before.

    Args:
        store: The store.
        image_id: Id of the case; the name of the file if it is empty.
        image_file: The upload.
        info: Notes that came beside it.

    Raises:
        ValueError: If it is not a CT in a format that is read, or its id could be the UID of a case.
        NotReadyError: If the case exists already with another CT.
    """
    source = Path(image_file)
    name, suffix = split_suffix(source)
    if suffix not in UPLOAD_SUFFIXES:
        raise ValueError(
            f"a CT is uploaded as one of {listed(UPLOAD_SUFFIXES)}, got a file named *{source.suffix}"
        )
    case = check_case(image_id or name)
    if case.startswith(UID_ROOT):
        raise ValueError(
            f"{case} cannot be a case id here: viewers name cases by UIDs that begin with {UID_ROOT!r}; take "
            "another one (in 3D Slicer: rename the volume)"
        )
    ct = read_ct(case, source)
    target = store.root / f"{case}{'.nii.gz' if suffix == '.nrrd' else suffix}"
    settle_removed(store.root)
    with store.revisions(case, "final").lock():
        if others := [path for path in (target, *twins(target)) if path.exists()]:
            if len(others) == 1 and _same_image(read_volume(others[0]), ct):
                return case
            raise NotReadyError(
                f"case {case} exists already with another CT ({others[0].name}); remove it first (DELETE "
                "/datastore/image) or choose another id (in 3D Slicer: rename the volume)"
            )
        if suffix == ".nrrd":
            write_volume(target, ct.array, ct.grid, ct.file_grid)
        else:
            write_atomically(target, source.read_bytes())
        store.register_case(case, target, info)
    return case


def put_away(store: Shelf, case: str, ct: Path) -> None:
    """Takes a case out of the store; its companions and revisions are moved to `.osln/.removed`.

    They must not stay in place: a CT stored later under the same id would get another patient's PET. The CT
    goes first, by one rename, which decides: killed before it, the case is whole; killed after it, there is
    no case, and `settle_removed` moves what is left.
    """
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
    archive = _free(store.root / REMOVED / f"{case}-{stamp}")
    nodes, tumor = store.revisions(case, "final"), store.revisions(case, "gtv")
    with nodes.lock(), tumor.lock():
        nodes.settle()
        tumor.settle()
        if not ct.is_file():
            raise UnknownCaseError(f"case {case} was removed from the store meanwhile")
        archive.mkdir(parents=True)
        ct.replace(archive / ct.name)
        store.refresh()
        _finish(store.root, archive)


def settle_removed(root: Path) -> None:
    """Ends the removals that were interrupted: those whose archive still holds the CT.

    Args:
        root: Folder of the store.
    """
    for archive in sorted((root / REMOVED).glob("*/")):
        for ct in _images(archive):
            with label_revisions(root, split_suffix(ct)[0], "final").lock():
                _finish(root, archive)


def _finish(root: Path, archive: Path) -> None:
    for ct in _images(archive):
        case = split_suffix(ct)[0]
        for folder in COMPANIONS:
            for path in (root / folder).glob(f"{case}.*"):
                # Beside the images the JSON of a prediction; "p1.json.nii.gz" is of the case "p1.json".
                its = split_suffix(name_before(path.name))[0] == case
                if its or path.name == f"{case}.json":
                    _move(path, archive / folder / path.name)
        # The lock stays: whoever waits for it must not find another one.
        for path in (root / ".osln" / case).glob("*"):
            if path.name != ".lock":
                _move(path, archive / "revisions" / path.name)
        ct.unlink()


def _images(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if split_suffix(path)[1] and path.is_file()]


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(_free(target))


def _free(path: Path) -> Path:
    """The path, or one that nothing has yet: a clock that was set back makes the same stamp twice."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}") if path.exists() else path


def _same_image(one: Volume, other: Volume) -> bool:
    return one.grid.matches(other.grid) and np.array_equal(one.array, other.array)
