"""What a click network sees: CT, PET and clicks in a box around them, on cubic voxels."""

from dataclasses import dataclass

import numpy as np

from osln.clicks.clicks import Clicks
from osln.imaging.grid import Grid, Volume
from osln.imaging.resampling import resample
from osln.imaging.transforms import Scaling, network_input

FINE_MM, COARSE_MM = 1.5, 3.0
"""Voxels of the first look, and of the second one at what is too large for the first."""
SIZE = 40
"""Voxels of the box's sides."""
REACH_MM = 5.0
"""Distance from a click at which its map has fallen to 1 / e."""
SCALING = Scaling(pet_mean=1.0, pet_sd=2.0, pet_gain=1.0)
HIGHEST_SUV = 15.0
"""Larger uptake looks the same."""
CHANNELS = 5
"""CT, PET, whether there is a PET, clicks inside, clicks outside."""


@dataclass(frozen=True)
class Patch:
    """The images in a box; arrays (x, y, z) float32 on `grid`.

    Attributes:
        grid: Cubic voxels, axes along those of the CT.
        ct_hu: Air outside the CT.
        pet_suv: 0 outside the PET; None if there is no PET.
        inside: Whether a voxel lies in the CT.
    """

    grid: Grid
    ct_hu: np.ndarray
    pet_suv: np.ndarray | None
    inside: np.ndarray


def box_around(center_mm: np.ndarray, axes: np.ndarray, spacing_mm: float, size: int = SIZE) -> Grid:
    """Cubic voxels around a point.

    Args:
        center_mm: (3,) RAS.
        axes: (3, 3) unit vectors of the voxel axes in columns.
        spacing_mm: Of the voxels.
        size: Voxels of a side.
    """
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing_mm
    affine[:3, 3] = center_mm - affine[:3, :3] @ np.full(3, 0.5 * (size - 1))
    return Grid((size, size, size), affine)


def cut(ct: Volume, pet: Volume | None, grid: Grid) -> Patch:
    """The images of a patient on the voxels of a box."""
    ct_hu = resample(ct.array, ct.grid, grid, fill=-1000.0)
    pet_suv = None if pet is None else np.maximum(resample(pet.array, pet.grid, grid), 0.0)
    corner = ct.grid.mm_to_index(grid.affine[:3, 3])
    step = np.linalg.inv(ct.grid.affine[:3, :3]) @ grid.affine[:3, :3]
    index = np.indices(grid.shape, dtype=np.float32).reshape(3, -1)
    at = corner[:, None] + step @ index
    within = ((at > -0.5) & (at < np.asarray(ct.grid.shape)[:, None] - 0.5)).all(axis=0)
    return Patch(grid, ct_hu, pet_suv, within.reshape(grid.shape))


def click_map(points_mm: np.ndarray, grid: Grid) -> np.ndarray:
    """exp(-distance / `REACH_MM`) to the nearest click, (x, y, z) float32; 0 without clicks."""
    if not len(points_mm):
        return np.zeros(grid.shape, np.float32)
    index = grid.mm_to_index(points_mm)
    axes = [np.arange(n, dtype=np.float32) for n in grid.shape]
    nearest = np.full(grid.shape, np.inf, np.float32)
    for x, y, z in index.astype(np.float32):
        a, b, c = ((axis - at) ** 2 for axis, at in zip(axes, (x, y, z), strict=True))
        np.minimum(nearest, a[:, None, None] + b[None, :, None] + c[None, None, :], out=nearest)
    return np.exp(-np.sqrt(nearest) * (grid.spacing_mm[0] / REACH_MM))


def channels(patch: Patch, clicks: Clicks) -> np.ndarray:
    """Input of the click network, (`CHANNELS`, x, y, z) float32."""
    return np.concatenate([image_channels(patch.ct_hu, patch.pet_suv), click_channels(clicks, patch.grid)])


def image_channels(ct_hu: np.ndarray, pet_suv: np.ndarray | None) -> np.ndarray:
    """CT, PET and whether there is one, (3, x, y, z) float32."""
    ct = network_input({"ct": ct_hu}, ("ct",), SCALING)
    if pet_suv is None:
        return np.concatenate([ct, np.zeros_like(ct), np.zeros_like(ct)])
    pet = network_input({"pet": np.minimum(pet_suv, HIGHEST_SUV)}, ("pet",), SCALING)
    return np.concatenate([ct, pet, np.ones_like(ct)])


def click_channels(clicks: Clicks, grid: Grid) -> np.ndarray:
    """Maps of the clicks inside and outside, (2, x, y, z) float32."""
    return np.stack([click_map(clicks.foreground, grid), click_map(clicks.background, grid)])
