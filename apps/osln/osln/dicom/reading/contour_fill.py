"""Closed planar contours to voxels: exact filling in a plane, and what lies between two planes.

All coordinates here are voxel indices (fractions allowed) of a grid in closest-RAS order; voxel centers have
whole numbers. A voxel belongs to a region if its center lies inside.

Reference: DICOM PS3.3 C.8.8.6 (ROI Contour Module: holes by keyholes or by nested contours).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

ON_SLICE = 0.1
"""Distance from a slice, in slices, up to which a contour counts as drawn on it."""
SLANTED = 0.5
"""Extent through the slices, in slices, from which on a contour is not parallel to them."""
LONGEST_GAP_MM = 10.0


@dataclass(frozen=True)
class FilledRegion:
    """Voxels of a region.

    Attributes:
        start: (3,) first voxel of the box.
        mask: (x, y, z) bool, the box; empty (0, 0, 0) if no voxel is inside.
        notes: What was interpolated, left open or cut off.
    """

    start: np.ndarray
    mask: np.ndarray
    notes: tuple[str, ...]

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
) -> FilledRegion:
    """Fills all contours of one region.

    Contours of one plane are combined even-odd: nested ones are holes, separate ones parts, keyholes close
    by themselves; an exact repetition counts once. Contours that overlap in part are parts of one thing that
    was drawn in pieces: their union counts, unless the file says even-odd itself. Slices without a contour
    between two planes that overlap are filled by interpolating the distance to the outline, if only one
    slice (or what is usual in this region) was skipped and the planes are at most 10 mm apart; wider gaps
    stay open, for one region can hold several nodes. All of it is told.

    Args:
        contours: (N, 3) points each; those of fewer than three points are left out.
        shape: Of the grid.
        spacing_mm: (3,) of the grid.
        even_odd: Combine contours even-odd also where they cross (CLOSEDPLANAR_XOR).

    Raises:
        ValueError: If the contours are not parallel to one of the grid's planes, or wholly outside.
    """
    contours = [points for points in contours if len(points) >= 3]
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
    places, groups = _planes(contours, axis)
    planes = [[points[:, across] - low for points in group] for group in groups]
    if even_odd:
        masks, crossing = [fill_even_odd(plane, size) for plane in planes], 0
    else:
        masks, crossings = map(list, zip(*(fill_plane(plane, size) for plane in planes), strict=True))
        crossing = sum(crossings)
    if crossing:
        notes.append(f"on {crossing} slices contours overlap in part: what any of them encloses counts")
    slices = _filled_slices(places, masks, shape[axis], spacing_mm[axis], spacing_mm[across], notes)
    if not slices:
        return FilledRegion(np.zeros(3, int), np.zeros((0, 0, 0), bool), (*notes, "it holds no voxel center"))
    first = min(slices)
    box = np.zeros((max(slices) + 1 - first, *size), bool)
    for k, mask in slices.items():
        box[k - first] = mask
    start = np.zeros(3, int)
    start[axis], start[across] = first, low
    if not box.any():
        notes.append("it holds no voxel center")
    return FilledRegion(start, np.moveaxis(box, 0, axis), tuple(notes))


def fill_even_odd(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centers lie inside an odd number of times.

    Each edge toggles, on every line y = j that it crosses, all pixels from the crossing on. Lines are crossed
    half-open (lower end in, upper end out), and edges are taken upwards whatever their direction, so that the
    two sides of a keyhole cancel exactly.

    Args:
        polygons: (N, 2) corners each, closed by themselves; an exact repetition counts once.
        shape: Of the result.
    """
    edges = [np.stack([corners, np.roll(corners, -1, axis=0)], axis=1) for corners in _single(polygons)]
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


