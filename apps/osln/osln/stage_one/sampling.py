"""Training patches drawn from patients kept in memory.

Half of the patches hold a node of the network's zone; without that a network meets one node voxel in
several thousand and learns to answer nothing. Of a patient who was reviewed in part, only what is known
(`osln.imaging.reviewed_part`) is learned from: the loss counts nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from osln.imaging.distance import LIMIT_MM, zone_mask
from osln.imaging.lung_column import LungColumn, reason_not_usable, zone_of
from osln.imaging.reviewed_part import UNKNOWN
from osln.imaging.transforms import Scaling, network_input
from osln.imaging.turns import Turn
from osln.learning.errors import NothingToLearnError
from osln.rows.experiments import Preset, Segmenter

JITTER = 9 / 32
"""Largest offset of a node from the patch center, as a share of the patch."""
AIR_HU = -1000


@dataclass
class PatchSampler:
    """Endless, repeatable supply of training batches for one network.

    A batch depends only on the seed and its number, so that an interrupted training goes on with the
    same patches.

    Args:
        columns: Training patients, with nodes; `compact` ones to save memory.
        segmenter: The network: which images, which zone.
        preset: Patch and batch size.
        scaling: Preprocessing numbers.
        seed: Any integer.

    Raises:
        ValueError: No patient, an input is missing, or no node lies in the network's zone.
    """

    columns: Sequence[LungColumn]
    segmenter: Segmenter
    preset: Preset
    scaling: Scaling
    seed: int = 0
    _padded: list[LungColumn] = field(init=False, repr=False)
    _centers: np.ndarray = field(init=False, repr=False)
    _with_zone: np.ndarray = field(init=False, repr=False)
    _known_places: dict[int, np.ndarray] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError(f"no training patient for {self.segmenter.name}: approve at least one case")
        for column in self.columns:
            if reason := reason_not_usable(column, self.segmenter):
                raise ValueError(f"{self.segmenter.name} cannot learn from case {column.case}: {reason}")
        self._padded = [_padded(column, self.preset.patch) for column in self.columns]
        centers = []
        with_zone = []
        for index, column in enumerate(self._padded):
            zone = zone_of(column, self.segmenter.zone)
            places = zone & column.body
            if column.known is not None:
                places &= column.known > UNKNOWN
                self._known_places[index] = np.argwhere(places)
            if places.any():
                with_zone.append(index)
            nodes: np.ndarray = column.nodes  # type: ignore[assignment]
            centers += [(index, *center) for center in _node_centers(np.where(zone, nodes, 0))]
        if not centers:
            raise NothingToLearnError(
                f"no approved node lies in the zone of {self.segmenter.name} ({self.segmenter.zone}) in "
                f"{len(self.columns)} training patients: approve a case with one, or train another network"
            )
        self._centers = np.array(centers)
        self._with_zone = np.array(with_zone)

    def batch(self, number: int, part: slice = slice(None)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Batch of a training step: its first half around nodes of the zone, the rest anywhere in it.

        Args:
            number: Training step, from 0.
            part: Which of its patches are made; what is drawn by chance is always that of all.

        Returns:
            inputs (B, C, x, y, z) float32 scaled, target (B, 1, x, y, z) float32 with 1 in nodes, and mask
            (B, 1, x, y, z) float32 with 1 inside the zone and where it is known what is there: the loss
            counts there.
        """
        rng = np.random.default_rng([self.seed, number])
        drawn = []
        for k in range(self.preset.batch):
            on_node = 2 * k < self.preset.batch or not len(self._with_zone)
            index, center = self._near_node(rng) if on_node else self._anywhere(rng)
            drawn.append((self._padded[index], center, Turn.drawn(rng, self.preset.patch)))
        patches = [self._patch(*one) for one in drawn[part]]
        inputs, targets, masks = zip(*patches, strict=True)
        return np.stack(inputs), np.stack(targets), np.stack(masks)

    def _near_node(self, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        index, *center = self._centers[rng.integers(len(self._centers))]
        reach = (np.array(self.preset.patch) * JITTER).astype(int)
        return int(index), np.array(center) + rng.integers(-reach, reach + 1)

    def _anywhere(self, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        index = int(self._with_zone[rng.integers(len(self._with_zone))])
        if index in self._known_places:
            return index, rng.choice(self._known_places[index])
        column = self._padded[index]
        distance = column.distance_mm
        zone = self.segmenter.zone
        while True:
            tried = rng.integers(0, column.body.shape, size=(64, 3))
            at = tuple(tried.T)
            good = column.body[at]
            if zone != "all":
                good = good & zone_mask(distance[at], zone)  # type: ignore[index]
            if good.any():
                return index, tried[np.argmax(good)]

    def _patch(
        self, column: LungColumn, center: np.ndarray, turn: Turn
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        size = np.array(self.preset.patch)
        start = np.clip(center - size // 2, 0, np.array(column.ct_hu.shape) - size)
        box = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        images = {name: None if image is None else image[box] for name, image in column.images.items()}
        inputs = network_input(images, self.segmenter.inputs, self.scaling)
        target = (column.nodes[box] > 0)[None].astype(np.float32)  # type: ignore[index]
        if self.segmenter.zone == "all":
            mask = np.ones_like(target)
        else:
            mask = zone_mask(column.distance_mm[box], self.segmenter.zone)[None].astype(np.float32)  # type: ignore[index]
        if column.known is not None:
            mask *= column.known[box] > UNKNOWN
        return turn.of_patch(inputs), turn.of_patch(target), turn.of_patch(mask)


def _node_centers(nodes: np.ndarray) -> list[tuple[int, int, int]]:
    """Rounded mean voxel of each instance."""
    at = np.argwhere(nodes)
    labels = nodes[tuple(at.T)]
    return [tuple(np.round(at[labels == label].mean(axis=0)).astype(int)) for label in np.unique(labels)]


def _padded(column: LungColumn, patch: tuple[int, int, int]) -> LungColumn:
    """The column, extended by air where it is smaller than a patch."""
    shape = np.maximum(column.ct_hu.shape, patch)
    width = [(0, int(n)) for n in shape - column.ct_hu.shape]
    if not any(after for _, after in width):
        return column
    pet, distance, known = column.pet_suv, column.distance_mm, column.known
    return replace(
        column,
        grid=column.grid.crop((0, 0, 0), tuple(int(n) for n in shape)),
        ct_hu=np.pad(column.ct_hu, width, constant_values=AIR_HU),
        pet_suv=None if pet is None else np.pad(pet, width),
        distance_mm=None if distance is None else np.pad(distance, width, constant_values=LIMIT_MM),
        nodes=np.pad(column.nodes, width),  # type: ignore[arg-type]
        body=np.pad(column.body, width),
        known=None if known is None else np.pad(known, width, constant_values=UNKNOWN),
    )
