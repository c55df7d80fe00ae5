"""Smooth outlines of a mask, slice by slice, from which the same mask can be made again.

A treatment planning system takes the voxels (or the part of them) inside a polygon. Outlines that run
between the voxel centers give every program the same voxels back; smoothing within this room takes the
stairs away.
"""

from itertools import pairwise

import contourpy
import numpy as np
from scipy import ndimage

FINE = 4
"""Samples per voxel along each axis, between which the outline is found."""

SIGMAS = (0.8, 0.6, 0.45)
"""Smoothing in voxels, tried in this order. At 0.45 a single voxel still keeps its center inside."""

TOLERANCE = 0.03
"""How far a vertex may lie from the simplified outline, in voxels."""

MARGIN = 0.02
"""Least distance of the level from the smoothed values of the voxel centers."""


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Closed polygons around a mask in one slice; holes are joined to them by a channel of no width.

    The mask is sampled finer and smoothed by a Gaussian; the outline is the level that keeps the mask's
    area, held between the highest center of a voxel outside and the lowest of a voxel inside. Marching
    squares find it. So the voxels whose centers lie inside the polygons (even-odd rule) are the mask.

    A hole becomes part of its polygon as in a keyhole, since one CLOSED_PLANAR contour must not depend on
    others (PS3.3, C.8.8.6.3).

    Args:
        mask: (i, j) bool; any shape.

    Returns:
        Polygons (N, 2) in fractional voxel indices (i, j), the last point not repeated; [] if the mask is
        empty.
    """
    filled = np.argwhere(mask)
    if not len(filled):
        return []
    start = filled.min(axis=0) - 2
    part = np.pad(mask[tuple(slice(a, b) for a, b in zip(start + 2, filled.max(axis=0) + 1, strict=True))], 2)
    field, level = _smoothed(part)
    axes = [start[axis] + (np.arange(field.shape[axis]) + 0.5) / FINE - 0.5 for axis in (0, 1)]
    generator = contourpy.contour_generator(
        axes[0], axes[1], field.T, fill_type=contourpy.FillType.OuterOffset
    )
    found: list[np.ndarray] = []
    for points, offsets in zip(*generator.filled(level, np.inf), strict=True):
        rings = [_simplified(points[a : b - 1]) for a, b in pairwise(offsets)]
        found.append(_keyholed(rings[0], rings[1:]))
    return found


def _smoothed(mask: np.ndarray) -> tuple[np.ndarray, float]:
    """Finely sampled smooth field of a padded mask and the level of its outline."""
    fine = np.repeat(np.repeat(mask, FINE, axis=0), FINE, axis=1).astype(np.float64)
    for sigma in SIGMAS:
        field = ndimage.gaussian_filter(fine, sigma * FINE, mode="constant", truncate=5.0)
        centers = _at_centers(field)
        low, high = centers[~mask].max() + MARGIN, centers[mask].min() - MARGIN
        if low < high:
            break
    area = int(mask.sum()) * FINE * FINE
    level = np.partition(field, -area, axis=None)[-area]
    return field, float(np.clip(level, low, high))


def _at_centers(field: np.ndarray) -> np.ndarray:
    """Values at the voxel centers, which lie in the middle of four samples."""
    a, b = FINE // 2 - 1, FINE // 2
    four = field[a::FINE, a::FINE], field[a::FINE, b::FINE], field[b::FINE, a::FINE], field[b::FINE, b::FINE]
    return np.mean(four, axis=0)


def _simplified(ring: np.ndarray) -> np.ndarray:
    """The ring with as few vertices as `TOLERANCE` allows (Douglas and Peucker 1973)."""
    far = int(np.linalg.norm(ring - ring[0], axis=1).argmax())
    kept = {0, far}
    closed = np.concatenate([ring, ring[:1]])
    todo = [(0, far), (far, len(ring))]
    while todo:
        first, last = todo.pop()
        if last - first < 2:
            continue
        between = closed[first + 1 : last] - closed[first]
        chord = closed[last] - closed[first]
        length = np.linalg.norm(chord)
        # A chord of no length: the distance to its point.
        across = (
            np.abs(between[:, 0] * chord[1] - between[:, 1] * chord[0]) / length
            if length > 0
            else np.linalg.norm(between, axis=1)
        )
        worst = int(across.argmax())
        if across[worst] > TOLERANCE:
            middle = first + 1 + worst
            kept.add(middle)
            todo += [(first, middle), (middle, last)]
    return ring[sorted(kept)]


def _keyholed(outer: np.ndarray, holes: list[np.ndarray]) -> np.ndarray:
    """One polygon that runs along the outer ring and, through channels of no width, along the holes."""
    holes = list(holes)
    while holes:
        # The nearest hole first: no other hole can lie across its channel.
        gaps = [np.linalg.norm(outer[:, None] - hole[None], axis=2) for hole in holes]
        nearest = int(np.argmin([gap.min() for gap in gaps]))
        gap, hole = gaps[nearest], holes.pop(nearest)
        i, j = np.unravel_index(gap.argmin(), gap.shape)
        inner = np.concatenate([hole[j:], hole[: j + 1]])
        outer = np.concatenate([outer[: i + 1], inner, outer[i:]])
    return outer
