"""Nodes of hand-made shapes on the CT of `small_dicom`, and the check of DICOM files by another program."""

import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np

from osln.dicom.nodes import Author, Node, NodeSet
from osln.dicom.reading.slices import Slice
from osln.dicom.reading.source import CtSeries, ct_series
from small.dicom import AXIAL, FLIPPED, OBLIQUE, SHAPE, ct_slices

AT = datetime(2026, 1, 2, 3, 4, 5).astimezone()
PREDICTION = Author(False, AT, algorithm="osln", version="0.1.0", note="Research, not for clinical use")
APPROVAL = Author(True, AT, person="Anna Nadel", revision=3)
ORIENTATIONS = {
    "axial": AXIAL,
    "flipped": FLIPPED,
    "feet first": np.diag([-1, 1, -1, 1]) @ AXIAL,
    "oblique": OBLIQUE,
}
"""Affines of CTs; feet first: the patient lies the other way round, so the normal points to the feet."""


def series(affine: np.ndarray = AXIAL, **tags) -> CtSeries:
    return ct_series([Slice(Path("none"), header) for header in ct_slices(affine=affine, **tags)])


def shapes() -> np.ndarray:
    """(i, j, k) uint16 as the CT's files have them: 1 a lump, 2 a ring around a hole, 4 a single voxel.

    No axis can be mirrored, and no two exchanged, unnoticed.
    """
    labels = np.zeros(SHAPE, dtype=np.uint16)
    i, j, k = np.indices(SHAPE)
    labels[((i - 5) / 3.4) ** 2 + ((j - 4) / 2.3) ** 2 + ((k - 3) / 1.8) ** 2 <= 1] = 1
    labels[11:17, 8:14, 6:8] = 2
    labels[13:15, 10:12, 6:8] = 0
    labels[12, 3, 10] = 4
    return labels


def node_set(ct: CtSeries, author: Author = PREDICTION) -> NodeSet:
    """The shapes as nodes on the grid of the CT."""
    labels = on_grid(shapes(), ct)
    nodes = (Node(1, 0.87, "GLNet", "proximal", 7.25), Node(2, 0.31, "stage one"), Node(4))
    return NodeSet(labels, ct.grid, nodes, author)


def empty_set(ct: CtSeries, author: Author = APPROVAL) -> NodeSet:
    return NodeSet(np.zeros(ct.grid.shape, dtype=np.uint16), ct.grid, (), author)


def on_grid(array: np.ndarray, ct: CtSeries) -> np.ndarray:
    """Voxels (i, j, k), k by rising InstanceNumber, at their places on the CT's grid: one by one, by mm."""
    moved = np.zeros(ct.grid.shape, dtype=array.dtype)
    for k, header in enumerate(sorted(ct.headers, key=lambda header: int(header.InstanceNumber))):
        row, column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
        for i, j in np.argwhere(array[:, :, k]):
            lps = np.array(header.ImagePositionPatient, float)
            lps += row * float(header.PixelSpacing[1]) * i + column * float(header.PixelSpacing[0]) * j
            x, y, z = np.rint(ct.grid.mm_to_index(lps * [-1, -1, 1])).astype(int)
            moved[x, y, z] = array[i, j, k]
    return moved


def check_with_dciodvfy(path: Path, require) -> None:
    """Fails if dciodvfy finds an error in a DICOM file."""
    if not shutil.which("dciodvfy"):
        require("dciodvfy", "apt-get install dicom3tools (Debian, Ubuntu)")
    told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    errors = [line for line in (told.stdout + told.stderr).splitlines() if "Error" in line]
    assert not errors
    assert told.returncode == 0
