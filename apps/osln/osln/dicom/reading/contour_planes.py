"""The contours of one region as things, planes and slices: which belong together, and what lies between.

Every mask is of one contour's inside, or of one plane, on the voxels of a slice; places are fractions of
slices. Slices are those of the grid; images are what contours are drawn on, and lie further apart where the
grid was made finer than them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import ndimage

ON_SLICE = 0.11
"""Distance from a slice, in slices, up to which a contour counts as drawn on it: so much images may lie off
their regular places (`osln.dicom.reading.slices.UNEVEN`), and a little of rounding."""
ONE_PLANE, NEIGHBORS_AWAY = 0.25, 3.0
"""Two planes up to so many slices apart, with others so many times as far away, are one: a hole can lie a
bit off its outline."""
BETWEEN_SLICES = 0.25
"""Distance from its slice, in slices, from which on a contour counts as drawn between two of them."""
LONGEST_GAP_MM = 10.0
ROUNDING = 1e-6
"""Places that are so many slices apart are the same one."""
TOUCHING = np.ones((3, 3), bool)

Merge = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Makes one mask of what is interpolated and what is drawn on a slice."""


class Plane(NamedTuple):
    """What is drawn at one place."""

    place: float
    mask: np.ndarray


@dataclass(frozen=True)
class Images:
    """The images of a volume among the slices of its grid.

    Attributes:
        places: (M,) ascending; 0, 1, ... unless they lie unevenly.
        slices: Number of the grid's slices.
        step_mm: Distance of the grid's slices.
    """

    places: np.ndarray
    slices: int
    step_mm: float

    def numbers(self, places: np.ndarray | Sequence[float]) -> np.ndarray:
        """The same places in fractions of images; beyond the images a slice counts as one."""
        inside = np.clip(places, *self.places[[0, -1]])
        return np.interp(inside, self.places, np.arange(len(self.places))) + (places - inside)

    @cached_property
    def nearest(self) -> np.ndarray:
        """Number of the image that is nearest to each slice."""
        return _nearest_whole(self.numbers(np.arange(self.slices)))

    def skipped(self, below: float, above: float) -> int:
        """Number of images between two places that neither of them is nearest to."""
        low, high = self.numbers([below, above])
        return len(_between(low, high, len(self.places)))


@dataclass
class Told:
    """What a person should know of a region's filling, counted."""

    crossing: int = 0
    repeated: int = 0
    joined: int = 0
    passed_over: int = 0
    interpolated: int = 0
    left: list[int] = field(default_factory=list)
    reached: int = 0
    off_mm: list[float] = field(default_factory=list)

    def sentences(self) -> Iterator[str]:
        """All of it in words."""
        if self.repeated:
            yield f"{self.repeated} contours are there twice, the same or nearly the same: they count once"
        if self.crossing:
            yield f"on {self.crossing} slices contours overlap in part: what any of them encloses counts"
        if self.joined:
            yield f"{self.joined} planes lie up to {ONE_PLANE} slices off another one and count with it"
        if self.passed_over:
            yield (
                f"{self.passed_over} parts drawn between two slices were left out: another contour of the "
                "region lies over them and nearer to the slice"
            )
        if 2 * len(self.off_mm) > self.reached:
            yield (
                f"the contours of {len(self.off_mm)} of {self.reached} slices lie "
                f"{np.mean(self.off_mm):.1f} mm off them, so that the region may be moved by so much; export "
                "the structure set on the slices of this CT"
            )
        if self.interpolated:
            yield f"{self.interpolated} slices without a contour were interpolated"
        if self.left:
            yield (
                f"gaps of {', '.join(map(str, self.left))} slices without a contour were left open; if one "
                "structure was meant, contour them"
            )


def things(masks: Sequence[np.ndarray]) -> list[list[int]]:
    """Numbers of the contours of each thing: those that overlap, seen through the slices."""
    owner = np.zeros(masks[0].shape, int)
    found: dict[int, list[int]] = {}
    for number, mask in enumerate(masks):
        first, *others = [int(o) for o in np.unique(owner[mask]) if o] or [number + 1]
        for other in others:
            owner[owner == other] = first
            found[first] += found.pop(other)
        owner[mask] = first
        found.setdefault(first, []).append(number)
    return list(found.values())


