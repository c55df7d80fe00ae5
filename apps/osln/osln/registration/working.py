"""Small copies of CT and PET that registration works on: coarse voxels, no couch, body and lungs known."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from osln.imaging.grid import Grid, Volume
from osln.imaging.lungs import BELOW_TISSUE_HU, IN_SLICE, inside_air, lungs_in
from osln.imaging.resampling import resample

SPACING_MM = 4.0
_SMALLEST_EXTENT_MM = 40.0
_TISSUE_HU = -300.0
# Lung and bone are squeezed: their borders are steep anyway, and nodes lie between fat and soft tissue.
_CONTRAST_HU = (-1000.0, -150.0, 250.0, 1000.0)
_CONTRAST = (-400.0, -150.0, 250.0, 400.0)


@dataclass(frozen=True)
class WorkingImage:
    """A coarse copy of an image.

    Attributes:
        values: (x, y, z) float32; CT: HU with -1000 outside the body; PET: square root of the SUV.
        grid: voxels of 4 mm on the image's own axes.
        body: (x, y, z) bool, tissue with the air inside; of a PET everything.
        lungs: (x, y, z) bool, empty if no lungs are in view; of a PET always.
    """

    values: np.ndarray
    grid: Grid
    body: np.ndarray
    lungs: np.ndarray

    @property
    def contrast(self) -> np.ndarray:
        """(x, y, z) float32: HU with lung and bone squeezed, so that fat against soft tissue counts."""
        return np.interp(self.values, _CONTRAST_HU, _CONTRAST).astype(np.float32)


def working_ct(ct: Volume, name: str) -> WorkingImage:
    """A coarse copy of a CT.

    Args:
        ct: CT in HU.
        name: what to call it in errors, e.g. "the planning CT".

    Raises:
        ValueError: If it is too small, constant, holds no tissue or values that are not finite.
    """
    values, grid = _coarse(ct, name, -1000.0)
    parts, count = ndimage.label(ndimage.binary_opening(values > _TISSUE_HU))
    if count == 0:
        raise ValueError(f"{name} shows no tissue: expected HU, got {values.min():.0f} to {values.max():.0f}")
    tissue = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    body = tissue | inside_air(~tissue, IN_SLICE)
    values = np.where(ndimage.binary_dilation(body), values, np.float32(-1000.0))
    return WorkingImage(values, grid, body, lungs_in((values < BELOW_TISSUE_HU) & body, values, grid))


def working_pet(pet: Volume) -> WorkingImage:
    """A coarse copy of a PET in SUV; the square root keeps hot spots from ruling the histogram.

    Raises:
        ValueError: If it is too small, constant or holds values that are not finite.
    """
    values, grid = _coarse(pet, "the PET", 0.0)
    root = np.sqrt(np.clip(values, 0.0, 16.0))
    return WorkingImage(root, grid, np.ones(root.shape, bool), np.zeros(root.shape, bool))


def _coarse(volume: Volume, name: str, fill: float) -> tuple[np.ndarray, Grid]:
    """Block means, then linear interpolation to cubes: nothing finer than the coarse voxel is left over."""
    array = volume.array
    if array.ndim != 3:
        raise ValueError(f"{name} must have three axes, got shape {array.shape}")
    extent = np.asarray(array.shape) * volume.grid.spacing_mm
    if min(array.shape) < 4 or extent.min() < _SMALLEST_EXTENT_MM:
        raise ValueError(
            f"{name} is too small to be registered: expected at least {_SMALLEST_EXTENT_MM:.0f} mm and 4 "
            f"voxels along each axis, got {' x '.join(f'{n:.0f}' for n in extent)} mm and shape {array.shape}"
        )
    if not np.isfinite(array).all():
        wrong = array.size - int(np.isfinite(array).sum())
        raise ValueError(f"{name} holds {wrong} values that are not finite: replace them before registration")
    if array.min() == array.max():
        raise ValueError(f"{name} is constant ({array.min():g} everywhere): there is nothing to register")
    step = np.maximum(np.floor(SPACING_MM / volume.grid.spacing_mm + 1e-3).astype(int), 1)
    for axis, n in enumerate(step):
        whole = array.shape[axis] // n * n
        if n > 1:
            array = np.moveaxis(np.moveaxis(array, axis, 0)[:whole], 0, axis)
            array = np.add.reduceat(array, np.arange(0, whole, n), axis=axis, dtype=np.float32) / n
    affine = volume.grid.affine.copy()
    affine[:3, 3] = volume.grid.index_to_mm((step - 1) / 2)
    affine[:3, :3] = affine[:3, :3] * step
    means = Grid(array.shape, affine)
    grid = means.resampled((SPACING_MM,) * 3)
    return np.ascontiguousarray(resample(array, means, grid, fill=fill)), grid
