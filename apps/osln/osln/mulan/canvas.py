"""Axial slices of a column as MULAN sees them, and where their pixels lie in the column.

Rows of an image run along y and columns along x, so that a box x1, y1, x2, y2 has the column's x and y.
Positions are measured in edges: pixel or voxel i reaches from i to i + 1.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from osln.imaging.lung_column import LungColumn
from osln.imaging.transforms import Scaling, network_input
from osln.networks.mulan import IMAGES, SLICES
from osln.networks.mulan_trunk import LARGEST_STRIDE

REACH = IMAGES * SLICES // 2
"""Slices that are seen on each side of a key slice."""


@dataclass(frozen=True)
class SliceCanvas:
    """Where the voxels of a slice lie in an image.

    Attributes:
        size: Rows and columns of the image.
        scale: Pixels per voxel along y and x.
        offset: Pixel position of the slice's first edge along y and x.
    """

    size: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]

    @classmethod
    def whole(cls, column: LungColumn, pixel_mm: float) -> "SliceCanvas":
        """The smallest canvas that the network takes and that holds the whole slice in its corner."""
        scale = [float(step) / pixel_mm for step in column.grid.spacing_mm[1::-1]]
        voxels = column.ct_hu.shape[1::-1]
        size = [_multiple(n * factor) for n, factor in zip(voxels, scale, strict=True)]
        return cls((size[0], size[1]), (scale[0], scale[1]), (0.0, 0.0))

    def moved(
        self, size: tuple[int, int], zoom: float, shift_px: tuple[int, int], column: LungColumn
    ) -> "SliceCanvas":
        """A canvas of another size around the slice's center, magnified and shifted, for training."""
        scale = (self.scale[0] * zoom, self.scale[1] * zoom)
        voxels = column.ct_hu.shape[1::-1]
        offset = [
            (side - n * factor) / 2 + shift
            for side, n, factor, shift in zip(size, voxels, scale, shift_px, strict=True)
        ]
        return SliceCanvas(size, scale, (offset[0], offset[1]))

    def draw(self, slices: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
        """Slices on the canvas; beyond their borders images repeat the last voxel.

        Args:
            slices: (N, C, y, x) float32.
            mode: "bilinear" for images; "nearest" for labels, which are 0 beyond the borders.

        Returns:
            (N, C, rows, columns).
        """
        # affine_grid and grid_sample count both planes from -1 to 1, edge to edge, x first.
        matrix = torch.zeros(1, 2, 3, dtype=torch.float64)
        for row, axis in enumerate((1, 0)):
            side, voxels = self.size[axis], slices.shape[2 + axis]
            factor = side / (self.scale[axis] * voxels)
            matrix[0, row, row] = factor
            matrix[0, row, 2] = factor * (1 - 2 * self.offset[axis] / side) - 1
        grid = F.affine_grid(matrix, [1, 1, *self.size], align_corners=False)
        padding = "border" if mode == "bilinear" else "zeros"
        grid = grid.to(slices).expand(len(slices), -1, -1, -1)
        return F.grid_sample(slices, grid, mode=mode, padding_mode=padding, align_corners=False)

    def to_voxels(self, boxes: np.ndarray) -> np.ndarray:
        """(n, 4) boxes x1, y1, x2, y2 in edges of voxels from those in edges of pixels."""
        offset = np.array(self.offset)[[1, 0, 1, 0]]
        scale = np.array(self.scale)[[1, 0, 1, 0]]
        moved: np.ndarray = (np.asarray(boxes, dtype=np.float64) - offset) / scale
        return moved


def canvas_size(window: tuple[int, ...], spacing_mm: tuple[float, ...], pixel_mm: float) -> tuple[int, int]:
    """Rows and columns of the training images of a preset whose column has that window (x, y, ...)."""
    rows, columns = (_multiple(window[axis] * spacing_mm[axis] / pixel_mm) for axis in (1, 0))
    return rows, columns


def key_slices(column: LungColumn, inputs: tuple[str, ...], scaling: Scaling, key: int) -> torch.Tensor:
    """The slices around a key slice, scaled: (9, modalities, y, x) float32; the end slices are repeated."""
    return read_slices(column, inputs, scaling, key - REACH, key + REACH + 1)


def read_slices(
    column: LungColumn, inputs: tuple[str, ...], scaling: Scaling, start: int, stop: int
) -> torch.Tensor:
    """Slices `start` to `stop` - 1, scaled; beyond the column's ends its end slices.

    Returns:
        (stop - start, modalities, y, x) float32.
    """
    inside = np.clip(np.arange(start, stop), 0, column.ct_hu.shape[2] - 1)
    low, high = inside.min(), inside.max() + 1
    part = {name: None if image is None else image[..., low:high] for name, image in column.images.items()}
    scaled = network_input(part, inputs, scaling)[..., inside - low]
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(3, 0, 2, 1)))


def as_images(slices: torch.Tensor) -> torch.Tensor:
    """Images of three neighboring slices each.

    Args:
        slices: (N, modalities, rows, columns).

    Returns:
        (N - 2, modalities * 3, rows, columns): of each modality the slices below, at and above.
    """
    count = len(slices) - SLICES + 1
    stacked = torch.stack([slices[i : i + count] for i in range(SLICES)], dim=2)
    return stacked.flatten(1, 2)


def image_triples(keys: int) -> torch.Tensor:
    """(keys, 3) images below, at and above each of `keys` neighboring key slices.

    The images are those of `as_images` on the slices from `REACH` before the first key to `REACH` after the
    last; the three of a key do not share a slice.
    """
    return torch.arange(keys)[:, None] + SLICES * torch.arange(IMAGES)


def _multiple(pixels: float) -> int:
    """The next multiple of the trunk's coarsest stride."""
    return LARGEST_STRIDE * math.ceil(round(pixels, 6) / LARGEST_STRIDE)