def planes(places: np.ndarray, masks: Sequence[np.ndarray], even_odd: bool, told: Told) -> list[Plane]:
    """The planes of one thing, ascending.

    Args:
        places: (N,) of its contours.
        masks: Of its contours.
        even_odd: Combine contours even-odd also where they cross.
        told: Is added to.
    """
    groups: list[list[int]] = []
    for number in np.argsort(places, kind="stable"):
        if groups and places[number] - places[groups[-1][0]] <= ON_SLICE:
            groups[-1].append(number)
        else:
            groups.append([number])
    i = 0
    while i + 1 < len(groups):
        ends = [places[group[0]] for group in groups]
        gap = ends[i + 1] - ends[i]
        beside = [ends[i] - ends[i - 1]] * (i > 0) + [b - ends[i + 1] for b in ends[i + 2 : i + 3]]
        if gap <= ONE_PLANE and all(other >= NEIGHBORS_AWAY * gap for other in beside):
            groups[i] += groups.pop(i + 1)
            told.joined += 1
        i += 1
    return [
        Plane(float(places[group].mean()), combined([masks[n] for n in group], even_odd, told))
        for group in groups
    ]


def combined(masks: Sequence[np.ndarray], even_odd: bool, told: Told) -> np.ndarray:
    """What the contours of one plane enclose: nested ones even-odd, those that cross united, each once."""
    parts: list[np.ndarray] = []
    for mask in masks:
        if any(_repeats(mask, other) for other in parts):
            told.repeated += 1
        elif mask.any():
            parts.append(mask)
    crossing = False
    mask = np.zeros(masks[0].shape, bool)
    while parts:
        part = parts.pop()
        # What crosses a part joins it, and the joined part may cross more.
        while not even_odd and (crossed := [i for i, other in enumerate(parts) if _cross(part, other)]):
            crossing = True
            part = np.logical_or.reduce([part, *(parts[i] for i in crossed)])
            parts = [other for i, other in enumerate(parts) if i not in crossed]
        mask ^= part
    told.crossing += crossing
    return mask


def _cross(one: np.ndarray, other: np.ndarray) -> bool:
    both = one & other
    return bool(both.any() and (one & ~other).any() and (other & ~one).any())


