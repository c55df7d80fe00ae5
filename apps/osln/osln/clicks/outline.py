"""From clicks to the outline of one node on the CT's own voxels."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import ndimage

from osln.clicks.clicks import Clicks
from osln.clicks.patch import Patch, box_around, cut
from osln.imaging.grid import Grid, Volume, mask_box
from osln.imaging.resampling import resample

RADIUS_MM = (1.0, 45.0)
"""Smallest and largest radius that may be asked for."""
WORTH = 0.7
"""Share of the radius of a coarser look that a finer one has to say for it."""
_CLICK_MM = 1.5
"""Around a click inside, voxels are the node's in any case; around one outside, never."""


@dataclass(frozen=True)
class Look:
    """One size of voxels that a method looks with, finest first.

    Attributes:
        spacing_mm: Of the voxels.
        from_mm: Radius from which on its answer stands in the place of the finer one's. It is asked only
            where that one says `WORTH` of it, or reaches the border of its box.
    """

    spacing_mm: float
    from_mm: float = 0.0


class Method(Protocol):
    """Anything that answers clicks: the network or the classical way."""

    @property
    def looks(self) -> tuple[Look, ...]:
        """One after the other; the last one may be needed for nodes that reach the border of a box."""

    @property
    def size(self) -> int:
        """Voxels of a box's sides."""

    def __call__(self, patch: Patch, clicks: Clicks) -> np.ndarray:
        """(x, y, z) from 0 to 1, one half on the outline."""


@dataclass(frozen=True)
class Outline:
    """A node.

    Attributes:
        node: (x, y, z) bool, tight around the node, never empty.
        start: (3,) first voxel of `node` in the CT.
        grid: Of `node`, in the CT's axes order.
        radius_mm: Of the sphere of the node's volume.
    """

    node: np.ndarray
    start: np.ndarray
    grid: Grid
    radius_mm: float


