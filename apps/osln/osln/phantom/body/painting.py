"""Painting of shapes into images with analytic partial volume (numba)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numba
import numpy as np

from osln.phantom.body.shapes import ANATOMICAL, CAPSULE, ELLIPSOID, STACK, STACK_Z_MM, WORLD, Shape

# Voxels along each side of the blocks that are skipped as a whole.
BLOCK = 4
# Stands for the distance to a stack where its cross-section tells nothing about it.
FAR_MM = 1e3


@numba.njit(cache=True)
def _distance(kind, numbers, table, x, y, z):  # type: ignore[no-untyped-def]
    """Signed distance in mm (negative inside) of one point; first-order for ellipsoids and stacks."""
    if kind == CAPSULE:
        ax, ay, az = numbers[3] - numbers[0], numbers[4] - numbers[1], numbers[5] - numbers[2]
        px, py, pz = x - numbers[0], y - numbers[1], z - numbers[2]
        length = ax * ax + ay * ay + az * az + 1e-9
        t = min(1.0, max(0.0, (px * ax + py * ay + pz * az) / length))
        dx, dy, dz = px - t * ax, py - t * ay, pz - t * az
        return np.sqrt(dx * dx + dy * dy + dz * dz) - (numbers[6] + t * (numbers[7] - numbers[6]))
    if kind == ELLIPSOID:
        px, py, pz = x - numbers[0], y - numbers[1], z - numbers[2]
        level, slope = 0.0, 1e-9
        for i in range(3):
            u = px * numbers[6 + 3 * i] + py * numbers[7 + 3 * i] + pz * numbers[8 + 3 * i]
            r = numbers[3 + i]
            level += (u / r) ** 2
            slope += (u / (r * r)) ** 2
        level = np.sqrt(level)
        if level < 0.05:
            return -min(numbers[3], min(numbers[4], numbers[5]))
        return level * (level - 1.0) / np.sqrt(slope)
    row = z - STACK_Z_MM[0]
    i = int(row)
    if i < 0 or i >= table.shape[0] - 1:
        return FAR_MM
    f = row - i
    a = table[i, 2] * (1 - f) + table[i + 1, 2] * f
    b = table[i, 3] * (1 - f) + table[i + 1, 3] * f
    if a < 0.5 or b < 0.5:
        return FAR_MM
    px = x - (table[i, 0] * (1 - f) + table[i + 1, 0] * f)
    py = y - (table[i, 1] * (1 - f) + table[i + 1, 1] * f)
    u, v = (px / a) ** 2, (py / b) ** 2
    round_level = np.sqrt(u + v)
    if round_level > 2.0:
        return FAR_MM
    level = (1.0 - numbers[0]) * round_level + numbers[0] * np.sqrt(np.sqrt(u * u + v * v))
    if round_level < 0.05:
        return -min(a, b)
    slope = np.sqrt(u / (a * a) + v / (b * b)) / round_level
    return (level - 1.0) / slope


@numba.njit(cache=True)
def _block_bounds(points):  # type: ignore[no-untyped-def]
    """Smallest and largest anatomical coordinate of every block of voxels, (blocks x, y, z, 3, 2)."""
    _, nx, ny, nz = points.shape
    bounds = np.empty(((nx + BLOCK - 1) // BLOCK, (ny + BLOCK - 1) // BLOCK, (nz + BLOCK - 1) // BLOCK, 3, 2))
    bounds[..., 0] = 1e9
    bounds[..., 1] = -1e9
    for d in range(3):
        for i in range(nx):
            for j in range(ny):
                for k in range(nz):
                    cell = bounds[i // BLOCK, j // BLOCK, k // BLOCK, d]
                    value = points[d, i, j, k]
                    cell[0] = min(cell[0], value)
                    cell[1] = max(cell[1], value)
    return bounds


@numba.njit(cache=True)
def _half_diagonal(cell):  # type: ignore[no-untyped-def]
    """Half the diagonal of a block's bounds (3, 2)."""
    return 0.5 * np.sqrt(((cell[:, 1] - cell[:, 0]) ** 2).sum())


