"""The primary tumor: an irregular thickening along the esophagus."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from osln.phantom.body.shapes import Shape, ellipsoid
from osln.phantom.parameters import PhantomParameters


def primary_tumor(
    rng: np.random.Generator, parameters: PhantomParameters, center_line: Callable[[np.ndarray], np.ndarray]
) -> list[Shape]:
    """Overlapping ellipsoids strung along a center line.

    Args:
        rng: the tumor's stream.
        parameters: position, length, radius and uptake ranges.
        center_line: anatomical points (N, 3) at heights (N,).

    Returns:
        Shapes with CT value and uptake; their union is the tumor mask.
    """
    level = rng.choice(3, p=parameters.tumor_z_share)
    middle = parameters.tumor_z_mm[level] + rng.normal(0, parameters.tumor_z_sd_mm)
    length = rng.uniform(*parameters.tumor_length_mm)
    radius = rng.uniform(*parameters.tumor_radius_mm)
    hu, suv = rng.uniform(36, 44), rng.uniform(*parameters.tumor_suv)
    count = int(np.ceil(length / 7.0)) + 1
    heights = middle + np.linspace(-0.5, 0.5, count) * length
    shapes = []
    for step, point in zip(np.linspace(-1, 1, count), center_line(heights), strict=True):
        swell = radius * (0.55 + 0.45 * np.sqrt(1 - 0.9 * step**2)) * rng.uniform(0.85, 1.12)
        off_axis = rng.normal(0, 0.12 * radius, 3) * (1, 1, 0)
        radii = np.array([swell * rng.uniform(0.9, 1.15), swell * rng.uniform(0.8, 1.0), 8.0])
        shapes.append(ellipsoid(point + off_axis, radii, hu, suv, rough_mm=0.09 * radius))
    return shapes
