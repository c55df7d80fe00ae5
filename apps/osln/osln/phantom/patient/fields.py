"""Smooth random fields that are the same patient on every grid: cubic B-spline lattices in millimeters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

# Mean over a cell of the sum of squared cubic B-spline weights: the variance one axis of the lattice keeps.
_AXIS_VARIANCE = 151.0 / 315.0


def basis(
    coordinates_mm: np.ndarray, origin_mm: float, step_mm: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The four cubic B-splines that reach each coordinate along one axis.

    Args:
        coordinates_mm: positions, shape (N,).
        origin_mm: position of the first spline's center.
        step_mm: distance between spline centers.
        count: number of splines.

    Returns:
        Index of the first of the four (N,) and their weights, float32 (N, 4). Positions beyond the
        lattice are held at its edge.
    """
    t = np.clip((np.asarray(coordinates_mm, float) - origin_mm) / step_mm, 1.0, count - 2.000001)
    cell = np.floor(t).astype(np.int64)
    f = t - cell
    g = 1.0 - f
    weights = [g**3 / 6.0, 2.0 / 3.0 - f**2 + 0.5 * f**3, 2.0 / 3.0 - g**2 + 0.5 * g**3, f**3 / 6.0]
    return cell - 1, np.stack(weights, axis=1).astype(np.float32)


@dataclass(frozen=True)
class SplineField:
    """A smooth vector field on a lattice of cubic B-splines.

    Attributes:
        origin_mm: center of the first spline, (x, y, z).
        step_mm: lattice spacing, the same along the three axes; the correlation length is about 2 steps.
        coefficients: float32 (components, nx, ny, nz).
    """

    origin_mm: tuple[float, float, float]
    step_mm: float
    coefficients: np.ndarray

    def on_axes(self, axes_mm: Sequence[np.ndarray]) -> np.ndarray:
        """Values on the grid spanned by three coordinate axes, float32 (components, X, Y, Z)."""
        counts = self.coefficients.shape[1:]
        (fx, wx), (fy, wy), (fz, wz) = (
            basis(axis, self.origin_mm[i], self.step_mm, counts[i]) for i, axis in enumerate(axes_mm)
        )
        return np.stack([_expand(lattice, fx, wx, fy, wy, fz, wz) for lattice in self.coefficients])

    def at(self, points_mm: np.ndarray) -> np.ndarray:
        """Values at scattered points (N, 3), float64 (N, components)."""
        points = np.atleast_2d(np.asarray(points_mm, float))
        return _gather(self.coefficients, np.array(self.origin_mm, float), self.step_mm, points)

    def scaled(self, factor: float) -> SplineField:
        """The same field times a factor."""
        return SplineField(self.origin_mm, self.step_mm, self.coefficients * np.float32(factor))

    def to_json(self) -> dict[str, Any]:
        """Everything needed to rebuild the field, as plain lists."""
        return {
            "basis": "cubic B-spline",
            "origin_mm": list(self.origin_mm),
            "step_mm": self.step_mm,
            "coefficients_mm": np.round(self.coefficients.astype(float), 4).tolist(),
        }

    @staticmethod
    def from_json(description: dict[str, Any]) -> SplineField:
        """Rebuild a field from `to_json`."""
        x, y, z = description["origin_mm"]
        coefficients = np.asarray(description["coefficients_mm"], np.float32)
        return SplineField((x, y, z), float(description["step_mm"]), coefficients)


@numba.njit(cache=True)
def _gather(coefficients, origin, step, points):  # type: ignore[no-untyped-def]
    """Sum the 4 x 4 x 4 splines around each point: the scattered twin of `basis` and `_expand`."""
    result = np.zeros((points.shape[0], coefficients.shape[0]))
    first = np.empty(3, np.int64)
    weights = np.empty((3, 4))
    for n in range(points.shape[0]):
        for d in range(3):
            t = min(max((points[n, d] - origin[d]) / step, 1.0), coefficients.shape[1 + d] - 2.000001)
            first[d] = int(t) - 1
            f = t - int(t)
            weights[d, 0] = (1 - f) ** 3 / 6
            weights[d, 1] = 2.0 / 3.0 - f**2 + 0.5 * f**3
            weights[d, 2] = 2.0 / 3.0 - (1 - f) ** 2 + 0.5 * (1 - f) ** 3
            weights[d, 3] = f**3 / 6
        for c in range(coefficients.shape[0]):
            for i in range(4):
                for j in range(4):
                    for k in range(4):
                        weight = weights[0, i] * weights[1, j] * weights[2, k]
                        result[n, c] += weight * coefficients[c, first[0] + i, first[1] + j, first[2] + k]
    return result


@numba.njit(cache=True)
def _expand(lattice, fx, wx, fy, wy, fz, wz):  # type: ignore[no-untyped-def]
    """Tensor product of a lattice with three axes' splines, one axis at a time.

    Plain loops instead of a matrix product: the order of the sums, and so every bit, is the same on
    every computer.
    """
    nx, ny, nz = fx.shape[0], fy.shape[0], fz.shape[0]
    lines = np.empty((ny, lattice.shape[2]), np.float32)
    plane = np.empty((lattice.shape[1], lattice.shape[2]), np.float32)
    result = np.empty((nx, ny, nz), np.float32)
    for i in range(nx):
        a = fx[i]
        for q in range(plane.shape[0]):
            for r in range(plane.shape[1]):
                plane[q, r] = (wx[i, 0] * lattice[a, q, r] + wx[i, 1] * lattice[a + 1, q, r]) + (
                    wx[i, 2] * lattice[a + 2, q, r] + wx[i, 3] * lattice[a + 3, q, r]
                )
        for j in range(ny):
            b = fy[j]
            for r in range(plane.shape[1]):
                lines[j, r] = (wy[j, 0] * plane[b, r] + wy[j, 1] * plane[b + 1, r]) + (
                    wy[j, 2] * plane[b + 2, r] + wy[j, 3] * plane[b + 3, r]
                )
            for k in range(nz):
                c = fz[k]
                result[i, j, k] = (wz[k, 0] * lines[j, c] + wz[k, 1] * lines[j, c + 1]) + (
                    wz[k, 2] * lines[j, c + 2] + wz[k, 3] * lines[j, c + 3]
                )
    return result


def random_field(
    rng: np.random.Generator,
    low_mm: Sequence[float],
    high_mm: Sequence[float],
    step_mm: float,
    *,
    sd: float | Sequence[float] = 1.0,
) -> SplineField:
    """A stationary random field of mean 0 that covers a box.

    Args:
        rng: source of the lattice's normal numbers.
        low_mm, high_mm: the box to cover.
        step_mm: lattice spacing; the field is correlated over about two steps.
        sd: standard deviation of the values; a sequence gives one component each.

    Returns:
        The field; the numbers drawn depend on the box and the step only, never on an image grid.
    """
    deviations = np.atleast_1d(np.asarray(sd, np.float32))
    counts = [int(np.ceil((h - lo) / step_mm)) + 4 for lo, h in zip(low_mm, high_mm, strict=True)]
    lattice = rng.standard_normal((len(deviations), *counts), dtype=np.float32)
    lattice *= deviations[:, None, None, None] / np.float32(_AXIS_VARIANCE**1.5)
    x, y, z = (float(lo) - 1.5 * step_mm for lo in low_mm)
    return SplineField((x, y, z), float(step_mm), lattice)
