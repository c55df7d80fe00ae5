"""The PET's own CT: the patient as he lies in the PET/CT on another day, on other voxels, with new noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from osln.imaging.grid import Grid, Volume
from osln.phantom.patient.fields import SplineField, random_field
from osln.phantom.patient.plan import grid_axes, seed_streams
from osln.phantom.patient.scan import Phantom, axes_affine, image_ct

SPACING_MM = (2.0, 2.0, 3.27)
_NOISE_HU = 20.0
_NOISE_STEP_MM = 2.5
_CLEAN_SPACING_MM = (2.5, 2.5, 2.5)
_MARGIN_MM = 20.0


def pet_ct(phantom: Phantom) -> Volume:
    """The CT of the PET/CT examination over the PET's field; it shows what the PET shows, where it does.

    Args:
        phantom: misregistered, so that its PET lies otherwise than its CT.

    Returns:
        int16 HU in the PET's space; an axial grid where the phantom's CT is one.

    Raises:
        ValueError: if the phantom's PET is aligned with its CT: then that CT is the PET's own.
    """
    if phantom.motion is None:
        raise ValueError("the PET of this phantom is aligned with its CT and has no CT of its own")
    local = np.linalg.inv(phantom.motion_to_ras) @ phantom.pet_affine
    steps = np.diag(local)[:3]
    low = local[:3, 3] - 0.5 * steps
    high = low + steps * phantom.pet_suv.shape
    wide = [(a - _MARGIN_MM, b + _MARGIN_MM) for a, b in zip(low, high, strict=True)]
    # Without the first CT's noise: it would tell a registration where everything went.
    quiet = replace(phantom.patient, parameters=replace(phantom.parameters, ct_noise_hu=0.0))
    axes = grid_axes(wide, _CLEAN_SPACING_MM)
    grid = Grid(tuple(len(axis) for axis in axes), axes_affine(axes))
    clean = Volume(image_ct(quiet, axes), grid, grid)
    rng = np.random.default_rng(seed_streams(phantom.seed)["pet ct"])
    moved = second_ct(clean, phantom.motion, grid_axes(list(zip(low, high, strict=True)), SPACING_MM), rng)
    placed = Grid(moved.array.shape, phantom.motion_to_ras @ moved.grid.affine)
    return Volume(moved.array, placed, placed)


def second_ct(ct: Volume, motion: SplineField, axes: list[np.ndarray], rng: np.random.Generator) -> Volume:
    """A CT on other voxels that shows at p what the first shows at p + u(p), with noise of its own.

    Args:
        ct: HU on axes along x, y and z.
        motion: the field u.
        axes: voxel centers of the wanted grid.
        rng: of the noise.
    """
    where = np.stack(np.meshgrid(*axes, indexing="ij")) + motion.on_axes(axes)
    for axis in range(3):
        where[axis] = (where[axis] - ct.grid.affine[axis, 3]) / ct.grid.affine[axis, axis]
    values = ndimage.map_coordinates(
        ct.array.astype(np.float32), where, order=1, mode="constant", cval=-1000.0
    )
    low, high = [axis[0] for axis in axes], [axis[-1] for axis in axes]
    noise = random_field(rng, low, high, _NOISE_STEP_MM, sd=_NOISE_HU).on_axes(axes)[0]
    values += np.where(values < -995.0, 0.0, noise)
    grid = Grid(values.shape, axes_affine(axes))
    return Volume(np.clip(np.rint(values), -1024, 3071).astype(np.int16), grid, grid)
