"""A real CT as background: its lungs, mediastinum, body and noise, and a PET guessed from its tissues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from osln.imaging.grid import Grid, Volume, resample
from osln.phantom.body.anatomy import FAT_SUV
from osln.phantom.body.organs import esophagus_at
from osln.phantom.body.painting import Canvas
from osln.phantom.body.shapes import Shape
from osln.phantom.patient.plan import PatientSpace
from osln.phantom.patient.scan import axes_affine

_LUNG_HU = -500.0
_SMALLEST_LUNG_MM3 = 2e5
_SMALLEST_SHARE = 0.25
# Uptake by CT value: air, lungs, fat, soft tissue, bone. Organs of one density cannot be told apart.
_UPTAKE_HU = (-1000.0, -900.0, -120.0, -60.0, 10.0, 80.0, 250.0)
_UPTAKE_SUV = (0.02, 0.45, FAT_SUV, FAT_SUV, 1.2, 1.2, 1.3)


@dataclass(frozen=True)
class RealBackground:
    """A real CT as background, in local millimeters (voxel axes, origin at the first voxel).

    Attributes:
        name: for the sidecar.
        volume: HU on a grid whose affine is diagonal with origin 0 (local millimeters).
        body: bool on the same grid.
        tumor: bool on the same grid, or None.
        tumor_suv: uptake of a given tumor.
        own_noise_hu: noise sd of the CT, given to what is planted.
        space: local to anatomical millimeters.
    """

    name: str
    volume: Volume
    body: np.ndarray
    tumor: np.ndarray | None
    tumor_suv: float
    own_noise_hu: float | None
    space: PatientSpace
    hot: tuple[tuple[str, Shape], ...] = ()
    # Real fat is crossed by small vessels.
    fat_share: float = 0.6

    def paint_ct(self, image: np.ndarray, canvas: Canvas) -> None:
        """Fill a float32 image with the CT's HU."""
        image[:] = self._sampled(self.volume.array, canvas, -1000.0)

    def paint_pet(self, image: np.ndarray, canvas: Canvas) -> None:
        """Fill a float32 image with the uptake of each voxel's tissue class."""
        hu = self._sampled(self.volume.array, canvas, -1000.0)
        body = self._sampled(self.body.astype(np.float32), canvas, 0.0)
        image[:] = body * np.interp(hu, _UPTAKE_HU, _UPTAKE_SUV)
        if self.tumor is not None:
            share = self._sampled(self.tumor.astype(np.float32), canvas, 0.0)
            image += share * (self.tumor_suv - image)

    def body_level(self, points_mm: Sequence[np.ndarray]) -> np.ndarray:
        """Relative radius in an ellipse of a body's size."""
        return np.sqrt((points_mm[0] / 165.0) ** 2 + (points_mm[1] / 110.0) ** 2) + 0.0 * points_mm[2]

    def center_line(self, z_mm: np.ndarray) -> np.ndarray:
        """Where the built-in anatomy has its esophagus, placed by the lungs."""
        return esophagus_at(z_mm)

    def _sampled(self, array: np.ndarray, canvas: Canvas, outside: float) -> np.ndarray:
        """Linear interpolation on the canvas's grid."""
        target = Grid(canvas.shape, axes_affine(canvas.axes_mm))
        return resample(array, self.volume.grid, target, fill=outside)


def find_lungs(hu: np.ndarray, grid: Grid) -> np.ndarray:
    """Both lungs by threshold and size: air that does not reach the sides of the field.

    Raises:
        ValueError: if there is no such air.
    """
    parts, count = ndimage.label(hu < _LUNG_HU)
    sizes = np.bincount(parts.ravel(), minlength=count + 1) * grid.voxel_mm3
    sizes[0] = 0.0
    sizes[np.unique(parts[[0, -1]])] = 0.0
    sizes[np.unique(parts[:, [0, -1]])] = 0.0
    lungs = (sizes >= max(_SMALLEST_LUNG_MM3, _SMALLEST_SHARE * sizes.max()))[parts]
    if not lungs.any():
        raise ValueError(
            "no lungs found in the CT: planting needs a chest CT in HU with both lungs in the field"
        )
    return lungs


def mediastinum(lungs: np.ndarray) -> np.ndarray:
    """Voxels between the lungs: lung on both sides in their row, neither lung themselves."""
    middle = lungs.shape[0] // 2
    columns = np.flatnonzero(lungs.any(axis=(1, 2)))
    if len(columns):
        middle = int(columns.mean())
    left, right = lungs.copy(), lungs.copy()
    left[middle:], right[:middle] = False, False
    after = np.maximum.accumulate(left, axis=0)
    before = np.maximum.accumulate(right[::-1], axis=0)[::-1]
    return after & before & ~lungs


def noise_sd_hu(hu: np.ndarray) -> float:
    """Noise of a CT: robust spread of the difference of neighbors in soft tissue, along x."""
    soft = (hu > 0) & (hu < 100)
    difference = np.diff(hu, axis=0)[soft[1:] & soft[:-1]]
    if difference.size < 100:
        raise ValueError("the CT has hardly any soft tissue: expected HU")
    return float(1.4826 * np.median(np.abs(difference - np.median(difference))) / np.sqrt(2.0))


def body_mask(hu: np.ndarray) -> np.ndarray:
    """The patient without the couch: the largest component of tissue, filled slice by slice."""
    tissue = ndimage.binary_opening(hu > -300, np.ones((3, 3, 1)))
    parts, count = ndimage.label(tissue)
    if count == 0:
        raise ValueError("the CT shows no tissue: expected HU")
    body = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    for k in range(body.shape[2]):
        body[:, :, k] = ndimage.binary_fill_holes(body[:, :, k])
    return body
