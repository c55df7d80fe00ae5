"""Closed planar contours to voxels: exact filling in a plane, and what lies between two planes.

All coordinates here are voxel indices (fractions allowed) of a grid in closest-RAS order; voxel centers have
whole numbers. A voxel belongs to a region if its center lies inside.

Reference: DICOM PS3.3 C.8.8.6 (ROI Contour Module: holes by keyholes or by nested contours).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from osln.dicom.reading.contour_planes import Images, Told, add_between, drawn_slices, planes, things

SLANTED = 0.5
"""Extent through the slices, in slices, from which on a contour is not parallel to them."""
MOST_PIXELS = 2**31
"""Of a region's contours, each on the region's field: 8,000 contours of a whole body, about 2 GB."""


@dataclass(frozen=True)
class FilledRegion:
    """Voxels of a region.

    Attributes:
        start: (3,) first voxel of the box.
        mask: (x, y, z) bool, the box; empty (0, 0, 0) if no voxel is inside.
        notes: What was interpolated, left open or cut off.
        drawn: (x, y, z) bool, those of the mask that are not interpolated; None for all.
    """

    start: np.ndarray
    mask: np.ndarray
    notes: tuple[str, ...]
    drawn: np.ndarray | None = None

    def paste(self, target: np.ndarray, value: object) -> None:
        """Sets the region's voxels in an array of the whole grid."""
        if self.mask.size:
            box = tuple(slice(a, a + n) for a, n in zip(self.start, self.mask.shape, strict=True))
            target[box][self.mask] = value


def fill_region(
    contours: Sequence[np.ndarray],
    shape: tuple[int, ...],
    spacing_mm: np.ndarray,
    *,
    even_odd: bool = False,
    complete: bool = False,
    images: Sequence[np.ndarray] | None = None,
) -> FilledRegion:
    """Fills all contours of one region.

    Contours that overlap each other, seen through the slices, are one thing, and each thing is filled for
    itself. Contours of one plane are combined even-odd: nested ones are holes, separate ones parts, keyholes
    close by themselves; a repetition counts once, also one that is not quite the same. Contours that overlap
    in part were drawn in pieces: their union counts, unless the file says even-odd itself. A plane between
    the slices belongs to the nearest; of several on one slice the nearer one goes before what it overlaps.
    Slices without a contour between two planes that overlap are filled by interpolating the distance to the
    outline, if no image, only one or as many as is usual in this region were skipped, and the planes are at
    most 10 mm apart where one was; wider gaps stay open, for one region can hold several nodes. So are
    single parts that lack on planes between two others. All of it is told.

    Args:
        contours: (N, 3) points each.
        shape: Of the grid.
        spacing_mm: (3,) of the grid.
        even_odd: Combine contours even-odd also where they cross (CLOSEDPLANAR_XOR).
        complete: What lacks a contour is not of the region: nothing is interpolated.
        images: Where the images lie along each of the three axes; on every slice if not given.

    Raises:
        ValueError: If the contours are not parallel to one of the grid's planes, wholly outside, or too many.
    """
    if not contours:
        return FilledRegion(np.zeros(3, int), np.zeros((0, 0, 0), bool), ("it has no closed contour",))
    axis = _axis(contours)
    across = [a for a in range(3) if a != axis]
    points = np.concatenate(contours)
    inside = [_touches(contour, shape) for contour in contours]
    if not any(inside):
        raise ValueError("its contours lie outside the image")
    notes = []
    if outside := inside.count(False):
        notes.append(f"{outside} of {len(contours)} contours lie outside the image and were left out")
    elif (points < -0.5).any() or (points > np.array(shape) - 0.5).any():
        notes.append("contours reach beyond the image and were cut at its border")
    low = np.clip(np.floor(points.min(axis=0)[across]).astype(int) - 1, 0, None)
    high = np.clip(np.ceil(points.max(axis=0)[across]).astype(int) + 2, None, np.array(shape)[across])
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    if len(contours) * size[0] * size[1] > MOST_PIXELS:
        raise ValueError(
            f"it has {len(contours)} contours over {size[0]} x {size[1]} voxels, more than can be filled: "
            "expected some on each slice"
        )
    places = np.array([points[:, axis].mean() for points in contours])
    masks = [fill_even_odd([points[:, across] - low], size) for points in contours]
    told = Told()
    drawn = [
        planes(places[own], [masks[n] for n in own], even_odd, told) for own in map(np.array, things(masks))
    ]
    stack = Images(np.arange(shape[axis]) if images is None else images[axis], shape[axis], spacing_mm[axis])
    gaps = [gap for thing in drawn for gap in np.diff(stack.numbers([plane.place for plane in thing]))]
    usual = float(np.median(gaps)) if gaps else 1.0
    slices: dict[int, np.ndarray] = {}
    exact: dict[int, np.ndarray] = {}
    for thing in drawn:
        reached = drawn_slices(thing, stack, told)
        _unite(exact, reached)
        if not complete:
            add_between(reached, thing, stack, usual, spacing_mm[across], told)
        _unite(slices, reached)
    notes += told.sentences()
    if not slices:
        return FilledRegion(np.zeros(3, int), np.zeros((0, 0, 0), bool), (*notes, "it holds no voxel center"))
    first = min(slices)
    box, certain = np.zeros((2, max(slices) + 1 - first, *size), bool)
    for k, mask in slices.items():
        box[k - first] = mask
        certain[k - first] = mask & exact.get(k, False)
    start = np.zeros(3, int)
    start[axis], start[across] = first, low
    if not box.any():
        notes.append("it holds no voxel center")
    return FilledRegion(start, np.moveaxis(box, 0, axis), tuple(notes), np.moveaxis(certain, 0, axis))


