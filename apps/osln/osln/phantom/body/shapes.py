"""What can be painted: capsules, ellipsoids and stacked cross-sections, in millimeters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

CAPSULE, ELLIPSOID, STACK = 0, 1, 2
ANATOMICAL, WORLD = 0, 1
# Cross-section tables are sampled every millimeter over this range of anatomical z.
STACK_Z_MM = np.arange(-60.0, 400.0)


@dataclass(frozen=True)
class Shape:
    """One thing to paint, in millimeters.

    Attributes:
        kind: CAPSULE, ELLIPSOID or STACK.
        hu, suv: what the voxels inside get; NaN leaves that image as it is.
        numbers: capsule p0(3) p1(3) r0 r1; ellipsoid center(3) radii(3) axes(9); stack squareness.
        low_mm, high_mm: bounding box in the shape's own space.
        space: ANATOMICAL (moved by the patient's warp) or WORLD (true millimeters).
        rough_mm: amplitude of the surface's irregularity.
        table: for a stack, float (len(STACK_Z_MM), 4): center x, center y, half width, half depth.
        tissue: what it is made of where that decides how it looks ("fat", "liver", ...); "" elsewhere.
    """

    kind: int
    hu: float
    suv: float
    numbers: np.ndarray
    low_mm: np.ndarray
    high_mm: np.ndarray
    space: int = ANATOMICAL
    rough_mm: float = 0.0
    table: np.ndarray | None = field(default=None, repr=False)
    tissue: str = ""

    def valued(self, hu: float, suv: float) -> Shape:
        """The same shape with other values."""
        return replace(self, hu=hu, suv=suv)

    def of(self, tissue: str) -> Shape:
        """The same shape made of a tissue."""
        return replace(self, tissue=tissue)


def capsule(
    p0: ArrayLike, p1: ArrayLike, r0: float, r1: float, hu: float, suv: float, *,
    space: int = ANATOMICAL, rough_mm: float = 0.0,
) -> Shape:  # fmt: skip
    """A tube segment with round ends whose radius runs from r0 to r1."""
    a, b = np.asarray(p0, float), np.asarray(p1, float)
    reach = max(r0, r1)
    numbers = np.concatenate([a, b, [r0, r1]])
    return Shape(
        CAPSULE, hu, suv, numbers, np.minimum(a, b) - reach, np.maximum(a, b) + reach, space, rough_mm
    )


def tube(
    points: Sequence[ArrayLike] | np.ndarray, radii: ArrayLike, hu: float, suv: float, *,
    space: int = ANATOMICAL, rough_mm: float = 0.0,
) -> list[Shape]:  # fmt: skip
    """A polyline of capsules through the points; one radius, or one per point."""
    widths = np.broadcast_to(np.asarray(radii, float), (len(points),))
    return [
        capsule(points[i], points[i + 1], widths[i], widths[i + 1], hu, suv, space=space, rough_mm=rough_mm)
        for i in range(len(points) - 1)
    ]


def ellipsoid(
    center: ArrayLike, radii: ArrayLike, hu: float, suv: float, *,
    axes: np.ndarray | None = None, space: int = ANATOMICAL, rough_mm: float = 0.0,
) -> Shape:  # fmt: skip
    """An ellipsoid; the rows of `axes` are its unit axes (default: along x, y, z)."""
    c, r = np.asarray(center, float), np.asarray(radii, float)
    rows = np.eye(3) if axes is None else np.asarray(axes, float)
    reach = np.sqrt(((rows * r[:, None]) ** 2).sum(0))
    return Shape(
        ELLIPSOID, hu, suv, np.concatenate([c, r, rows.ravel()]), c - reach, c + reach, space, rough_mm
    )


def stack(
    knots: Sequence[ArrayLike], hu: float, suv: float, *, squareness: float = 0.0, rough_mm: float = 0.0
) -> Shape:
    """Elliptic cross-sections stacked along z: knots of (z, center x, center y, half width, half depth).

    `squareness` 0 is an ellipse; 1 a superellipse of power 4. The shape ends at the first and last knot.
    """
    rows = np.asarray(knots, float)
    table = np.stack([np.interp(STACK_Z_MM, rows[:, 0], rows[:, i]) for i in range(1, 5)], axis=1)
    outside = (rows[0, 0] > STACK_Z_MM) | (rows[-1, 0] < STACK_Z_MM)
    table[outside, 2:] = 0.0
    low = [(rows[:, 1] - rows[:, 3]).min(), (rows[:, 2] - rows[:, 4]).min(), rows[0, 0]]
    high = [(rows[:, 1] + rows[:, 3]).max(), (rows[:, 2] + rows[:, 4]).max(), rows[-1, 0]]
    return Shape(
        STACK, hu, suv, np.array([squareness]), np.array(low), np.array(high), ANATOMICAL, rough_mm, table
    )


def cross_section(shape: Shape, z_mm: float | np.ndarray) -> np.ndarray:
    """Center x, center y, half width and half depth of a stack at heights; the first axis has these four.

    Raises:
        ValueError: for a capsule or an ellipsoid.
    """
    if shape.table is None:
        raise ValueError("expected a shape made by stack(); capsules and ellipsoids have no cross-sections")
    return np.stack([np.interp(z_mm, STACK_Z_MM, column) for column in shape.table.T])


def stack_level(shape: Shape, points_mm: Sequence[np.ndarray]) -> np.ndarray:
    """Relative radius in a stack's cross-section: 0 on its axis, 1 on its surface (points: three arrays)."""
    cx, cy, a, b = cross_section(shape, points_mm[2])
    u, v = (points_mm[0] - cx) / np.maximum(a, 1e-3), (points_mm[1] - cy) / np.maximum(b, 1e-3)
    return np.sqrt(u**2 + v**2)
