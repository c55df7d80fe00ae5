"""The local patch of a candidate: what GLNet's local module sees of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from osln.imaging.lung_column import LungColumn
from osln.rows.experiments import StageTwo

AIR_HU = -1000
"""Beyond the CT's field."""

Box = Sequence[tuple[int, int]]
"""First and past-the-last voxel along x, y, z."""


@dataclass(frozen=True)
class Patches:
    """Local patches of n candidates, in physical units.

    Attributes:
        ct_hu: (n, x, y, z) int16; air beyond the CT.
        pet_suv: (n, x, y, z) float16, 0 beyond the PET; None without a PET.
        boxes: (n, 3, 2) float32 faces of the candidates' boxes in voxels of the patch: voxel k lies
            between the faces k and k + 1.
        context: (n, 6) float32 as `context.candidate_context` gives it; None where nobody asks for it.
    """

    ct_hu: np.ndarray
    pet_suv: np.ndarray | None
    boxes: np.ndarray
    context: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ct_hu)

    def first(self, count: int) -> "Patches":
        """Those of the first candidates."""
        pet = None if self.pet_suv is None else self.pet_suv[:count]
        context = None if self.context is None else self.context[:count]
        return Patches(self.ct_hu[:count], pet, self.boxes[:count], context)


def cut_patches(column: LungColumn, boxes: Sequence[Box], stage_two: StageTwo) -> Patches:
    """Cuts the patch of every candidate out of a column.

    A patch is centered on the candidate's box. A candidate that would keep less than `margin` voxels of
    background on a side gets a larger sub-volume along that axis, the box with its margins, which is
    resampled to the patch's size (paper, section 4.2: at least 8 voxels).

    Args:
        column: One patient on the working grid.
        boxes: Box of each candidate on the column's grid; may be empty.
        stage_two: Gives patch and margin.

    Returns:
        The patches in the order of the boxes.
    """
    shape = (len(boxes), *stage_two.patch)
    ct_hu = np.empty(shape, dtype=np.int16)
    pet_suv = None if column.pet_suv is None else np.empty(shape, dtype=np.float16)
    inside = np.empty((len(boxes), 3, 2), dtype=np.float32)
    for n, box in enumerate(boxes):
        start, extent = sub_volume(box, stage_two)
        ct_hu[n] = np.round(_cut(column.ct_hu, start, extent, stage_two.patch, AIR_HU))
        if pet_suv is not None:
            pet_suv[n] = _cut(column.pet_suv, start, extent, stage_two.patch, 0)  # type: ignore[arg-type]
        scale = np.asarray(stage_two.patch) / extent
        inside[n] = (np.asarray(box) - start[:, None]) * scale[:, None]
    return Patches(ct_hu, pet_suv, inside)


def sub_volume(box: Box, stage_two: StageTwo) -> tuple[np.ndarray, np.ndarray]:
    """First voxel and extent, (3,) each, of the part of the grid that becomes a candidate's patch."""
    first, past = np.asarray(box).T
    extent = np.maximum(stage_two.patch, past - first + 2 * stage_two.margin)
    return np.floor((first + past - extent + 1) / 2).astype(int), extent


def jittered(boxes: np.ndarray, voxels: int, patch: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """The boxes with every face moved by up to `voxels`, at least a voxel thick and inside the patch.

    Args:
        boxes: (n, 3, 2) faces in voxels of the patch.
        voxels: Largest shift, whole voxels.
        patch: Size of the patch.
        rng: Source of chance.

    Reference:
        The paper, section 4.2 (3 voxels).
    """
    moved = boxes + rng.integers(-voxels, voxels + 1, size=boxes.shape)
    middle = boxes.mean(axis=2)
    size = np.asarray(patch)
    low = np.clip(np.minimum(moved[..., 0], middle - 0.5), 0, size - 1)
    high = np.clip(np.maximum(moved[..., 1], middle + 0.5), low + 1, size)
    return np.stack([low, high], axis=2).astype(np.float32)


def _cut(
    image: np.ndarray, start: np.ndarray, extent: np.ndarray, patch: Sequence[int], fill: int
) -> np.ndarray:
    """The sub-volume, filled beyond the image, resampled to the patch's size where it is larger."""
    low, high = np.maximum(start, 0), np.minimum(start + extent, image.shape)
    part = np.full(extent, fill, dtype=np.float32)
    if (low < high).all():
        to = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
        part[to] = image[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    if tuple(extent) == tuple(patch):
        return part
    resized = F.interpolate(torch.from_numpy(part)[None, None], tuple(patch), mode="trilinear")
    return resized[0, 0].numpy()
