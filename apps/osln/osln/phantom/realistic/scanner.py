"""A realistic phantom's CT: anatomy with texture, findings, thick slices, streaks, noise, field of view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from osln.phantom.body.painting import Canvas
from osln.phantom.body.shapes import Shape
from osln.phantom.patient.fields import random_field
from osln.phantom.realistic.body import RealisticBackground
from osln.phantom.realistic.look import Look
from osln.phantom.realistic.parameters import RealisticParameters
from osln.phantom.realistic.ranges import ADDED
from osln.phantom.realistic.tissue import FAT, LUNG, add_texture, tissue_map

PADDING_HU = -1024.0
"""Outside the field of view."""
_ROOM_AIR_HU = -995.0
_SHOULDERS_MM = 240.0
_METAL_REACH_MM = 5.0


@dataclass(frozen=True)
class Scanner:
    """How one patient is scanned.

    Attributes:
        look, parameters: the patient's.
        low_mm, high_mm: world box that random fields cover whatever is imaged.
    """

    look: Look
    parameters: RealisticParameters
    low_mm: Sequence[float]
    high_mm: Sequence[float]

    def clean(
        self,
        background: RealisticBackground,
        foreground: Sequence[Shape],
        canvas: Canvas,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """HU without blur and noise, float32 (X, Y, Z); the foreground goes over whatever was there.

        Args:
            background: the anatomy.
            foreground: mimics, tumor and nodes in painting order.
            canvas: the grid.
            rng: of the texture.
        """
        image = np.full(canvas.shape, -1000.0, np.float32)
        background.paint_ct(image, canvas)
        tissues = tissue_map(background.shapes, canvas)
        _paint_small(image, tissues, background.small, canvas, self.look.shift_hu["fat"] - 100.0)
        parameters = self.parameters
        add_texture(
            image, tissues, lambda step: self._field(rng, canvas, step), self.look,
            parameters.fat_texture_hu, parameters.tissue_texture_hu,
        )  # fmt: skip
        canvas.paint(image, foreground, [s.hu for s in foreground])
        return image

    def scanned(
        self, clean: np.ndarray, canvas: Canvas, level: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """The CT of `clean`, int16 HU.

        Args:
            clean: HU (X, Y, Z).
            canvas: its grid.
            level: relative radius in the body, 0 on its axis and 1 at the skin, (X, Y, Z).
            rng: of the noise.
        """
        room = clean < _ROOM_AIR_HU
        image = thick_slices(clean, canvas.axes_mm, self.look.slice_mm, self.parameters.partial_volume_mm)
        noise = self._noise(rng, canvas, level)
        if self.look.metal_mm is not None:
            noise += metal_streaks(rng, canvas.anatomical_mm, self.look.metal_mm, self.look.metal_streak_hu)
        image += np.where(room, 0.0, noise)
        x, y = canvas.axes_mm[0][:, None], canvas.axes_mm[1][None, :]
        image[np.hypot(x, y) > self.look.field_radius_mm] = PADDING_HU
        return np.clip(np.rint(image), -1024, 3071).astype(np.int16)

    def _noise(self, rng: np.random.Generator, canvas: Canvas, level: np.ndarray) -> np.ndarray:
        """Noise that is stronger in the middle of the body and streaks across the shoulders, float32."""
        parameters = self.parameters
        along = max(parameters.ct_noise_step_mm, 0.75 * self.look.slice_mm)
        steps = (parameters.ct_noise_step_mm, parameters.ct_noise_step_mm, along)
        noise = self._field(rng, canvas, steps) * np.float32(parameters.ct_noise_hu)
        noise *= (0.75 + 0.45 * np.clip(1.0 - level**2, 0.0, 1.0)).astype(np.float32)
        if parameters.ct_noise_hu:
            z = canvas.anatomical_mm[2]
            where = 1.0 / (1.0 + np.exp(-(z - _SHOULDERS_MM) / 6.0))
            where = where + 0.5 * self.look.arms_down
            noise += self.look.shoulder_noise_hu * where * self._field(rng, canvas, (40.0, 2.0, 3.0))
        return noise.astype(np.float32)

    def _field(
        self, rng: np.random.Generator, canvas: Canvas, step_mm: float | tuple[float, float, float]
    ) -> np.ndarray:
        """A unit-variance field with a lattice step per axis, float32 (X, Y, Z), the same on every grid."""
        steps = np.broadcast_to(np.asarray(step_mm, float), (3,))
        low, high = np.asarray(self.low_mm) / steps, np.asarray(self.high_mm) / steps
        lattice = random_field(rng, low.tolist(), high.tolist(), 1.0)
        return lattice.on_axes([axis / step for axis, step in zip(canvas.axes_mm, steps, strict=True)])[0]


def thick_slices(
    image: np.ndarray, axes_mm: Sequence[np.ndarray], slice_mm: float, painted_mm: float
) -> np.ndarray:
    """Blur along z as slices of a thickness do that are interpolated onto the grid.

    A box of the thickness and linear interpolation between slices that far apart have a variance of
    t^2 / 12 + t^2 / 6 = (t / 2)^2; what painting has blurred already (a box) is taken off.

    Args:
        image: float32 (X, Y, Z).
        axes_mm: voxel centers.
        slice_mm: thickness and distance of the slices.
        painted_mm: width of the painted partial volume.
    """
    variance = (0.5 * slice_mm) ** 2 - painted_mm**2 / 12.0
    if variance <= 0.0 or len(axes_mm[2]) < 2:
        return image.copy()
    sigma = np.sqrt(variance) / float(axes_mm[2][1] - axes_mm[2][0])
    return ndimage.gaussian_filter1d(image, sigma, axis=2, mode="nearest")


def metal_streaks(
    rng: np.random.Generator, points_mm: np.ndarray, metal_mm: Sequence[float], amplitude_hu: float
) -> np.ndarray:
    """Bright and dark rays from a piece of metal in its slices, float32 (X, Y, Z).

    Args:
        rng: directions and strengths.
        points_mm: anatomical coordinates of the voxels, (3, X, Y, Z).
        metal_mm: where the metal lies.
        amplitude_hu: root mean square of the rays 10 mm beside it; they fade with the distance.
    """
    dx, dy, dz = (points_mm[d] - metal_mm[d] for d in range(3))
    angle = np.arctan2(dy, dx)
    rays = np.zeros(dx.shape, np.float32)
    orders = rng.integers(*ADDED.streak_orders, ADDED.streak_waves)
    for order, phase in zip(orders, rng.uniform(0, 2 * np.pi, len(orders)), strict=True):
        rays += 0.5 * np.cos(order * angle + phase)
    fade = 20.0 / (10.0 + np.hypot(dx, dy)) * np.exp(-0.5 * (dz / _METAL_REACH_MM) ** 2)
    return (amplitude_hu * rays * fade).astype(np.float32)


def _paint_small(
    image: np.ndarray, tissues: np.ndarray, small: Sequence[Shape], canvas: Canvas, fat_hu: float
) -> None:
    """Paint vessels that are thinner than the painted partial volume into fat and lungs, in place.

    A surface's partial volume would show them too dense: on its axis a tube of radius r takes up
    pi r^2 / width^2 of a voxel, not 0.5 + r / width.
    """
    copy, values = image.copy(), []
    for shape in small:
        r = float(shape.numbers[6]) / canvas.width_mm
        share = min(1.0, np.pi * r**2) / min(1.0, 0.5 + r)
        values.append(fat_hu + min(1.0, share) * (shape.hu - fat_hu))
    canvas.paint(copy, small, values)
    soft = (tissues == FAT) | (tissues == LUNG)
    image[soft] = copy[soft]
