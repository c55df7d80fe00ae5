"""Links boxes of neighboring axial slices to nodes.

The published system judges slices one by one, and the paper that measured it on patients does not say how
it made nodes of them. Here boxes that overlap from slice to slice are one node.
"""

import numpy as np

LEAST_OVERLAP = 0.5
"""IoU of two boxes of neighboring slices from which they show one node."""


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
