"""Cubic B-spline alignment of two CTs, coarse to fine, by Gauss-Newton steps.

The displacement's coefficients minimize robust squared differences plus bending energy (Rueckert et al.,
IEEE TMI 18, 1999, for the lattice and the energy). Both are sums of products of one matrix per axis, so a
step solves its normal equations by conjugate gradients without ever building them. Every voxel counts, and
the result does not depend on random samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from osln.imaging.grid import Grid
from osln.registration.frames import RAS_TO_LPS, to_itk

_MARGIN_MM = 16.0
# Residuals well above it weigh little: contrast agent in one CT only, gas, parts without a counterpart.
_ROBUST = 150.0
_SOLVER_STEPS = 12


@dataclass(frozen=True)
class Level:
    """One step of the ladder: image voxels `shrink` times the working voxel, lattice and iterations."""

    shrink: int
    lattice_mm: float
    iterations: int


LEVELS = (Level(2, 80.0, 6), Level(2, 50.0, 6), Level(1, 50.0, 3), Level(1, 32.0, 4))
BENDING = 1e5
"""Weight of the bending energy (integral of squared second derivatives, 1/mm2) beside the sum of squares."""


@dataclass(frozen=True)
class Lattice:
    """Uniform cubic B-splines over the box of a grid plus a margin, along the grid's axes.

    Attributes:
        grid: what it covers.
        step_mm: distance of the splines' centers.
    """

    grid: Grid
    step_mm: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Splines along x, y, z."""
        extent = (np.asarray(self.grid.shape) - 1) * self.grid.spacing_mm + 2 * _MARGIN_MM
        return tuple(int(n) + 3 for n in np.ceil(extent / self.step_mm - 1e-9))

    def matrices(self, shrink: int = 1) -> list[np.ndarray]:
        """Per axis (blocks, splines) float32: weight of each spline at the centers of blocks of voxels."""
        result = []
        axes = zip(self.grid.shape, self.grid.spacing_mm, self.shape, strict=True)
        for voxels, spacing, splines in axes:
            centers = np.arange(voxels // shrink) * shrink + (shrink - 1) / 2
            at = (centers * spacing + _MARGIN_MM) / self.step_mm
            apart = np.abs(at[:, None] - (np.arange(splines) - 1))
            near = 2 / 3 - apart**2 + apart**3 / 2
            far = np.maximum(2 - apart, 0) ** 3 / 6
            result.append(np.where(apart < 1, near, far).astype(np.float32))
        return result

    def transform(self, coefficients: np.ndarray) -> sitk.BSplineTransform:
        """The transform of LPS points for coefficients (3, *shape) in mm along the grid's axes."""
        affine = self.grid.affine.copy()
        affine[:3, :3] = self.grid.direction * self.step_mm
        affine[:3, 3] -= self.grid.direction @ np.full(3, _MARGIN_MM + self.step_mm)
        place = Grid(self.shape, affine)
        lps = np.tensordot(RAS_TO_LPS[:, None] * self.grid.direction, coefficients.astype(np.float64), 1)
        return sitk.BSplineTransform([to_itk(component, place) for component in lps], 3)


def align_splines(
    fixed: np.ndarray,
    moving: np.ndarray,
    weight: np.ndarray,
    covered: np.ndarray,
    grid: Grid,
    *,
    levels: Sequence[Level] = LEVELS,
    bending: float = BENDING,
    on_progress: Callable[[float], None] | None = None,
) -> sitk.BSplineTransform:
    """The displacement that makes `moving` look like `fixed`.

    Args:
        fixed: (x, y, z) float32.
        moving: (x, y, z) float32 on the same grid, already moved rigidly.
        weight: (x, y, z) bool, where `fixed` counts.
        covered: (x, y, z) bool, where `moving` is known.
        grid: of all four.
        levels: from coarse to fine.
        bending: weight of the bending energy.
        on_progress: told the share that is done.

    Returns:
        Maps LPS points of the fixed image to points of the moved one.
    """
    lattice = Lattice(grid, levels[0].lattice_mm)
    coefficients = np.zeros((3, *lattice.shape), np.float32)
    total, done = sum(level.iterations / level.shrink**3 for level in levels), 0.0
    for level in levels:
        images = [_shrunk(a.astype(np.float32), level.shrink) for a in (fixed, moving, weight, covered)]
        finer = Lattice(grid, level.lattice_mm)
        coefficients = _carried_over(coefficients, lattice, finer)
        lattice = finer
        fit = _fit(coefficients, lattice, level.shrink, images, bending)
        pace = np.float32(1.0)
        for _ in range(level.iterations):
            tried = coefficients + pace * _solve(fit.normal, fit.downhill)
            following = _fit(tried, lattice, level.shrink, images, bending)
            if following.energy < fit.energy:
                coefficients, fit = tried, following
            else:
                pace /= 2
            done += 1 / level.shrink**3
            if on_progress:
                on_progress(done / total)
    return lattice.transform(coefficients)


@dataclass(frozen=True)
class _Fit:
    """What the images say at given coefficients: energy, its downhill direction and the normal equations."""

    energy: float
    downhill: np.ndarray
    normal: Callable[[np.ndarray], np.ndarray]


def _fit(
    coefficients: np.ndarray, lattice: Lattice, shrink: int, images: list[np.ndarray], bending: float
) -> _Fit:
    """Linearizes the residuals with the mean gradient of both images."""
    fixed, moving, weight, covered = images
    matrices = lattice.matrices(shrink)
    spacing = lattice.grid.spacing_mm * shrink
    where = _expand(coefficients, matrices) / spacing[:, None, None, None].astype(np.float32)
    where += np.indices(fixed.shape, dtype=np.float32)
    warped = ndimage.map_coordinates(moving, where, order=1, mode="nearest")
    known = ndimage.map_coordinates(covered, where, order=1, mode="constant") > 0.99
    residual = warped - fixed
    rest = 1 / (1 + (residual / _ROBUST) ** 2)
    counted = weight * known * np.float32(np.prod(spacing))
    gradient = np.stack(np.gradient((warped + fixed) / 2, *spacing)).astype(np.float32)
    weighted = gradient * (counted * rest**2)
    scale = bending / lattice.step_mm
    bent = scale * _bent(coefficients)
    # Per volume, or the energy could be lowered by moving the image out of sight.
    energy = float((counted * residual**2 * rest).sum(dtype=np.float64)) / max(float(counted.sum()), 1.0)
    energy += float(np.vdot(coefficients, bent)) / float(weight.sum() * np.prod(spacing))

    def normal(step: np.ndarray) -> np.ndarray:
        along = np.einsum("cxyz,cxyz->xyz", gradient, _expand(step, matrices))
        return _gather(weighted * along, matrices) + scale * _bent(step)

    return _Fit(energy, -_gather(weighted * residual, matrices) - bent, normal)


def _solve(normal: Callable[[np.ndarray], np.ndarray], right: np.ndarray) -> np.ndarray:
    """Conjugate gradients from zero, a fixed number of steps."""
    result = np.zeros_like(right)
    rest, direction = right.copy(), right.copy()
    length = first = float(np.vdot(rest, rest))
    for _ in range(_SOLVER_STEPS):
        if length <= 1e-6 * first:
            break
        image = normal(direction)
        pace = np.float32(length / float(np.vdot(direction, image)))
        result += pace * direction
        rest -= pace * image
        shorter = float(np.vdot(rest, rest))
        direction = rest + np.float32(shorter / length) * direction
        length = shorter
    return result


def _expand(coefficients: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """(3, splines) to (3, voxels)."""
    x, y, z = matrices
    return np.stack([np.tensordot(x, np.einsum("ijk,bj->ibk", c, y) @ z.T, 1) for c in coefficients])


def _gather(values: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """The transpose of `_expand`: (3, voxels) to (3, splines)."""
    x, y, z = matrices
    return np.stack([np.tensordot(x.T, np.einsum("abk,bj->ajk", v @ z, y), 1) for v in values])


def _bent(coefficients: np.ndarray) -> np.ndarray:
    """Gradient of half the sum of squared second differences over the lattice, mixed ones twice."""
    result = np.zeros_like(coefficients)
    for first in range(1, 4):
        for second in range(first, 4):
            kind = ((first, 1.0), (second, 1.0))
            change = coefficients
            for axis, _ in kind:
                change = np.diff(change, axis=axis)
            for axis, _ in kind:
                change = -np.diff(change, axis=axis, prepend=0, append=0)
            result += (1 if first == second else 2) * change
    return result


def _carried_over(coefficients: np.ndarray, lattice: Lattice, finer: Lattice) -> np.ndarray:
    """Coefficients of the finer lattice for the same displacement, by least squares along each axis."""
    if lattice.step_mm == finer.step_mm:
        return coefficients
    # Splines that hardly reach into the grid must not get huge coefficients.
    inverses = [np.linalg.pinv(m, rcond=1e-2).astype(np.float32) for m in finer.matrices()]
    return _expand(_expand(coefficients, lattice.matrices()), inverses)


def _shrunk(array: np.ndarray, step: int) -> np.ndarray:
    """Means of blocks of `step` voxels along each axis; the rest at the far end is dropped."""
    if step == 1:
        return array
    cut = array[tuple(slice(0, n // step * step) for n in array.shape)]
    x, y, z = (n // step for n in cut.shape)
    return cut.reshape(x, step, y, step, z, step).mean(axis=(1, 3, 5))
