"""Paints the masks of linked boxes into a label map of the working grid."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

MASK_THRESHOLD = 0.5


def box_voxels(box: np.ndarray, mask: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (x, y) of a slice whose center lies in the mask of a box.

    The mask's cells fill the box; between their centers it is interpolated. If no voxel's center lies in it,
    the voxel at the box's center stands for a node that is smaller than a voxel.

    Args:
        box: (4,) x1, y1, x2, y2 in edges of voxels.
        mask: (rows, columns) probability over the box, rows along y.
        shape: Voxels of the slice along x and y.

    Returns:
        Two (n,) index arrays, n at least 1.
    """
    size = np.maximum(box[2:] - box[:2], 1e-6)
    low = np.clip(np.ceil(box[:2] - 0.5), 0, shape).astype(int)
    high = np.clip(np.floor(box[2:] - 0.5) + 1, low, shape).astype(int)
    x, y = (np.arange(a, b) for a, b in zip(low, high, strict=True))
    cells = np.meshgrid(
        (y + 0.5 - box[1]) / size[1] * mask.shape[0] - 0.5,
        (x + 0.5 - box[0]) / size[0] * mask.shape[1] - 0.5,
        indexing="ij",
    )
    inside = ndimage.map_coordinates(mask, cells, order=1, mode="nearest") >= MASK_THRESHOLD
    if not inside.any():
        middle = np.clip(np.floor((box[:2] + box[2:]) / 2), 0, np.array(shape) - 1).astype(int)
        return middle[:1], middle[1:]
    rows, columns = np.nonzero(inside)
    return x[columns], y[rows]


def paint_chains(
    chains: Sequence[np.ndarray],
    z: np.ndarray,
    boxes: np.ndarray,
    masks: np.ndarray,
    shape: tuple[int, int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Label map of chains of boxes; where two overlap, the earlier one keeps the voxel.

    Args:
        chains: Indices of the boxes of each chain, most certain chain first.
        z: (n,) slice of each box.
        boxes: (n, 4) x1, y1, x2, y2 in edges of voxels.
        masks: (n, rows, columns) probability over each box.
        shape: Of the working grid (x, y, z).

    Returns:
        (x, y, z) int32 labels 1, 2, ..., and the chain that each label belongs to, (labels,): a chain all of
        whose voxels are taken has no label.
    """
    labels = np.zeros(shape, dtype=np.int32)
    painted = []
    for index, chain in enumerate(chains):
        voxels = [
            np.stack([x, y, np.full_like(x, z[box])])
            for box in chain
            for x, y in [box_voxels(boxes[box], masks[box], shape[:2])]
        ]
        at = tuple(np.concatenate(voxels, axis=1))
        free = labels[at] == 0
        if free.any():
            painted.append(index)
            labels[tuple(axis[free] for axis in at)] = len(painted)
    return labels, np.array(painted, dtype=np.int64)
