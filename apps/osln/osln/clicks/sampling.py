"""Training patches of the click network: nodes in their surroundings, changed so that no two are alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from osln.clicks.clicks import Clicks
from osln.clicks.patch import COARSE_MM, FINE_MM, box_around, cut
from osln.clicks.phantom_cases import ClickCase
from osln.imaging.grid import Grid
from osln.imaging.resampling import resample
from osln.imaging.turns import augment

SIZES = (24, 24, 32)
"""Voxels of a training patch's sides, drawn anew at each step: small ones are quick, and the network is
convolutional and answers larger ones alike."""
WITHOUT_PET = 0.35
"""Share of the patches that have no PET."""
COARSE_SHARE, COARSE_FROM_MM = 0.5, 11.0
"""So many patches of nodes from this short axis on are seen with large voxels."""
BENT = 0.5
"""Share of the patches that are bent, since nodes of patients are no ellipsoids."""
_KNOTS = 5


@dataclass(frozen=True)
class Example:
    """A training patch.

    Attributes:
        ct_hu, pet_suv: (x, y, z) float32; PET None where it is withheld.
        node: (x, y, z) bool, not empty.
        grid: In millimeters of its own.
        clicks: At least one inside.
    """

    ct_hu: np.ndarray
    pet_suv: np.ndarray | None
    node: np.ndarray
    grid: Grid
    clicks: Clicks


@dataclass
class ExampleSampler:
    """Endless, repeatable supply of training patches: one depends on the seed and its number alone.

    Args:
        cases: Patients with nodes.
        seed: Any integer.
    """

    cases: Sequence[ClickCase]
    seed: int = 0
    _nodes: list[tuple[int, int, tuple[slice, ...]]] = field(init=False, repr=False)
    _weights: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._nodes = [
            (index, value, box)
            for index, case in enumerate(self.cases)
            for value, box in enumerate(ndimage.find_objects(case.nodes), start=1)
            if box is not None
        ]
        if not self._nodes:
            raise ValueError(f"{len(self.cases)} patients without a node: there is nothing to learn from")
        # Large nodes are rare, and their outlines are what differs most.
        sizes = np.array([self.cases[index].short_mm[value - 1] for index, value, _ in self._nodes])
        self._weights = np.clip(np.nan_to_num(sizes, nan=6.0), 5.0, 20.0)
        self._weights /= self._weights.sum()

    def batch(self, step: int, count: int) -> list[Example]:
        """So many patches of one size."""
        size = int(np.random.default_rng([self.seed, step]).choice(SIZES))
        return [
            self._example(np.random.default_rng([self.seed, step, place]), size) for place in range(count)
        ]

    def _example(self, rng: np.random.Generator, size: int) -> Example:
        while True:
            drawn = self._drawn(rng, size)
            if drawn is not None:
                return drawn

    def _drawn(self, rng: np.random.Generator, size: int) -> Example | None:
        index, value, box = self._nodes[int(rng.choice(len(self._nodes), p=self._weights))]
        case = self.cases[index]
        start = np.array([part.start for part in box])
        mask = case.nodes[box] == value
        first = start + _clicked(mask, case.ct.grid.spacing_mm, rng)
        spacing = FINE_MM
        if case.short_mm[value - 1] >= COARSE_FROM_MM and rng.random() < COARSE_SHARE:
            spacing = COARSE_MM
        spacing *= float(rng.uniform(0.8, 1.25))
        turn = Rotation.from_euler("xyz", rng.normal(0.0, 12.0, 3), degrees=True).as_matrix()
        grid = box_around(case.ct.grid.index_to_mm(first), turn, spacing, size)
        patch = cut(case.ct, case.pet, grid)
        # Beyond the box of its voxels the node is not; one of its neighbors may be.
        padded = np.pad(mask, 1).astype(np.float32)
        node = resample(padded, case.ct.grid.crop(start - 1, padded.shape), grid)
        ct_hu, pet_suv = patch.ct_hu, patch.pet_suv
        assert pet_suv is not None
        if rng.random() < BENT:
            ct_hu, pet_suv, node = _bent((ct_hu, pet_suv, node), rng)
        moved = augment((ct_hu[None], pet_suv[None], node[None]), rng)
        ct_hu, pet_suv, shares = (np.ascontiguousarray(one[0]) for one in moved)
        node = shares >= 0.5
        if node.sum() < 3:
            return None
        plain = Grid(node.shape, np.diag([*np.full(3, grid.spacing_mm[0]), 1.0]))
        clicks = _clicks(node, plain, rng)
        shown = None if rng.random() < WITHOUT_PET else _other_pet(pet_suv, rng)
        return Example(_other_ct(ct_hu, rng), shown, node, plain, clicks)


def _clicked(mask: np.ndarray, spacing_mm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Index (3,) of a click into a mask: mostly deep in it, sometimes anywhere."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    share = rng.choice([0.0, 0.3, 0.6])
    return rng.choice(np.argwhere(mask & (depth >= share * depth.max())))


def _clicks(node: np.ndarray, grid: Grid, rng: np.random.Generator) -> Clicks:
    """Clicks of somebody who corrects: up to two further ones inside, up to three near it outside."""
    inside = [_clicked(node, grid.spacing_mm, rng) for _ in range(1 + int(rng.choice(3, p=[0.7, 0.2, 0.1])))]
    away = ndimage.distance_transform_edt(~node, sampling=grid.spacing_mm)
    near = np.argwhere((away > 1.0) & (away < 10.0))
    count = int(rng.choice(4, p=[0.6, 0.2, 0.1, 0.1]))
    outside = rng.choice(near, count) if count and len(near) else np.zeros((0, 3))
    return Clicks(grid.index_to_mm(np.array(inside)), grid.index_to_mm(outside).reshape(-1, 3))


def _bent(arrays: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Images moved by a smooth random field of up to some voxels."""
    shape = arrays[0].shape
    sd = rng.uniform(0.5, 2.0)
    knots = rng.normal(0.0, sd, (3, *[_KNOTS] * 3))
    zoom = [n / _KNOTS for n in shape]
    at = np.indices(shape, dtype=np.float32)
    at += np.stack([ndimage.zoom(part, zoom, order=1) for part in knots]).astype(np.float32)
    return tuple(ndimage.map_coordinates(one, at, order=1, mode="nearest") for one in arrays)


def _other_ct(ct_hu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The CT as of another scanner, with more or less contrast medium."""
    other = ct_hu.astype(np.float32)
    # Contrast medium brightens vessels and nodes, and leaves fat as it is.
    other = np.where(other > 0, other * rng.uniform(0.7, 2.2), other * rng.uniform(0.85, 1.15))
    other += rng.normal(0.0, 10.0)
    if rng.random() < 0.3:
        other = ndimage.gaussian_filter(other, rng.uniform(0.3, 0.9))
    noise = rng.standard_normal(other.shape, dtype=np.float32) * np.float32(rng.uniform(0.0, 25.0))
    if rng.random() < 0.5:
        noise = 2.0 * ndimage.gaussian_filter(noise, 0.8)
    return other + noise


def _other_pet(pet_suv: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The PET of another tracer dose, scanner or day."""
    other = pet_suv * np.float32(np.exp(rng.normal(0.0, 0.35)))
    if rng.random() < 0.3:
        other = ndimage.gaussian_filter(other, rng.uniform(0.5, 1.5))
    if rng.random() < 0.3:
        other = ndimage.shift(other, rng.normal(0.0, 1.2, 3), order=1, mode="nearest")
    return other