@numba.njit(cache=True)
def _paint(  # type: ignore[no-untyped-def]
    image, points, bounds, bumps, rough, kinds, numbers, lows, highs, tables, which, values, width, quick
):
    """Blend every shape into the image in the given order; blocks that a shape cannot reach are skipped."""
    nx, ny, nz = image.shape
    bx, by, bz = bounds.shape[0], bounds.shape[1], bounds.shape[2]
    for s in range(kinds.shape[0]):
        value = values[s]
        pad = 0.5 * width + 3.5 * rough[s]
        x0, y0, z0 = lows[s, 0] - pad, lows[s, 1] - pad, lows[s, 2] - pad
        x1, y1, z1 = highs[s, 0] + pad, highs[s, 1] + pad, highs[s, 2] + pad
        for a in range(bx):
            for b in range(by):
                for c in range(bz):
                    cell = bounds[a, b, c]
                    if cell[2, 1] < z0 or cell[2, 0] > z1 or cell[1, 1] < y0 or cell[1, 0] > y1:
                        continue
                    if cell[0, 1] < x0 or cell[0, 0] > x1:
                        continue
                    safe = pad + 2.0 * _half_diagonal(cell)
                    mx = 0.5 * (cell[0, 0] + cell[0, 1])
                    my = 0.5 * (cell[1, 0] + cell[1, 1])
                    mz = 0.5 * (cell[2, 0] + cell[2, 1])
                    nearest = _distance(kinds[s], numbers[s], tables[which[s]], mx, my, mz)
                    farthest = nearest
                    if kinds[s] == STACK and not quick:
                        for d in range(2):
                            end = _distance(kinds[s], numbers[s], tables[which[s]], mx, my, cell[2, d])
                            nearest, farthest = min(nearest, end), max(farthest, end)
                    known = nearest < FAR_MM or quick or kinds[s] != STACK
                    if nearest > safe and known:
                        continue
                    if farthest < -safe:
                        image[
                            a * BLOCK : (a + 1) * BLOCK,
                            b * BLOCK : (b + 1) * BLOCK,
                            c * BLOCK : (c + 1) * BLOCK,
                        ] = value
                        continue
                    for i in range(a * BLOCK, min(nx, (a + 1) * BLOCK)):
                        for j in range(b * BLOCK, min(ny, (b + 1) * BLOCK)):
                            for k in range(c * BLOCK, min(nz, (c + 1) * BLOCK)):
                                px, py, pz = points[0, i, j, k], points[1, i, j, k], points[2, i, j, k]
                                if px < x0 or px > x1 or py < y0 or py > y1 or pz < z0 or pz > z1:
                                    continue
                                distance = _distance(kinds[s], numbers[s], tables[which[s]], px, py, pz)
                                if rough[s] > 0.0:
                                    distance += rough[s] * bumps[i, j, k]
                                share = 0.5 - distance / width
                                if share >= 1.0:
                                    image[i, j, k] = value
                                elif share > 0.0:
                                    image[i, j, k] += share * (value - image[i, j, k])


@dataclass(frozen=True)
class Warp:
    """From world to anatomical millimeters: (p - offset) / scale + a smooth displacement on this grid.

    Attributes:
        scale, offset_mm: per axis.
        shift_mm: float32 (3, X, Y, Z), the displacement at each voxel.
        bumps: float32 (X, Y, Z), unit-variance field for irregular surfaces.
    """

    scale: np.ndarray
    offset_mm: np.ndarray
    shift_mm: np.ndarray
    bumps: np.ndarray


class Canvas:
    """A grid that shapes are painted onto, with the patient's warp evaluated at its voxels."""

    def __init__(
        self, axes_mm: Sequence[np.ndarray], warp: Warp, width_mm: float, *, quick: bool = False
    ) -> None:
        """Set up a grid.

        Args:
            axes_mm: voxel-center coordinates per axis, ascending.
            warp: the patient's warp there.
            width_mm: width of the partial volume at surfaces.
            quick: judge whole blocks of a stack by their middle; good enough to plan on, but the ends
                of stacks come out ragged.
        """
        self.quick = quick
        self.axes_mm = [np.ascontiguousarray(axis, float) for axis in axes_mm]
        self.warp = warp
        self.width_mm = float(width_mm)
        world = np.stack(np.meshgrid(*(axis.astype(np.float32) for axis in self.axes_mm), indexing="ij"))
        scale, offset = (np.asarray(v, np.float32)[:, None, None, None] for v in (warp.scale, warp.offset_mm))
        self._points = {WORLD: world, ANATOMICAL: (world - offset) / scale + warp.shift_mm}
        self._bounds = {space: _block_bounds(points) for space, points in self._points.items()}

    @property
    def anatomical_mm(self) -> np.ndarray:
        """Anatomical coordinates of every voxel, float32 (3, X, Y, Z)."""
        return self._points[ANATOMICAL]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        x, y, z = (len(axis) for axis in self.axes_mm)
        return x, y, z

    def paint(
        self, image: np.ndarray, shapes: Sequence[Shape], values: Sequence[float], *, hard: bool = False
    ) -> None:
        """Blend shapes into a float32 image in place.

        Args:
            image: float32 (X, Y, Z), changed in place.
            shapes: painted in this order.
            values: one per shape; NaN skips the shape.
            hard: True paints whole voxels by their centers (labels), False with partial volume.
        """
        shown = [(shape, value) for shape, value in zip(shapes, values, strict=True) if not np.isnan(value)]
        for space, run in groupby(shown, key=lambda pair: pair[0].space):
            self._paint_run(image, space, list(run), 1e-4 if hard else self.width_mm)

    def _paint_run(
        self, image: np.ndarray, space: int, run: list[tuple[Shape, float]], width_mm: float
    ) -> None:
        """Paint consecutive shapes of one space."""
        shapes = [shape for shape, _ in run]
        numbers = np.zeros((len(shapes), 15))
        for row, shape in zip(numbers, shapes, strict=True):
            row[: len(shape.numbers)] = shape.numbers
        stacked = [s.table for s in shapes if s.table is not None]
        _paint(
            image,
            self._points[space],
            self._bounds[space],
            self.warp.bumps,
            np.array([s.rough_mm for s in shapes], float),
            np.array([s.kind for s in shapes]),
            numbers,
            np.array([s.low_mm for s in shapes], float),
            np.array([s.high_mm for s in shapes], float),
            np.stack(stacked) if stacked else np.zeros((1, 2, 4)),
            np.maximum(np.cumsum([s.table is not None for s in shapes]) - 1, 0),
            np.array([value for _, value in run], np.float32),
            width_mm,
            self.quick,
        )
