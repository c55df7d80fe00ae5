"""Links boxes of neighboring axial slices to nodes and paints their masks into a label map.

The published system judges slices one by one, and the paper that measured it on patients does not say how
it made nodes of them. Here boxes that overlap from slice to slice are one node.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

LEAST_OVERLAP = 0.5
"""IoU of two boxes of neighboring slices from which they show one node."""
MASK_THRESHOLD = 0.5


def box_overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) IoU of a box with others, (4,) and (n, 4) x1, y1, x2, y2; 0 for boxes without area."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    either = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    overlap: np.ndarray = shared / np.maximum(either, 1e-9)
    return overlap


def link_boxes(
    z: np.ndarray, boxes: np.ndarray, scores: np.ndarray, least: float = LEAST_OVERLAP
) -> list[np.ndarray]:
    """Chains of boxes, at most one in each slice, without a gap.

    The best box that is in no chain yet starts one. It grows upwards and then downwards: in the next slice
    the free box that overlaps the chain's last one most is taken, until none overlaps enough. Every box ends
    in one chain; one that finds no neighbor is a chain of its own.

    Args:
        z: (n,) slice of each box.
        boxes: (n, 4) x1, y1, x2, y2.
        scores: (n,); of equal ones the first leads.
        least: Overlap that links.

    Returns:
        Indices of each chain, its starting box first; chains by falling score of that box, which is the
        highest in the chain.
    """
    free = np.ones(len(z), dtype=bool)
    of_slice = {int(value): np.flatnonzero(z == value) for value in np.unique(z)}
    chains = []
    for start in np.argsort(-scores, kind="stable"):
        if not free[start]:
            continue
        free[start] = False
        chain = [int(start)]
        for step in (1, -1):
            last, height = int(start), int(z[start]) + step
            while height in of_slice:
                near = of_slice[height][free[of_slice[height]]]
                overlap = box_overlap(boxes[last], boxes[near])
                if not len(near) or overlap.max() < least:
                    break
                last = int(near[np.argmax(overlap)])
                free[last] = False
                chain.append(last)
                height += step
        chains.append(np.array(chain))
    return chains


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
