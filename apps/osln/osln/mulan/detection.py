"""Runs a trained MULAN on all axial slices of a column and makes nodes of what it finds."""

from dataclasses import dataclass

import numpy as np
import torch

from osln.imaging.lung_column import LungColumn
from osln.metrics.matching import Scored, find_overlaps
from osln.mulan.canvas import REACH, SliceCanvas, as_images, image_triples, read_slices
from osln.mulan.linking import link_boxes, paint_chains
from osln.networks.mulan import Mulan, SliceDetections
from osln.networks.mulan_heads import MASK_PIXELS
from osln.rows.detectors import DETECTOR_RECIPES, DETECTORS
from osln.weights.checkpoint import Checkpoint
from osln.weights.devices import Arithmetic

CHUNK = 16
"""Key slices that pass the network together."""


@dataclass(frozen=True)
class FoundNodes:
    """Nodes of a patient.

    Attributes:
        labels: (x, y, z) int32 on the column's grid: 1, 2, ... by falling score, 0 elsewhere.
        scores: (n,) float64, score of each label: the highest of its slices.
    """

    labels: np.ndarray
    scores: np.ndarray

    def scored(self, nodes: np.ndarray, outside: int = 0) -> Scored:
        """The (score, hit) pairs of the evaluation.

        Args:
            nodes: (x, y, z) true instances on the same grid.
            outside: Nodes of the patient that lie outside of it, and are missed.
        """
        return find_overlaps(self.labels, nodes).with_missed(outside).matching(self.scores).scored()


class SliceDetector:
    """A trained MULAN on a device.

    Args:
        checkpoint: Trained weights of a row of `DETECTORS`.
        device: "cpu", "cuda" or "cuda:N".
        number_format: Of the trunk, as `Arithmetic.on`.

    Raises:
        ValueError: If the weights are of another kind, or the device or number format is not there.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", number_format: str | None = None) -> None:
        self.arithmetic = Arithmetic.on(device, number_format)
        network = checkpoint.network()
        if not isinstance(network, Mulan):
            raise ValueError(
                f"the weights are of {checkpoint.name}, which does not find nodes by itself: expected "
                f"{' or '.join(DETECTORS)}"
            )
        self.detector = DETECTORS[checkpoint.name]
        self.recipe = DETECTOR_RECIPES[checkpoint.preset]
        self.scaling = checkpoint.scaling
        self._device = torch.device(device)
        self._network = network.to(self._device, memory_format=torch.channels_last)

    def detect(self, column: LungColumn) -> FoundNodes:
        """Nodes of a patient; none give an empty label map and no score.

        Raises:
            ValueError: If the column lacks an input (PET) of this network.
        """
        z, boxes, scores, masks = self._all_slices(column)
        chains = link_boxes(z, boxes, scores)
        width, depth, height = column.ct_hu.shape
        labels, painted = paint_chains(chains, z, boxes, masks, (width, depth, height))
        return FoundNodes(labels, np.array([scores[chains[i][0]] for i in painted], dtype=np.float64))

    def _all_slices(self, column: LungColumn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Slice, box in edges of voxels, score and mask of everything that is found in the slices."""
        canvas = SliceCanvas.whole(column, self.recipe.pixel_mm)
        heights, boxes, scores = [np.zeros(0, np.int64)], [np.zeros((0, 4))], [np.zeros(0)]
        masks = [np.zeros((0, MASK_PIXELS, MASK_PIXELS), np.float32)]
        last = column.ct_hu.shape[2]
        for first in range(0, last, CHUNK):
            keys = min(CHUNK, last - first)
            slices = read_slices(
                column, self.detector.inputs, self.scaling, first - REACH, first + keys + REACH
            )
            for height, found in enumerate(
                self._detections(as_images(canvas.draw(slices)), keys), start=first
            ):
                heights.append(np.full(len(found.scores), height))
                boxes.append(canvas.to_voxels(found.boxes.cpu().numpy()))
                scores.append(found.scores.cpu().numpy().astype(np.float64))
                masks.append(found.masks.cpu().numpy())
        return np.concatenate(heights), np.concatenate(boxes), np.concatenate(scores), np.concatenate(masks)

    def _detections(self, images: torch.Tensor, keys: int) -> list[SliceDetections]:
        images = images.to(self._device, memory_format=torch.channels_last)
        with torch.inference_mode():
            with self.arithmetic.autocast():
                maps = self._network.trunk(images, image_triples(keys).to(self._device))
            return self._network.detections(maps.float(), (images.shape[2], images.shape[3]))