def _repeats(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two contours are one: one lies in the other, and what is between is no wall around a hole.

    A wall is closed, or thicker than a voxel somewhere, or encloses less than half.
    """
    small, large = sorted((one, other), key=np.count_nonzero)
    if (small & ~large).any() or 2 * np.count_nonzero(small) < np.count_nonzero(large) or not small.any():
        return False
    between = large & ~small
    thick = between[1:, 1:] & between[:-1, 1:] & between[1:, :-1] & between[:-1, :-1]
    return not thick.any() and bool((ndimage.binary_fill_holes(between) == between).all())


def add_between(
    filled: dict[int, np.ndarray],
    drawn: Sequence[Plane],
    images: Images,
    usual: float,
    pixel_mm: np.ndarray,
    told: Told,
) -> None:
    """Interpolates the slices between the planes of one thing. One that a plane belongs to stays as drawn.

    Args:
        filled: Of `drawn_slices`; is added to.
        drawn: Its planes, ascending.
        images: That it may be drawn on.
        usual: Distance of planes that is usual in the region, in images.
        pixel_mm: (2,) size of the masks' voxels.
        told: Is added to.
    """
    limit = max(2.0, 1.5 * usual) + ON_SLICE
    steps: list[tuple[Plane, Plane, Merge]] = [(*step, _with_lost_parts) for step in pairwise(drawn)]
    steps += [(*step, np.logical_or) for step in lacking_parts(drawn)]
    for below, above, merge in steps:
        gap = above.place - below.place
        between = _between(below.place, above.place, images.slices)
        if not between or not (below.mask & above.mask).any():
            continue
        skipped = images.skipped(below.place, above.place)
        apart = np.ptp(images.numbers([below.place, above.place]))
        wide = apart > 1 + ON_SLICE and (gap - ON_SLICE) * images.step_mm > LONGEST_GAP_MM
        if skipped and (wide or apart > limit):
            told.left.append(skipped)
            continue
        outlines = [_signed_distance(plane.mask, pixel_mm) for plane in (below, above)]
        for k in between:
            share = (k - below.place) / gap
            mask = (1 - share) * outlines[0] + share * outlines[1] > 0
            filled[k] = merge(mask, filled[k]) if k in filled else mask
        told.interpolated += skipped


def drawn_slices(drawn: Sequence[Plane], images: Images, told: Told) -> dict[int, np.ndarray]:
    """What is drawn on each slice, or on the image that is nearest to it, by the slice's number.

    Args:
        drawn: Planes of one thing, ascending.
        images: That it may be drawn on.
        told: Is added to.
    """
    on_slices: dict[int, list[Plane]] = {}
    on_images: dict[int, list[Plane]] = {}
    places = np.array([plane.place for plane in drawn])
    numbers = _nearest_whole(places), _nearest_whole(images.numbers(places))
    for plane, k, image in zip(drawn, *numbers, strict=True):
        on_slices.setdefault(int(k), []).append(plane)
        on_images.setdefault(int(image), []).append(plane)
    _tell_off(places, images, told)
    filled = {k: _nearest(k, own, told) for k, own in on_slices.items() if 0 <= k < images.slices}
    for k in np.flatnonzero(np.isin(images.nearest, list(on_images))):
        if k not in filled:
            # What is passed over has been told where it lies.
            filled[int(k)] = _nearest(k, on_images[images.nearest[k]], Told())
    return filled


def _tell_off(places: np.ndarray, images: Images, told: Told) -> None:
    """Counts the images that planes reach, and how far off the nearest plane of each lies."""
    numbers = images.numbers(places)
    reached = _nearest_whole(numbers)
    for image in set(reached) & set(range(len(images.places))):
        own = np.flatnonzero(reached == image)
        nearest = own[np.argmin(abs(numbers[own] - image))]
        told.reached += 1
        if abs(numbers[nearest] - image) > BETWEEN_SLICES + ROUNDING:
            told.off_mm.append(float(abs(places[nearest] - images.places[image]) * images.step_mm))


def lacking_parts(drawn: Sequence[Plane]) -> list[tuple[Plane, Plane]]:
    """Parts that lack on planes between two others: what both have of them, as planes.

    Of a node that grows together with another one a contour may lack where the other one has its own.
    """
    lone: dict[tuple[int, int], np.ndarray] = {}
    for order in (range(len(drawn)), range(len(drawn))[::-1]):
        last = np.full(drawn[0].mask.shape, -1)
        for before, number in pairwise(order):
            last[drawn[before].mask] = before
            parts, count = ndimage.label(drawn[number].mask, TOUCHING)
            for part in set(range(1, count + 1)) - set(np.unique(parts[drawn[before].mask])):
                found = last[parts == part]
                if (found >= 0).any():
                    # Of those before in this order, the nearest.
                    other = int(found.max() if number > before else found[found >= 0].min())
                    pair = min(number, other), max(number, other)
                    lone[pair] = lone.get(pair, False) | (parts == part)
    return [
        (Plane(below.place, below.mask & mask), Plane(above.place, above.mask & mask))
        for (low, high), mask in sorted(lone.items())
        for below, above in [(drawn[low], drawn[high])]
    ]


def _nearest(k: int, own: list[Plane], told: Told) -> np.ndarray:
    """Of planes that belong to one slice the nearest, and what of the others does not lie over it."""
    first, *others = sorted(own, key=lambda plane: abs(plane.place - k))
    mask = first.mask
    for other in others:
        parts, number = ndimage.label(other.mask, TOUCHING)
        over = set(np.unique(parts[mask])) - {0}
        told.passed_over += len(over)
        if len(over) < number:
            mask = mask | ((parts > 0) & ~np.isin(parts, list(over)))
    return mask


def _with_lost_parts(mask: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """An interpolated mask, and parts that are drawn on its slice and that it has nothing of."""
    parts, number = ndimage.label(drawn, TOUCHING)
    lost = set(range(1, number + 1)) - set(np.unique(parts[mask]))
    return mask | np.isin(parts, list(lost)) if lost else mask


def _between(low: float, high: float, count: int) -> list[int]:
    """Whole numbers from 0 to `count` between two places that neither of them is nearest to."""
    first, last = _nearest_whole(np.array([low, high]))
    return list(range(max(int(first) + 1, 0), min(int(last), count)))


def _nearest_whole(places: np.ndarray) -> np.ndarray:
    # Half-way between two it is the upper one, also where the place is not exact.
    return np.floor(places + 0.5 + ROUNDING).astype(int)


def _signed_distance(mask: np.ndarray, pixel_mm: np.ndarray) -> np.ndarray:
    """mm to the outline, positive inside; zero would lie half-way between the last pixel in and the next."""
    padded = np.pad(mask, 1)
    inside = ndimage.distance_transform_edt(padded, sampling=pixel_mm)
    outside = ndimage.distance_transform_edt(~padded, sampling=pixel_mm)
    return (inside - outside)[1:-1, 1:-1]
