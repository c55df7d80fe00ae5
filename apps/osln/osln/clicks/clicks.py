"""Clicks inside and outside a node, checked against the CT that they were made in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from osln.imaging.grid import Grid, Volume

MOST_CLICKS = 100
"""Of either kind; one node takes one to five."""
FARTHEST_MM = 90.0
"""Between clicks inside one node."""
SAME_MM = 0.5
"""A click inside and one outside that lie closer contradict each other."""
AIR_HU = -500.0
"""Around a click inside a node there is tissue."""
_AROUND_MM = 2.5


@dataclass(frozen=True)
class Clicks:
    """Clicks in RAS mm.

    Attributes:
        foreground: (N, 3) inside the node, at least one, in the order in which they were made.
        background: (M, 3) outside it.
    """

    foreground: np.ndarray
    background: np.ndarray

    @property
    def center_mm(self) -> np.ndarray:
        """(3,) middle of the box around the clicks inside."""
        return 0.5 * (self.foreground.min(axis=0) + self.foreground.max(axis=0))


def points_of(given: Any, name: str) -> np.ndarray:
    """(N, 3) float64 of a list of points from outside; None and an empty list give none.

    Raises:
        ValueError: It is no list of at most `MOST_CLICKS` points of three finite numbers.
    """
    if given is None:
        return np.zeros((0, 3))
    wanted = f"{name} is a list of points [x, y, z]"
    if not isinstance(given, list | tuple):
        raise ValueError(f"{wanted}, not {type(given).__name__}")
    if len(given) > MOST_CLICKS:
        raise ValueError(
            f"{name} has {len(given)} clicks, at most {MOST_CLICKS} are taken for one node: clear them, "
            "begin anew, and correct what is left with the brush"
        )
    for point in given:
        whole = isinstance(point, list | tuple) and len(point) == 3
        if not whole or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in point):
            raise ValueError(f"{wanted} of three numbers, not {str(point)[:60]}")
        if not all(abs(v) < 1e6 for v in point):
            raise ValueError(f"{name} holds the point {str(list(point))[:60]}, which lies in no image")
    return np.array(given, dtype=np.float64).reshape(-1, 3)


def from_indices(points: np.ndarray, ct: Volume) -> np.ndarray:
    """RAS mm of voxel indices as viewers send them: in the axes order of the CT's file.

    3D Slicer turns the third axis of a file whose axes are left-handed, and counts along it from the other
    end; so its indices are counted here.

    Args:
        points: (N, 3), fractions allowed.
        ct: Whose file the viewer has loaded.
    """
    file_grid = ct.file_grid
    if np.linalg.det(file_grid.affine[:3, :3]) < 0:
        points = np.stack([*points.T[:2], file_grid.shape[2] - 1 - points.T[2]], axis=1)
    return file_grid.index_to_mm(points)


def checked_clicks(foreground_mm: np.ndarray, background_mm: np.ndarray, ct: Volume) -> Clicks:
    """The clicks if they can be of one node of this CT.

    Args:
        foreground_mm, background_mm: (N, 3) and (M, 3).
        ct: HU.

    Raises:
        ValueError: None inside, one outside the CT or in air, two that contradict, or too far apart.
    """
    if not len(foreground_mm):
        raise ValueError("no click inside a node: click on the node first (foreground), then correct")
    for name, points in (("foreground", foreground_mm), ("background", background_mm)):
        index = ct.grid.mm_to_index(points)
        outside = ((index < -0.5) | (index > np.asarray(ct.grid.shape) - 0.5)).any(axis=1)
        if outside.any():
            raise ValueError(
                f"the {name} click at {_told(points[outside][0])} mm (RAS) lies outside the CT, which covers "
                f"{_covered(ct.grid)}: are the points of another image, or in another axes order?"
            )
    if len(background_mm):
        apart = np.linalg.norm(foreground_mm[:, None] - background_mm[None], axis=2)
        if apart.min() < SAME_MM:
            point = foreground_mm[int(np.argmin(apart.min(axis=1)))]
            raise ValueError(
                f"the click at {_told(point)} mm (RAS) is inside and outside the node at once: remove one of "
                "the two"
            )
    spread = float(np.linalg.norm(np.ptp(foreground_mm, axis=0)))
    if spread > FARTHEST_MM:
        raise ValueError(
            f"the clicks inside lie up to {spread:.0f} mm apart, and one node is smaller than "
            f"{FARTHEST_MM:.0f} mm: clear them for the next node"
        )
    for point in foreground_mm:
        highest = _highest_around(point, ct)
        if highest < AIR_HU:
            raise ValueError(
                f"the click at {_told(point)} mm (RAS) lies in air ({highest:.0f} HU): click on the node"
            )
    return Clicks(foreground_mm, background_mm)


def _highest_around(point: np.ndarray, ct: Volume) -> float:
    """Highest HU in the voxels that a click may have meant."""
    index = ct.grid.mm_to_index(point)
    reach = np.maximum(_AROUND_MM / ct.grid.spacing_mm, 0.5)
    shape = np.asarray(ct.grid.shape)
    low = np.clip(np.ceil(index - reach).astype(int), 0, shape - 1)
    high = np.clip(np.floor(index + reach).astype(int) + 1, low + 1, shape)
    return float(ct.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].max())


def _covered(grid: Grid) -> str:
    corners = grid.index_to_mm(np.array([(0, 0, 0), np.asarray(grid.shape) - 1]))
    ends = zip("xyz", corners.min(axis=0), corners.max(axis=0), strict=True)
    return ", ".join(f"{axis} {low:.0f} to {high:.0f}" for axis, low, high in ends)


def _told(point: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in point)
