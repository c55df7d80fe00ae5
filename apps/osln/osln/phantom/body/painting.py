"""Painting of shapes into images with analytic partial volume (numba)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numba
import numpy as np

from osln.phantom.body.shapes import ANATOMICAL, CAPSULE, ELLIPSOID, STACK, STACK_Z_MM, Shape

# Voxels along each side of the blocks that are skipped as a whole.
BLOCK = 4
# Stands for the distance to a stack where its cross-section tells nothing about it.
FAR_MM = 1e3
# Surfaces are roughened by a field of unit variance, which hardly ever reaches further than this.
_ROUGH_REACH = 3.5
_NO_BUMPS = np.zeros((1, 1, 1), np.float32)


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
        pad = 0.5 * width + _ROUGH_REACH * rough[s]
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
    """From world to anatomical millimeters: (p - offset) / scale + a smooth displacement.

    Attributes:
        scale, offset_mm: per axis.
        shift_mm: gives the displacement on the grid of three axes, float32 (3, X, Y, Z).
        bumps: gives the unit-variance field for irregular surfaces there, float32 (X, Y, Z).
    """

    scale: np.ndarray
    offset_mm: np.ndarray
    shift_mm: Callable[[Sequence[np.ndarray]], np.ndarray]
    bumps: Callable[[Sequence[np.ndarray]], np.ndarray]


class Canvas:
    """A grid that shapes are painted onto.

    Shapes in true millimeters are painted each in its own box; the patient's warp is evaluated over the whole
    grid once a shape that follows it is painted.
    """

    def __init__(
        self, axes_mm: Sequence[np.ndarray], warp: Warp, width_mm: float, *, quick: bool = False
    ) -> None:
        """Set up a grid.

        Args:
            axes_mm: voxel-center coordinates per axis, ascending.
            warp: the patient's warp.
            width_mm: width of the partial volume at surfaces.
            quick: judge whole blocks of a stack by their middle; good enough to plan on, but the ends
                of stacks come out ragged.
        """
        self.quick = quick
        self.axes_mm = [np.ascontiguousarray(axis, float) for axis in axes_mm]
        self.warp = warp
        self.width_mm = float(width_mm)

    @cached_property
    def anatomical_mm(self) -> np.ndarray:
        """Anatomical coordinates of every voxel, float32 (3, X, Y, Z)."""
        scale, offset = (
            np.asarray(v, np.float32)[:, None, None, None] for v in (self.warp.scale, self.warp.offset_mm)
        )
        return (_world_points(self.axes_mm) - offset) / scale + self.warp.shift_mm(self.axes_mm)

    @cached_property
    def _bounds(self) -> np.ndarray:
        return _block_bounds(self.anatomical_mm)

    @cached_property
    def _bumps(self) -> np.ndarray:
        return self.warp.bumps(self.axes_mm)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        x, y, z = (len(axis) for axis in self.axes_mm)
        return x, y, z

    def box(self, shape: Shape) -> tuple[slice, ...]:
        """The whole blocks of voxels that a shape in true millimeters can reach."""
        reach = 0.5 * self.width_mm + _ROUGH_REACH * shape.rough_mm
        slices = []
        for axis, low, high in zip(self.axes_mm, shape.low_mm - reach, shape.high_mm + reach, strict=True):
            # One voxel more on each side: the voxels' coordinates are rounded when they are painted.
            first = max(int(np.searchsorted(axis, low)) - 1, 0) // BLOCK * BLOCK
            last = -(-(int(np.searchsorted(axis, high)) + 1) // BLOCK) * BLOCK
            slices.append(slice(first, min(last, len(axis))))
        return tuple(slices)

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
        width_mm = 1e-4 if hard else self.width_mm
        shown = [(shape, value) for shape, value in zip(shapes, values, strict=True) if not np.isnan(value)]
        for space, run in groupby(shown, key=lambda pair: pair[0].space):
            if space == ANATOMICAL:
                self._paint_run(image, self.anatomical_mm, self._bounds, self._bumps, list(run), width_mm)
                continue
            for shape, value in run:
                box = self.box(shape)
                points = _world_points([axis[part] for axis, part in zip(self.axes_mm, box, strict=True)])
                bumps = self._bumps[box] if shape.rough_mm else _NO_BUMPS
                bounds = _block_bounds(points)
                self._paint_run(image[box], points, bounds, bumps, [(shape, value)], width_mm)

    def _paint_run(
        self,
        image: np.ndarray,
        points: np.ndarray,
        bounds: np.ndarray,
        bumps: np.ndarray,
        run: list[tuple[Shape, float]],
        width_mm: float,
    ) -> None:
        """Paint consecutive shapes of one space."""
        shapes = [shape for shape, _ in run]
        numbers = np.zeros((len(shapes), 15))
        for row, shape in zip(numbers, shapes, strict=True):
            row[: len(shape.numbers)] = shape.numbers
        stacked = [s.table for s in shapes if s.table is not None]
        _paint(
            image,
            points,
            bounds,
            bumps,
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


def _world_points(axes_mm: Sequence[np.ndarray]) -> np.ndarray:
    """World coordinates of every voxel, float32 (3, X, Y, Z)."""
    return np.stack(np.meshgrid(*(axis.astype(np.float32) for axis in axes_mm), indexing="ij"))
