"""Labels that were copied into the folder: those that do not fit their CT, and those whose CT is missing.

A submitted label is checked when it comes. A copied one is taken up as it is, so that it is looked at here,
by its header alone.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from osln.files.images import promised_affine, promised_shape, split_suffix
from osln.imaging.grid import Grid, canonical

MISFIT = "misfit"
"""In the notes of a label: why it cannot be one of its CT."""
LOOKED_AT = "looked_at"
"""In the notes of one that was copied: `stamp` of label and CT when it was looked at, None before."""


def reason_not_fitting(label: Path, ct: Path) -> str | None:
    """Why a label file cannot be one of a CT, in a sentence; None if it can.

    Args:
        label: File of the label.
        ct: File of the CT.
    """
    name = f"{label.parent.name}/{label.name}"
    try:
        its = _grid(label)
    except (OSError, ValueError) as error:
        return f"the label {name} cannot be read: {error}"
    try:
        whole = _grid(ct)
    except (OSError, ValueError) as error:
        return f"whether the label {name} fits cannot be told, the CT cannot be read: {error}"
    if its.matches(whole):
        return None
    return (
        f"the label {name} does not lie on the CT's voxels (shape {its.shape}, the CT has {whole.shape}): no "
        "network can learn from it; put one on the CT's voxels in its place, or submit one"
    )


def stamp(*files: Path) -> str | None:
    """What changes when one of the files does; None while one is not there, as a CT that a PACS has still."""
    try:
        states = [path.stat() for path in files]
    except OSError:
        return None
    return " ".join(f"{state.st_mtime_ns}/{state.st_size}" for state in states)


def without_ct(files: Iterable[str], cases: Iterable[str], tag: str) -> dict[str, str]:
    """Label files of no case, with what to do about them.

    Args:
        files: Names of the label files of a tag.
        cases: Ids of the CTs that are there, served or not.
        tag: Of the labels.
    """
    known = set(cases)
    lonely = {split_suffix(name)[0]: name for name in files if split_suffix(name)[1]}
    return {
        case: f"labels/{tag}/{name} has no CT {case}.nii.gz beside the others: add it, or take the label away"
        for case, name in sorted(lonely.items())
        if case not in known
    }


def _grid(path: Path) -> Grid:
    """Of the voxels in closest-RAS order, as the header says."""
    shape = tuple(int(size) for size in promised_shape(path))
    nothing = np.broadcast_to(np.zeros(1, dtype=bool), shape)
    return canonical(nothing, Grid(shape, promised_affine(path))).grid
