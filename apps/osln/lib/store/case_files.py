"""Taking a CT into a store as a case, and taking a case out of it."""

import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.errors import NotReadyError
from lib.options import listed
from lib.store.cases import UPLOAD_SUFFIXES, read_ct
from osln.files.images import split_suffix, twins, write_atomically
from osln.imaging.grid import Volume, read_volume, write_volume
from osln.store.layout import check_case

if TYPE_CHECKING:
    from lib.store.datastore import OslnDatastore

COMPANIONS = ("pet", "truth", "nodes", "labels/gtv", "labels/final", "labels/original")


def take_ct(store: "OslnDatastore", image_id: str, image_file: str | Path, info: dict[str, Any]) -> str:
    """Stores an uploaded CT, after reading it; returns the id of its case.

    A CT that the case has already is no conflict: 3D Slicer uploads it when an annotator has opened a
    stored CT by hand, to correct a label that was submitted before.

    Args:
        store: The store.
        image_id: Id of the case; the name of the file if it is empty.
        image_file: The upload.
        info: Notes that came beside it.

    Raises:
        ValueError: If it is not a CT in a format that is read.
        NotReadyError: If the case exists already with another CT.
    """
    source = Path(image_file)
    name, suffix = split_suffix(source)
    if suffix not in UPLOAD_SUFFIXES:
        raise ValueError(
            f"a CT is uploaded as one of {listed(UPLOAD_SUFFIXES)}, got a file named *{source.suffix}"
        )
    case = check_case(image_id or name)
    ct = read_ct(case, source)
    target = store.root / f"{case}{'.nii.gz' if suffix == '.nrrd' else suffix}"
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


def put_away(store: "OslnDatastore", case: str, ct: Path) -> None:
    """Removes a CT; the companions and revisions of its case are moved to `.osln/.removed`.

    They must not stay in place: a CT stored later under the same id would get another patient's PET.
    """
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
    archive = store.root / ".osln" / ".removed" / f"{case}-{stamp}"
    archive.mkdir(parents=True)
    for tag in ("final", "gtv"):
        kept = store.revisions(case, tag)
        with kept.lock():
            kept.settle()
    for folder in COMPANIONS:
        for path in (store.root / folder).glob(f"{case}.*"):
            if split_suffix(path)[0] in (case, f"{case}.json"):
                (archive / folder).mkdir(parents=True, exist_ok=True)
                shutil.move(path, archive / folder / path.name)
    shutil.move(store.root / ".osln" / case, archive / "revisions")
    ct.unlink()


def _same_image(one: Volume, other: Volume) -> bool:
    return one.grid.matches(other.grid) and np.array_equal(one.array, other.array)
