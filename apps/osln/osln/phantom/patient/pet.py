"""From painted uptake to a PET image: blur, misregistration, noise that grows with depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from osln.phantom.parameters import PhantomParameters
from osln.phantom.patient.fields import SplineField, random_field

_MARGIN_MM = 8.0


def pet_axes(
    low_mm: Sequence[float], high_mm: Sequence[float], spacing_mm: Sequence[float]
) -> list[np.ndarray]:
    """Voxel centers of the PET's own grid over a box plus a margin, per axis."""
    axes = []
    for low, high, step in zip(low_mm, high_mm, spacing_mm, strict=True):
        count = int(np.ceil((high - low + 2 * _MARGIN_MM) / step))
        start = 0.5 * (low + high) - 0.5 * (count - 1) * step
        axes.append(start + step * np.arange(count))
    return axes


def misregistration(
    rng: np.random.Generator, parameters: PhantomParameters, low_mm: Sequence[float], high_mm: Sequence[float]
) -> SplineField:
    """A smooth displacement in mm whose 95th percentile of length is drawn from the given range.

    The PET shows at p what the CT shows at p + u(p).
    """
    field = random_field(rng, low_mm, high_mm, parameters.misregistration_step_mm, sd=(1.0, 1.0, 1.0))
    axes = [np.linspace(a + 20, b - 20, 24) for a, b in zip(low_mm, high_mm, strict=True)]
    length = np.sqrt((field.on_axes(axes) ** 2).sum(0))
    return field.scaled(rng.uniform(*parameters.misregistration_p95_mm) / float(np.percentile(length, 95)))


def shown_at(points_mm: np.ndarray, field: SplineField | None) -> np.ndarray:
    """Where the PET shows CT points (N, 3): the p with p + u(p) = q, by fixed-point iteration."""
    points = np.atleast_2d(np.asarray(points_mm, float))
    if field is None:
        return points
    moved = points.copy()
    for _ in range(8):
        moved = points - field.at(moved)
    return moved


def blurred(uptake: np.ndarray, parameters: PhantomParameters) -> np.ndarray:
    """The scanner's Gaussian point spread on the PET grid."""
    sigma = [parameters.pet_blur_fwhm_mm / 2.3548 / step for step in parameters.pet_spacing_mm]
    return ndimage.gaussian_filter(uptake, sigma, mode="nearest")


def moved(image: np.ndarray, axes_mm: Sequence[np.ndarray], field: SplineField | None) -> np.ndarray:
    """The image with the misregistration field applied; the same image without a field."""
    if field is None:
        return image
    shift = field.on_axes(axes_mm)
    where = np.indices(image.shape, dtype=np.float32)
    for d, axis in enumerate(axes_mm):
        where[d] += shift[d] / np.float32(axis[1] - axis[0])
    return np.maximum(ndimage.map_coordinates(image, where, order=3, mode="nearest"), 0.0)


def noisy(
    rng: np.random.Generator,
    image: np.ndarray,
    axes_mm: Sequence[np.ndarray],
    level: np.ndarray,
    parameters: PhantomParameters,
    low_mm: Sequence[float],
    high_mm: Sequence[float],
) -> np.ndarray:
    """Add correlated noise that grows with the root of the uptake and with depth in the body.

    Args:
        rng: the noise's stream.
        image: SUV, float32 (X, Y, Z).
        axes_mm: its voxel centers.
        level: relative radius in the body, 0 on its axis and 1 at the skin, (X, Y, Z).
        parameters: fraction at SUV 2 and correlation.
        low_mm, high_mm: box of the noise lattice, the same for every field of view.

    Returns:
        float32 SUV, never negative.
    """
    amount = 2.0 * parameters.pet_noise_fraction * rng.uniform(0.8, 1.3)
    noise = random_field(rng, low_mm, high_mm, parameters.pet_noise_step_mm).on_axes(axes_mm)[0]
    depth = 0.6 + 0.7 * np.clip(1.0 - level**2, 0.0, 1.0)
    sd = amount * np.sqrt(np.maximum(image, 0.02) / 2.0) * depth
    return np.maximum(image + sd * noise, 0.0).astype(np.float32)