def fill_plane(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """Pixels inside the contours of one plane: nested ones even-odd, those that cross united.

    Args:
        polygons: (N, 2) corners each.
        shape: Of the result.

    Returns:
        The mask, and whether contours cross: each holds pixel centers that the other does not, and some are
        in both.
    """
    if len(polygons) == 1:
        return fill_even_odd(polygons, shape), False
    parts = [fill_even_odd([polygon], shape) for polygon in _single(polygons)]
    crossing = False
    mask = np.zeros(shape, bool)
    while parts:
        part = parts.pop()
        # What crosses a part joins it, and the joined part may cross more.
        while crossed := [i for i, other in enumerate(parts) if _cross(part, other)]:
            crossing = True
            part = np.logical_or.reduce([part, *(parts[i] for i in crossed)])
            parts = [other for i, other in enumerate(parts) if i not in crossed]
        mask ^= part
    return mask, crossing


def _cross(one: np.ndarray, other: np.ndarray) -> bool:
    both = one & other
    return bool(both.any() and (one & ~other).any() and (other & ~one).any())


def _single(polygons: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Without exact repetitions."""
    return list({np.round(np.sort(corners, axis=0), 6).tobytes(): corners for corners in polygons}.values())


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


def _planes(contours: Sequence[np.ndarray], axis: int) -> tuple[list[float], list[list[np.ndarray]]]:
    """Places along `axis`, ascending, and the contours that lie there."""
    middles = [float(points[:, axis].mean()) for points in contours]
    places: list[float] = []
    groups: list[list[np.ndarray]] = []
    for at in np.argsort(middles, kind="stable"):
        if places and middles[at] - places[-1] <= ON_SLICE:
            groups[-1].append(contours[at])
        else:
            places.append(middles[at])
            groups.append([contours[at]])
    return places, groups


def _filled_slices(
    places: list[float],
    masks: list[np.ndarray],
    count: int,
    step_mm: float,
    pixel_mm: np.ndarray,
    notes: list[str],
) -> dict[int, np.ndarray]:
    """Mask of every slice of the image that the region reaches, by its number."""
    filled: dict[int, np.ndarray] = {}
    for k in range(
        max(int(np.ceil(places[0] - 0.5)), 0), min(int(np.floor(places[-1] + 0.5)), count - 1) + 1
    ):
        nearest = int(np.argmin(np.abs(np.subtract(places, k))))
        if abs(places[nearest] - k) <= 0.5:
            filled[k] = masks[nearest]
    gaps = np.diff(places)
    usual = float(np.median(gaps)) if len(gaps) else 1.0
    limit = min(max(2.0, 1.5 * usual), LONGEST_GAP_MM / step_mm) + ON_SLICE
    interpolated, left = 0, []
    for i, gap in enumerate(gaps):
        between = [
            k for k in range(int(np.floor(places[i])), int(np.ceil(places[i + 1])) + 1) if 0 <= k < count
        ]
        between = [k for k in between if places[i] + ON_SLICE < k < places[i + 1] - ON_SLICE]
        if not between or not (masks[i] & masks[i + 1]).any():
            continue
        if gap > limit:
            left.append(len(between))
            continue
        outlines = [_signed_distance(mask, pixel_mm) for mask in (masks[i], masks[i + 1])]
        for k in between:
            share = (k - places[i]) / gap
            filled[k] = (1 - share) * outlines[0] + share * outlines[1] > 0
        interpolated += len(between) if gap > 1 + ON_SLICE else 0
    if interpolated:
        notes.append(f"{interpolated} slices without a contour were interpolated")
    if left:
        notes.append(
            f"gaps of {', '.join(map(str, left))} slices without a contour were left open; if one structure "
            "was meant, contour them"
        )
    return filled


def _signed_distance(mask: np.ndarray, pixel_mm: np.ndarray) -> np.ndarray:
    """mm to the outline, positive inside; zero would lie half-way between the last pixel in and the next."""
    padded = np.pad(mask, 1)
    inside = ndimage.distance_transform_edt(padded, sampling=pixel_mm)
    outside = ndimage.distance_transform_edt(~padded, sampling=pixel_mm)
    return (inside - outside)[1:-1, 1:-1]
