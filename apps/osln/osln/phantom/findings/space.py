"""Where nodes and mimics may go: the fat of a painted CT, and distances to the tumor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from osln.imaging.grid import mask_box

FAT_RANGE_HU = (-150.0, -55.0)


def inner_boundary_mm(mask: np.ndarray, axes_mm: Sequence[np.ndarray]) -> np.ndarray:
    """Centers of a mask's 26-connected inner boundary voxels, shape (N, 3); empty mask: (0, 3).

    Reference: the paper's distance map, as SimpleITK's SignedMaurerDistanceMap defines its border.
    """
    if not mask.any():
        return np.zeros((0, 3))
    first, end = mask_box(mask)
    low, high = np.maximum(first - 1, 0), end + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part = mask[box]
    shell = part & ~ndimage.binary_erosion(part, np.ones((3, 3, 3)), border_value=1)
    index = np.argwhere(shell) + low
    return np.stack([np.asarray(axis)[index[:, i]] for i, axis in enumerate(axes_mm)], axis=1)


@dataclass
class FatSpace:
    """The free fat of a reference grid.

    Attributes:
        axes_mm: voxel centers per axis.
        free: bool (X, Y, Z), fat that nothing was put into.
        boundary_mm: the tumor's boundary points.
        fat_share: share of its neighborhood that a node needs in fat.
        taken: center (mm) and reach (mm) of what was placed.
        refused: how many drawn nodes each reason kept out.
    """

    axes_mm: Sequence[np.ndarray]
    free: np.ndarray
    boundary_mm: np.ndarray
    fat_share: float
    taken: list[tuple[np.ndarray, float]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Index the tumor's boundary and list the free voxels once."""
        self._tree = cKDTree(self.boundary_mm) if len(self.boundary_mm) else None
        self._voxels = np.flatnonzero(self.free)

    def distance_mm(self, points_mm: np.ndarray) -> np.ndarray:
        """Distance of points (N, 3) to the tumor's boundary; infinite without a tumor."""
        points = np.atleast_2d(points_mm)
        if self._tree is None:
            return np.full(len(points), np.inf)
        return np.asarray(self._tree.query(points)[0])

    def index(self, point_mm: np.ndarray) -> tuple[int, int, int] | None:
        """Voxel that holds a point, or None outside."""
        where = []
        for axis, value in zip(self.axes_mm, point_mm, strict=True):
            step = axis[1] - axis[0]
            i = round(float((value - axis[0]) / step))
            if not 0 <= i < len(axis):
                return None
            where.append(i)
        return where[0], where[1], where[2]

    def holds(self, point_mm: np.ndarray) -> bool:
        """Whether a point lies in free fat."""
        where = self.index(point_mm)
        return where is not None and bool(self.free[where])

    def random_point(self, rng: np.random.Generator) -> np.ndarray:
        """A point uniform over the free fat."""
        if not len(self._voxels):
            raise ValueError(
                "no fat voxel to place anything in: check that the CT is in HU and shows the mediastinum"
            )
        where = np.unravel_index(self._voxels[int(rng.integers(len(self._voxels)))], self.free.shape)
        step = np.array([axis[1] - axis[0] for axis in self.axes_mm])
        center = np.array([axis[i] for axis, i in zip(self.axes_mm, where, strict=True)])
        return center + (rng.random(3) - 0.5) * step

    def fits(self, center_mm: np.ndarray, reach_mm: float, gap_mm: float) -> bool:
        """Whether a sphere lies in fat and keeps its gap to what was placed before."""
        if not self.holds(center_mm):
            return False
        if any(np.linalg.norm(center_mm - c) < reach_mm + r + gap_mm for c, r in self.taken):
            return False
        spans = [
            (int(np.searchsorted(a, c - reach_mm)), int(np.searchsorted(a, c + reach_mm)))
            for a, c in zip(self.axes_mm, center_mm, strict=True)
        ]
        if any(np.searchsorted(a, c + reach_mm) >= len(a) or c - reach_mm < a[0]
               for a, c in zip(self.axes_mm, center_mm, strict=True)):  # fmt: skip
            return False
        box = tuple(slice(low, high) for low, high in spans)
        x, y, z = (((a[s] - c) / reach_mm) ** 2 for a, c, s in zip(self.axes_mm, center_mm, box, strict=True))
        inside = x[:, None, None] + y[None, :, None] + z[None, None, :] <= 1.0
        return not inside.any() or float(self.free[box][inside].mean()) >= self.fat_share

    def take(self, center_mm: np.ndarray, reach_mm: float) -> None:
        """Remember something placed."""
        self.taken.append((center_mm, reach_mm))


def fat_of(ct_hu: np.ndarray) -> np.ndarray:
    """Fat voxels of a CT without noise."""
    return (ct_hu > FAT_RANGE_HU[0]) & (ct_hu < FAT_RANGE_HU[1])
