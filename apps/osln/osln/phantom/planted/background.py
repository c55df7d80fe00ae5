"""A real CT as what lies behind tumor, nodes and mimics, with a PET guessed from its tissues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from osln.imaging.grid import Grid
from osln.phantom.body.anatomy import FAT_SUV
from osln.phantom.body.organs import esophagus_at
from osln.phantom.body.painting import Canvas
from osln.phantom.body.shapes import Shape
from osln.phantom.patient.scan import axes_affine
from osln.phantom.planted.real_ct import RealCt

# Uptake by CT value: air, lungs, fat, soft tissue, bone. Organs of one density cannot be told apart.
_UPTAKE_HU = (-1000.0, -900.0, -120.0, -60.0, 10.0, 80.0, 250.0)
_UPTAKE_SUV = (0.02, 0.45, FAT_SUV, FAT_SUV, 1.2, 1.2, 1.3)


@dataclass(frozen=True)
class RealBackground:
    """A real CT as background, in its local millimeters.

    Attributes:
        real: the CT.
        tumor_suv: uptake of a given tumor.
        name: for the sidecar.
        hot: none, organs are not known.
        fat_share: share of its neighborhood that a node needs in fat; real fat is crossed by small vessels.
    """

    real: RealCt
    tumor_suv: float
    name: str = "real CT"
    hot: tuple[tuple[str, Shape], ...] = ()
    fat_share: float = 0.6

    @property
    def own_noise_hu(self) -> float:
        """Noise sd of the CT, given to what is planted."""
        return self.real.noise_hu

    def paint_ct(self, image: np.ndarray, canvas: Canvas) -> None:
        """Fill a float32 image with the CT's HU."""
        image[:] = self.real.hu_on(canvas.axes_mm)

    def paint_pet(self, image: np.ndarray, canvas: Canvas) -> None:
        """Fill a float32 image with the uptake of each voxel's tissue class."""
        target = Grid(canvas.shape, axes_affine(canvas.axes_mm))
        body = self.real.coarse_on(self.real.body, target)
        image[:] = body * np.interp(self.real.hu_on(canvas.axes_mm), _UPTAKE_HU, _UPTAKE_SUV)
        if self.real.tumor_share is not None:
            image += self.real.coarse_on(self.real.tumor_share, target) * (self.tumor_suv - image)

    def body_level(self, points_mm: Sequence[np.ndarray]) -> np.ndarray:
        """Relative radius in an ellipse of a body's size."""
        return np.sqrt((points_mm[0] / 165.0) ** 2 + (points_mm[1] / 110.0) ** 2) + 0.0 * points_mm[2]

    def center_line(self, z_mm: np.ndarray) -> np.ndarray:
        """Where the built-in anatomy has its esophagus, placed by the lungs."""
        return esophagus_at(z_mm)