def _unite(slices: dict[int, np.ndarray], others: dict[int, np.ndarray]) -> None:
    """Adds the masks of other slices to those of the same numbers."""
    for k, mask in others.items():
        slices[k] = slices[k] | mask if k in slices else mask


def fill_even_odd(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centers lie inside an odd number of times.

    Each edge toggles, on every line y = j that it crosses, all pixels from the crossing on. Lines are crossed
    half-open (lower end in, upper end out), and edges are taken upwards whatever their direction, so that the
    two sides of a keyhole cancel exactly.

    Args:
        polygons: (N, 2) corners each, closed by themselves.
        shape: Of the result.
    """
    edges = [np.stack([corners, np.roll(corners, -1, axis=0)], axis=1) for corners in polygons]
    toggles = np.zeros((shape[0] + 1) * shape[1], np.int64)
    if edges:
        ends = np.concatenate(edges)
        ends = np.where((ends[:, 0, 1] > ends[:, 1, 1])[:, None, None], ends[:, ::-1], ends)
        (x0, y0), (x1, y1) = ends[:, 0].T, ends[:, 1].T
        first = np.clip(np.ceil(y0), 0, shape[1]).astype(int)
        count = np.clip(np.ceil(y1), 0, shape[1]).astype(int) - first
        edge = np.repeat(np.arange(len(ends)), count)
        line = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        x = x0[edge] + (line - y0[edge]) * (x1[edge] - x0[edge]) / (y1[edge] - y0[edge])
        # The small allowance puts a center that lies on an outline on the same side for every edge.
        at = np.clip(np.ceil(x - 1e-9), 0, shape[0]).astype(int)
        toggles = np.bincount(at * shape[1] + line, minlength=len(toggles))
    parity = np.cumsum(toggles.reshape(shape[0] + 1, shape[1])[:-1], axis=0) % 2
    return parity.astype(bool)


def _axis(contours: Sequence[np.ndarray]) -> int:
    extents = np.array([np.ptp(points, axis=0) for points in contours])
    axis = int(np.argmin(np.median(extents, axis=0)))
    if (slanted := int((extents[:, axis] > SLANTED).sum())) > 0:
        raise ValueError(
            f"{slanted} of its {len(contours)} contours are not parallel to the image's slices; export the "
            "structure set on the slices of this CT"
        )
    return axis


def _touches(points: np.ndarray, shape: tuple[int, ...]) -> bool:
    return bool((points.max(axis=0) > -0.5).all() and (points.min(axis=0) < np.array(shape) - 0.5).all())
