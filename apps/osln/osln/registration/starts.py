"""Where a rigid alignment may start: the shifts at which two images tell most of each other.

Mutual information leads to the right place from some 40 mm around it only, and frames of reference of two
examinations often lie further apart.
"""

from collections.abc import Callable, Iterable
from functools import cache
from itertools import product

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from osln.imaging.grid import Grid
from osln.registration.frames import resample_through
from osln.registration.quality import binned, covered_part, information, weighed
from osln.registration.working import WorkingImage

_VOXEL_MM = 12.0
_STEP_VOXELS = 2
_BINS = 16
_LEAST_COVERED = 0.3
_CLIMBS, _STARTS = 16, 4
_APART_MM = 40.0

Offset = tuple[int, ...]


def starts_mm(fixed: WorkingImage, moving: WorkingImage) -> list[np.ndarray]:
    """The best shifts that leave a third of the body covered: of all that are 24 mm apart, then around them.

    Best is the mutual information of a coarse copy, `weighed`.

    Args:
        fixed: the planning CT.
        moving: the PET's CT, or the PET.

    Returns:
        Up to four (3,) RAS, the best first, 40 mm and more apart: a point of `fixed` plus it is the same
        point of `moving`. None if the images are too small to tell.
    """
    identity = sitk.Transform()
    grid = fixed.grid.resampled((_VOXEL_MM,) * 3)
    wide = _around(grid, moving.grid)
    near = ndimage.binary_dilation(fixed.body, iterations=3).astype(np.float32)
    known = resample_through(near, fixed.grid, grid, identity) > 0.5
    shown = covered_part(moving.grid, wide, identity)
    if not known.any() or not shown.any():
        return []
    values = resample_through(fixed.values, fixed.grid, grid, identity)
    others = resample_through(moving.values, moving.grid, wide, identity)
    rows = _numbers(values, known) * _BINS
    columns = _numbers(others, shown)
    whole, there = np.array(known.shape), np.array(shown.shape)

    @cache
    def worth(*offset: int) -> float:
        """Of a shift in voxels; 0 if too little is covered."""
        low = np.maximum(offset, 0)
        high = np.minimum(offset + there, whole)
        if (low >= high).any():
            return 0.0
        here = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        moved = tuple(slice(a, b) for a, b in zip(low - offset, high - offset, strict=True))
        both = known[here] & shown[moved]
        share = both.sum() / known.sum()
        if share < _LEAST_COVERED:
            return 0.0
        pairs = rows[here][both] + columns[moved][both]
        joint = np.bincount(pairs, minlength=_BINS**2).reshape(_BINS, _BINS)
        return weighed(information(joint), float(share))

    steps = [range(-int(n), int(m) + 1, _STEP_VOXELS) for n, m in zip(there, whole, strict=True)]
    coarse = _apart([offset for offset in product(*steps) if worth(*offset)], worth, _CLIMBS)
    best = _apart([_climbed(offset, worth) for offset in coarse], worth, _STARTS)
    zero = grid.index_to_mm(np.zeros(3))
    return [wide.index_to_mm(-np.array(offset, float)) - zero for offset in best]


def _climbed(offset: Offset, worth: Callable[..., float]) -> Offset:
    """The best of a shift and its neighbors, again and again until it is the best itself."""
    while True:
        around = product(*(range(n - 1, n + 2) for n in offset))
        best = max((offset, *around), key=lambda other: worth(*other))
        if best == offset:
            return offset
        offset = best


def _apart(offsets: Iterable[Offset], worth: Callable[..., float], most: int) -> list[Offset]:
    """The best of the shifts, the best first, that do not lie near a better one."""
    best: list[Offset] = []
    for offset in sorted(offsets, key=lambda offset: -worth(*offset)):
        if all(np.linalg.norm(np.subtract(offset, other)) * _VOXEL_MM >= _APART_MM for other in best):
            best.append(offset)
            if len(best) == most:
                break
    return best


def _numbers(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(x, y, z) the bin of each voxel; 0 where nothing is known."""
    numbers = np.zeros(values.shape, np.int64)
    numbers[known] = binned(values[known], _BINS)
    return numbers


def _around(lattice: Grid, field: Grid) -> Grid:
    """The lattice continued over another field."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(field.shape) - 1)
    places = lattice.mm_to_index(field.index_to_mm(corners.astype(float)))
    low, high = np.floor(places.min(axis=0)), np.ceil(places.max(axis=0))
    affine = lattice.affine.copy()
    affine[:3, 3] = lattice.index_to_mm(low)
    return Grid(tuple(int(n) for n in high - low + 1), affine)
