"""How far an image lies from a CT as it is: what tells that a pair needs no registration."""

import itertools

import numpy as np
import SimpleITK as sitk

from osln.imaging.grid import mask_box
from osln.registration.frames import resample_through
from osln.registration.quality import covered_part, mutual_information
from osln.registration.working import WorkingImage

_BLOCKS = (4, 3, 5)
_SMALLEST_SHARE = 0.3
_LEAST_CONTRAST = 25.0
# HU per mm, about what noise alone makes of the mean of two images on voxels of 4 mm.
_NOISE_SLOPE = 1.5
_REACH = 2


def ct_shift_mm(fixed: WorkingImage, moving: WorkingImage) -> float:
    """90th percentile over blocks of the body of the distance between two CTs as they lie.

    In each block one least-squares step is made from the differences and the mean gradient of both images
    (Lucas and Kanade, IJCAI 1981). It is right for small shifts, which is what is asked, and too small for
    large ones. Along an axis along which nothing changes but noise it stays near 0.

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
    gradient = np.stack(np.gradient((one + other) / 2, *fixed.grid.spacing_mm))
    low, high = mask_box(fixed.body)
    edges = [np.linspace(a, b, n + 1).astype(int) for a, b, n in zip(low, high, _BLOCKS, strict=True)]
    found = []
    for corner in itertools.product(*(range(n) for n in _BLOCKS)):
        box = tuple(slice(e[i], e[i + 1]) for e, i in zip(edges, corner, strict=True))
        inside = known[box]
        if not inside.size or inside.mean() < _SMALLEST_SHARE or one[box][inside].std() < _LEAST_CONTRAST:
            continue
        every = (slice(None), *box)
        slopes = gradient[every][:, inside].astype(np.float64)
        difference = (other - one)[box][inside].astype(np.float64)
        damped = slopes @ slopes.T + len(difference) * _NOISE_SLOPE**2 * np.eye(3)
        found.append(np.linalg.norm(np.linalg.solve(damped, slopes @ difference)))
    return float(np.percentile(found, 90)) if found else float("inf")


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


def _vertex(before: float, here: float, after: float) -> float:
    """Where the parabola through -1, 0 and 1 is lowest, at most one away; flat: 0."""
    bend = before - 2 * here + after
    if bend <= 0:
        return 0.0 if before == after else (-1.0 if before < after else 1.0)
    return float(np.clip((before - after) / (2 * bend), -1, 1))
