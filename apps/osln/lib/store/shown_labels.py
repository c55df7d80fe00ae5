"""The stored label of a case as viewers get it: nodes and tumor in one map on the CT's voxels."""

import errno
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.store.shelf import Shelf
from osln.files.images import twins
from osln.imaging.grid import Volume
from osln.imaging.labelmaps import MAX_VALUE, read_label_map
from osln.store.final_copy import unpacked_sha256
from osln.store.revisions import DiskFullError, Revision, Revisions
from osln.store.stored_nodes import stored_nodes

NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)
LAST_OF_A_BYTE = 254
"""Nodes up to which a map of single nodes has one byte a voxel; 255 is the tumor."""
TUMOR = 2
"""Where all nodes are 1."""


@dataclass(frozen=True)
class ShownLabel:
    """What a viewer shows of a case.

    Attributes:
        ct: The CT.
        values: (x, y, z) uint8 or uint16 on the CT's grid; None if there are neither nodes nor tumor.
        tumor: The value of the tumor.
        revision: Of the nodes, None before the first.
        tumor_revision: Of the tumor, None before the first.
        tumor_mark: Which tumor it is, see there.
    """

    ct: Volume
    values: np.ndarray | None
    tumor: int
    revision: Revision | None
    tumor_revision: Revision | None
    tumor_mark: str


def stored_file(store: Shelf, case: str, tag: str) -> Path:
    """Where the newest label of a case lies, if there is one: the copy, or its revision while that waits."""
    return store.revisions(case, tag).waiting() or store.label_path(case, tag)


def tumor_mark(store: Shelf, case: str) -> str:
    """Tells which tumor is stored by what its file holds, however it is packed; "" without one.

    A contour that was copied into the folder has it before it is a revision, and keeps it when it is one.
    """
    try:
        return unpacked_sha256(stored_file(store, case, "gtv").read_bytes())[:16]
    except FileNotFoundError:
        return ""


def settle(store: Shelf, kept: Revisions, case: str, tag: str) -> None:
    """Settles a label inside its lock; the index, too, says which revision it is or has become.

    Whoever settles past this leaves the index with the former revision for good.
    """
    kept.settle()
    store.catch_up(case, tag)


def tumor_head(store: Shelf, case: str) -> Revision | None:
    """The newest revision of the tumor, as `settled_head`; None before the first.

    Looking makes none of a contour that was copied into the folder, which may still come anew with its CT.
    """
    return settled_head(store, case, "gtv") if store.revisions(case, "gtv").head() else None


def settled_head(store: Shelf, case: str, tag: str = "final") -> Revision | None:
    """The newest revision, after an interrupted write was finished where the folder can be written."""
    kept = store.revisions(case, tag)
    try:
        with kept.lock():
            settle(store, kept, case, tag)
            return kept.head()
    except OSError as error:
        if error.errno not in NOT_WRITABLE and not isinstance(error, DiskFullError):
            raise
        return kept.head()


def find_revision(store: Shelf, case: str, number: int | None) -> Revision | None:
    """The revision of a number, the newest one if it is None; None before the first.

    Raises:
        LookupError: If there is no such revision.
    """
    head = settled_head(store, case)
    if number is None or (head is not None and head.revision == number):
        return head
    kept = store.revisions(case, "final")
    kept.path(number)
    return next(one for one in kept.history() if one.revision == number)


def shown_label(
    store: Shelf, case: str, *, instances: bool = False, revision: int | None = None
) -> ShownLabel:
    """Approved nodes, and the tumor as it is now, which nodes are written over.

    Args:
        store: Knows the case.
        case: Its id.
        instances: A value for each node as it is stored and the highest of the type for the tumor, instead of
            1 for all nodes and 2 for the tumor.
        revision: Of the nodes; None for the newest.

    Raises:
        LookupError: If there is no such revision.
        ValueError: If a stored label cannot be read.
    """
    # The numbers are read before the labels: an older one must not get a newer number and be let through.
    found, of_tumor = find_revision(store, case, revision), tumor_head(store, case)
    ct = store.ct(case)
    # So is the mark, but after the CT, with which a PACS may fetch the contour.
    mark = tumor_mark(store, case)
    nodes, label = None, stored_file(store, case, "final")
    # Where the disk is full, one that somebody has copied may lie there uncompressed.
    if revision is not None or label.is_file() or twins(label):
        nodes = stored_nodes(store.root, case, ct.grid, found.revision if found else None)
    highest = int(nodes.max(initial=0)) if nodes is not None and instances else 0
    if highest >= MAX_VALUE:
        raise ValueError(
            f"the label of case {case} has {highest} nodes, fewer than {MAX_VALUE} have a value each: remove "
            "the specks from it and submit it again"
        )
    dtype = np.dtype(np.uint8 if highest <= LAST_OF_A_BYTE else np.uint16)
    tumor = int(np.iinfo(dtype).max) if instances else TUMOR
    values = np.zeros(ct.grid.shape, dtype=dtype)
    contour = stored_file(store, case, "gtv")
    if contour.is_file():
        values[read_label_map(contour, ct.grid) != 0] = tumor
    elif nodes is None:
        return ShownLabel(ct, None, tumor, found, of_tumor, mark)
    if nodes is not None:
        inside = nodes != 0
        values[inside] = nodes[inside] if instances else 1
    return ShownLabel(ct, values, tumor, found, of_tumor, mark)