def outline(
    ct: Volume, pet: Volume | None, clicks: Clicks, method: Method, radius_mm: float | None = None
) -> Outline:
    """Outlines the clicked node.

    Args:
        ct: HU.
        pet: SUV on its own grid, or None.
        clicks: From `checked_clicks`.
        method: Network or classical way.
        radius_mm: Of the answer's volume: grows or shrinks what the method says; None leaves it.

    Raises:
        ValueError: The radius is out of range.
    """
    if radius_mm is not None and not RADIUS_MM[0] <= radius_mm <= RADIUS_MM[1]:
        raise ValueError(f"radius_mm is from {RADIUS_MM[0]:g} to {RADIUS_MM[1]:g}, not {radius_mm:g}")
    reach = max(float(np.abs(clicks.foreground - clicks.center_mm).max()), radius_mm or 0.0)
    wide_enough = [one for one in method.looks if 0.3 * one.spacing_mm * method.size > reach]
    seen: _Seen | None = None
    for look in wide_enough or method.looks[-1:]:
        closer = seen
        if closer is not None and not closer.reaches_border and closer.radius_mm < WORTH * look.from_mm:
            break
        seen = _seen(ct, pet, clicks, method, look.spacing_mm)
        if closer is not None and not closer.reaches_border and seen.radius_mm < look.from_mm:
            seen = closer
            break
    assert seen is not None
    grid, start = seen.grid, seen.start
    node = seen.node if radius_mm is None else _of_radius(seen, clicks, radius_mm)
    low, high = mask_box(node)
    node = node[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return Outline(node, start + low, grid.crop(low, high - low), _radius(node, grid))


@dataclass(frozen=True)
class _Seen:
    """What a method says in one look: on the CT's voxels of the box, which begin at `start`."""

    node: np.ndarray
    field: np.ndarray
    start: np.ndarray
    grid: Grid
    radius_mm: float
    reaches_border: bool


def _seen(ct: Volume, pet: Volume | None, clicks: Clicks, method: Method, spacing_mm: float) -> _Seen:
    box = box_around(clicks.center_mm, ct.grid.direction, spacing_mm, method.size)
    start, stop = ct.grid.box_of(box)
    grid = ct.grid.crop(start, stop - start)
    field = resample(method(cut(ct, pet, box), clicks), box, grid)
    node = _cleaned(field >= 0.5, clicks, grid)
    return _Seen(node, field, start, grid, _radius(node, grid), _reaches_border(node, grid, box))


def _radius(node: np.ndarray, grid: Grid) -> float:
    """Of the sphere of the same volume."""
    return float(np.cbrt(3 * float(node.sum()) * grid.voxel_mm3 / (4 * np.pi)))


def _cleaned(mask: np.ndarray, clicks: Clicks, grid: Grid) -> np.ndarray:
    """What hangs together with a click inside; clicks have the last word."""
    mask = mask.copy()
    inside = _near(clicks.foreground, grid)
    if len(clicks.background):
        outside = _near(clicks.background, grid)
        mask &= ~outside
        inside &= ~outside
    # A click has its own voxel even where the one outside lies as near.
    inside[tuple(_voxels(clicks.foreground, grid).T)] = True
    if not mask[inside].any():
        return inside
    mask |= _voxel_mask(clicks.foreground, grid)
    parts, _ = ndimage.label(mask)
    wanted = np.unique(parts[inside])
    kept = np.isin(parts, wanted[wanted > 0])
    # A cavity is part of the node, unless somebody clicked there.
    filled = ndimage.binary_fill_holes(kept)
    if len(clicks.background):
        filled &= ~outside | kept
    return filled


def _of_radius(seen: _Seen, clicks: Clicks, radius_mm: float) -> np.ndarray:
    """The answer grown or shrunk to the volume of a sphere: along the answer's own shape and certainty."""
    own, grid = seen.node, seen.grid
    spacing = grid.spacing_mm
    depth = ndimage.distance_transform_edt(np.pad(own, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    away = ndimage.distance_transform_edt(~own, sampling=spacing)
    rank = np.where(own, depth, -away) + 2.0 * (seen.field - 0.5)
    rank[_voxel_mask(clicks.foreground, grid)] = np.inf
    if len(clicks.background):
        rank[~own & (_distance(clicks.background, grid) < away)] = -np.inf
        rank[_near(clicks.background, grid) & ~own] = -np.inf
    count = max(1, round(4 / 3 * np.pi * radius_mm**3 / grid.voxel_mm3))
    order = np.argsort(-rank, axis=None, kind="stable")[: min(count, int((rank > -np.inf).sum()))]
    node = np.zeros(own.size, bool)
    node[order] = True
    node = node.reshape(own.shape)
    parts, _ = ndimage.label(node)
    wanted = np.unique(parts[tuple(_voxels(clicks.foreground, grid).T)])
    return np.isin(parts, wanted[wanted > 0])


def _reaches_border(mask: np.ndarray, grid: Grid, box: Grid) -> bool:
    """Whether a mask comes within a voxel and a half of the faces of the box it was answered in."""
    low, high = mask_box(mask)
    corners = np.array([grid.index_to_mm(low), grid.index_to_mm(high - 1)])
    index = box.mm_to_index(corners)
    margin = 1.5
    return bool(
        (index.min(axis=0) < margin).any() or (index.max(axis=0) > np.array(box.shape) - 1 - margin).any()
    )


def _near(points_mm: np.ndarray, grid: Grid) -> np.ndarray:
    """Voxels around points, (x, y, z) bool; each point's own voxel is among them."""
    return (_distance(points_mm, grid) <= _CLICK_MM) | _voxel_mask(points_mm, grid)


def _distance(points_mm: np.ndarray, grid: Grid) -> np.ndarray:
    """mm from each voxel center to the nearest point."""
    nearest = np.full(grid.shape, np.inf)
    axes = [np.arange(n) * step for n, step in zip(grid.shape, grid.spacing_mm, strict=True)]
    for point in grid.mm_to_index(points_mm) * grid.spacing_mm:
        x, y, z = ((axis - at) ** 2 for axis, at in zip(axes, point, strict=True))
        np.minimum(nearest, x[:, None, None] + y[None, :, None] + z[None, None, :], out=nearest)
    return np.sqrt(nearest)


def _voxel_mask(points_mm: np.ndarray, grid: Grid) -> np.ndarray:
    mask = np.zeros(grid.shape, bool)
    index = np.round(grid.mm_to_index(points_mm)).astype(int)
    within = ((index >= 0) & (index < np.array(grid.shape))).all(axis=1)
    mask[tuple(index[within].T)] = True
    return mask


def _voxels(points_mm: np.ndarray, grid: Grid) -> np.ndarray:
    index = np.round(grid.mm_to_index(points_mm)).astype(int)
    return np.clip(index, 0, np.array(grid.shape) - 1)
