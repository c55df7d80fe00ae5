"""How far an image lies from a CT, measured by trial shifts: what tells that a pair needs no registration."""

import itertools

import numpy as np
import SimpleITK as sitk

from osln.grid import mask_box

from .frames import resample_through
from .quality import covered_part, mutual_information
from .working import WorkingImage

_BLOCKS = (4, 3, 5)
_SMALLEST_SHARE = 0.3
_LEAST_CONTRAST = 25.0
_REACH = 2


def ct_shift_mm(fixed: WorkingImage, moving: WorkingImage) -> float:
    """90th percentile over blocks of the body of the distance between two CTs as they lie.

    In each block the sum of squares is taken with one image moved by a voxel to either side of every axis;
    the parabola through the three sums has its minimum at the shift. It is followed for one voxel, 4 mm.

    Args:
        fixed, moving: CTs in one patient space.

    Returns:
        mm; infinite if the CTs have too little in common to tell.
    """
    identity = sitk.Transform()
    one = fixed.contrast
    other = resample_through(moving.contrast, moving.grid, fixed.grid, identity, fill=-400.0)
    known = covered_part(moving.grid, fixed.grid, identity) & fixed.body
    if known.sum() < 0.5 * fixed.body.sum():
        return float("inf")
    low, high = mask_box(fixed.body)
    edges = [np.linspace(a, b, n + 1).astype(int) for a, b, n in zip(low, high, _BLOCKS, strict=True)]
    found = []
    for corner in itertools.product(*(range(n) for n in _BLOCKS)):
        box = tuple(
            slice(max(e[i], 1), min(e[i + 1], n - 1))
            for e, i, n in zip(edges, corner, one.shape, strict=True)
        )
        inside = known[box]
        if not inside.size or inside.mean() < _SMALLEST_SHARE or one[box][inside].std() < _LEAST_CONTRAST:
            continue
        found.append(_block_shift(one, other, box, inside))
    if not found:
        return float("inf")
    return float(np.percentile(np.linalg.norm(np.array(found) * fixed.grid.spacing_mm, axis=1), 90))


def pet_shift_mm(fixed: WorkingImage, moving: WorkingImage) -> float:
    """Distance between a CT and a PET as they lie, by mutual information at trial shifts of 8 mm.

    Returns:
        mm; infinite if they have too little in common to tell.
    """
    identity = sitk.Transform()
    values = resample_through(moving.values, moving.grid, fixed.grid, identity)
    known = covered_part(moving.grid, fixed.grid, identity)
    shift = []
    for axis in range(3):
        trials = []
        for step in (-_REACH, 0, _REACH):
            valid = _inner(np.roll(known, step, axis), axis) & _inner(known, axis)
            if valid.mean() < 0.1:
                return float("inf")
            moved = _inner(np.roll(values, step, axis), axis)
            trials.append(-mutual_information(_inner(fixed.values, axis)[valid], moved[valid]))
        shift.append(_REACH * _vertex(*trials))
    return float(np.linalg.norm(np.array(shift) * fixed.grid.spacing_mm))


def _inner(array: np.ndarray, axis: int) -> np.ndarray:
    """Without the voxels that a roll along `axis` carries around the end."""
    return np.take(array, range(_REACH, array.shape[axis] - _REACH), axis)


def _block_shift(
    one: np.ndarray, other: np.ndarray, box: tuple[slice, ...], inside: np.ndarray
) -> list[float]:
    """Shift of a block in voxels along each axis."""
    shift = []
    for axis in range(3):
        sums = []
        for step in (-1, 0, 1):
            moved = tuple(
                slice(part.start - step, part.stop - step) if axis == d else part
                for d, part in enumerate(box)
            )
            sums.append(float((((one[box] - other[moved]) ** 2)[inside]).sum()))
        shift.append(_vertex(*sums))
    return shift


def _vertex(before: float, here: float, after: float) -> float:
    """Where the parabola through -1, 0 and 1 is lowest, at most one away; flat: 0."""
    bend = before - 2 * here + after
    if bend <= 0:
        return 0.0 if before == after else (-1.0 if before < after else 1.0)
    return float(np.clip((before - after) / (2 * bend), -1, 1))
