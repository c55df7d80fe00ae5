"""Taking a CT into a store as a case, and taking a case out of it."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from lib.errors import NotReadyError, UnfinishedError, UnknownCaseError
from lib.options import listed
from lib.store.cases import UPLOAD_SUFFIXES, read_ct
from lib.store.shelf import Shelf
from lib.store.shown_labels import settle
from osln.dicom.served.uids import UID_ROOT
from osln.files.images import split_suffix, twins, write_atomically
from osln.imaging.grid import Volume, read_volume, write_volume
from osln.store.layout import check_case, one_file
from osln.store.removals import REMOVED, begin_removal, end_removal, settle_removed
from osln.store.revisions import Revisions

logger = logging.getLogger(__name__)


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
        UnfinishedError: If a former case of this id is removed and something of it cannot be moved away yet.
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
    if left := settle_removed(store.root).get(case):
        raise UnfinishedError(left)
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


def put_away(store: Shelf, case: str) -> None:
    """Takes a case out of the store; its companions and revisions are moved to `.osln/.removed`.

    They must not stay in place: a CT stored later under the same id would get another patient's PET. The CT
    goes first: killed before that, the case is whole; killed after it, there is no case, and `settle_removed`
    moves what is left. Of a link the link goes, and what it leads to stays.

    Raises:
        UnknownCaseError: If somebody else has removed it meanwhile.
        UnfinishedError: If the case is removed, and something of it could not be moved yet.
    """
    nodes, tumor = store.revisions(case, "final"), store.revisions(case, "gtv")
    with nodes.lock(), tumor.lock():
        for kept, tag in ((nodes, "final"), (tumor, "gtv")):
            _settle_if_possible(store, kept, case, tag)
        ct = one_file(store.root, case)
        if ct is None:
            raise UnknownCaseError(f"case {case} was removed from the store meanwhile")
        archive = begin_removal(store.root, case, ct)
        try:
            store.refresh()
            end_removal(store.root, case, archive)
        except OSError as error:
            raise UnfinishedError(
                f"case {case} is removed, but not all that belongs to it could be moved to "
                f"{REMOVED}/{archive.name} ({error.strerror}): make sure that the server may write to the "
                "folder of its files; the next start moves the rest, and so does the next CT or import"
            ) from error


def _settle_if_possible(store: Shelf, kept: Revisions, case: str, tag: str) -> None:
    """Settles a label; one that cannot become a revision, as the disk is full, goes along as it is."""
    try:
        settle(store, kept, case, tag)
    except OSError as error:
        logger.warning("The label of case %s in labels/%s goes along as it lies there: %s", case, tag, error)


def _same_image(one: Volume, other: Volume) -> bool:
    return one.grid.matches(other.grid) and np.array_equal(one.array, other.array)
