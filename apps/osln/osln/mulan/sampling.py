"""Training batches of axial slices with their nodes as boxes, masks and tags.

Published MULAN learns from slices with lesions alone, because those are the slices that DeepLesion has
labels for. Here every slice of a patient is labeled and asked at inference, so that a share of each batch
has no node.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from osln.imaging.lung_column import LungColumn, reason_not_usable
from osln.imaging.transforms import Scaling
from osln.mulan.canvas import SLICES, SliceCanvas, as_images, key_slices
from osln.networks.mulan import IMAGES, SliceTarget
from osln.rows.detectors import Detector, DetectorRecipe
from osln.rows.tags import TAG_NAMES

NodeTags = Mapping[int, np.ndarray]
"""Tags of a patient's nodes: (171,) bool by instance label."""


@dataclass(frozen=True)
class SliceBatch:
    """B key slices.

    Attributes:
        images: (3 B, channels, rows, columns) float32: of each key slice the images below, at and above it.
        triples: (B, 3) long, which images belong to each key slice.
        targets: What is true of each key slice.
    """

    images: torch.Tensor
    triples: torch.Tensor
    targets: list[SliceTarget]


@dataclass
class SliceSampler:
    """Endless, repeatable supply of training batches; a batch depends on seed and number alone.

    Slices with nodes are drawn evenly over all patients, so are those without.

    Args:
        columns: Training patients with nodes as instances; `lung_column.compact` ones to save memory.
        tags: Known tags of each patient's nodes; a node that is not named has unknown ones.
        detector: Which images.
        recipe: Batch, margin and augmentation.
        scaling: Preprocessing numbers.
        size: Rows and columns of the images, from `canvas.canvas_size`.
        seed: Any integer.

    Raises:
        ValueError: No patient, a patient without nodes labeled or without PET where it is needed, or no node
            at all.
    """

    columns: Sequence[LungColumn]
    tags: Sequence[NodeTags]
    detector: Detector
    recipe: DetectorRecipe
    scaling: Scaling
    size: tuple[int, int]
    seed: int = 0
    _full: np.ndarray = field(init=False, repr=False)
    _empty: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError(f"no training patient for {self.detector.name}: give at least one")
        full, empty = [], []
        for index, column in enumerate(self.columns):
            if reason := reason_not_usable(column, self.detector):
                raise ValueError(f"{self.detector.name} cannot learn from case {column.case}: {reason}")
            nodes: np.ndarray = column.nodes  # type: ignore[assignment]
            has_node = nodes.any(axis=(0, 1))
            full += [(index, z) for z in np.flatnonzero(has_node)]
            empty += [(index, z) for z in np.flatnonzero(~has_node)]
        if not full:
            raise ValueError(
                f"none of {len(self.columns)} training patients has a node: approve a case with one"
            )
        self._full, self._empty = np.array(full), np.array(empty).reshape(-1, 2)

    def batch(self, number: int) -> SliceBatch:
        """Batch of a training step, from 0."""
        rng = np.random.default_rng([self.seed, number])
        without = round(self.recipe.batch * self.recipe.empty_share) if len(self._empty) else 0
        images, targets = [], []
        for k in range(self.recipe.batch):
            pool = self._full if k < self.recipe.batch - without else self._empty
            index, key = pool[rng.integers(len(pool))]
            drawn, target = self._slice(int(index), int(key), rng)
            images.append(drawn)
            targets.append(target)
        triples = torch.arange(IMAGES * len(images)).view(-1, IMAGES)
        return SliceBatch(torch.cat(images), triples, targets)

    def _slice(self, index: int, key: int, rng: np.random.Generator) -> tuple[torch.Tensor, SliceTarget]:
        recipe, column = self.recipe, self.columns[index]
        zoom = rng.uniform(*recipe.scale)
        down, right = rng.integers(-recipe.shift_px, recipe.shift_px + 1, size=2)
        canvas = SliceCanvas.whole(column, recipe.pixel_mm).moved(
            self.size, zoom, (int(down), int(right)), column
        )
        slices = canvas.draw(key_slices(column, self.detector.inputs, self.scaling, key))
        labels = torch.from_numpy(column.nodes[:, :, key].T.astype(np.float32))  # type: ignore[index]
        drawn = canvas.draw(labels[None, None], mode="nearest")[0, 0]
        margin = recipe.margin_mm / recipe.pixel_mm * zoom
        # Of the seven images of nine slices the first, the middle and the last share no slice.
        return as_images(slices)[::SLICES], slice_target(drawn.numpy(), margin, self.tags[index])


def slice_target(labels: np.ndarray, margin_px: float, tags: NodeTags) -> SliceTarget:
    """Boxes, masks and tags of the nodes of an image.

    Args:
        labels: (rows, columns) instance labels, 0 where no node is.
        margin_px: Added to the tight box on each side, as far as the image reaches.
        tags: Known tags by label; those of other nodes are unknown and weigh nothing.
    """
    found = np.unique(labels[labels != 0])
    masks = labels[None] == found[:, None, None]
    rows, columns = labels.shape
    boxes = np.zeros((len(found), 4), dtype=np.float32)
    known = np.zeros((len(found), len(TAG_NAMES)), dtype=bool)
    certain = np.zeros_like(known)
    for i, label in enumerate(found):
        y, x = np.nonzero(masks[i])
        low = np.array([x.min(), y.min()]) - margin_px
        high = np.array([x.max(), y.max()]) + 1 + margin_px
        boxes[i] = [*np.maximum(low, 0), *np.minimum(high, [columns, rows])]
        if int(label) in tags:
            known[i], certain[i] = tags[int(label)], True
    return SliceTarget(
        torch.from_numpy(boxes),
        torch.from_numpy(masks.astype(np.float32)),
        torch.from_numpy(known),
        torch.from_numpy(certain),
    )
