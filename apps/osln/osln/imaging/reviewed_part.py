"""What is known of a patient who was reviewed in part: nodes, what was rejected, and a margin around both.

Everything else is unknown: a network learns nothing from it, neither that a node is there nor that none is.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from osln.imaging.grid import Grid

MARGIN_MM = 5.0
"""Around what was decided, where the border of a node is learned; two voxels of the demo's working grid."""
UNDECIDED, UNKNOWN, NEAR, DECIDED = range(4)
"""Values of `known_voxels`: in an undecided candidate, nowhere, near what was decided, inside of it. Above
`UNKNOWN` it is known what is there."""


@dataclass(frozen=True)
class ReviewedPart:
    """Where candidates of a patient lie that are no nodes of the label.

    Attributes:
        rejected: (n, 2, 3) lowest and highest corner of each in RAS mm: no nodes.
        undecided: (m, 2, 3) of those that nobody has decided about.
    """

    rejected: np.ndarray
    undecided: np.ndarray


def known_voxels(part: ReviewedPart, nodes: np.ndarray, grid: Grid) -> np.ndarray:
    """Which voxels a review in part says something about.

    What is undecided wins over what was rejected and over every margin: a voxel that an undecided candidate
    may touch is not known, unless it is one of a node.

    Args:
        part: Candidates that are no nodes.
        nodes: (x, y, z) integers, 0 outside nodes; each of them was decided.
        grid: Of the nodes.

    Returns:
        (x, y, z) uint8 of `UNDECIDED`, `UNKNOWN`, `NEAR` (at most `MARGIN_MM` away) and `DECIDED`.
    """
    known = np.full(nodes.shape, UNKNOWN, dtype=np.uint8)
    reach = np.ceil(MARGIN_MM / grid.spacing_mm).astype(int)
    for box in ndimage.find_objects(nodes.astype(np.int32, copy=False)):
        if box is not None:
            around = tuple(
                slice(max(side.start - more, 0), side.stop + more)
                for side, more in zip(box, reach, strict=True)
            )
            apart = ndimage.distance_transform_edt(nodes[around] == 0, sampling=grid.spacing_mm)
            known[around][apart <= MARGIN_MM] = NEAR
    for corners in part.rejected:
        known[_touched(corners + np.array([[-MARGIN_MM], [MARGIN_MM]]), grid)] = NEAR
    for corners in part.rejected:
        known[_touched(corners, grid)] = DECIDED
    for corners in part.undecided:
        known[_touched(corners, grid)] = UNDECIDED
    known[nodes > 0] = DECIDED
    return known


def _touched(corners: np.ndarray, grid: Grid) -> tuple[slice, ...]:
    """Voxels that a box may touch, in whatever direction the grid lies."""
    places = np.array([[x, y, z] for x in corners[:, 0] for y in corners[:, 1] for z in corners[:, 2]])
    index = grid.mm_to_index(places)
    # A voxel reaches half a voxel to both sides of its center; faces that only meet do not count.
    start = np.floor(index.min(axis=0) + 0.5 + 1e-6).astype(int)
    stop = np.ceil(index.max(axis=0) + 0.5 - 1e-6).astype(int)
    return tuple(slice(max(a, 0), max(b, 0)) for a, b in zip(start, stop, strict=True))
