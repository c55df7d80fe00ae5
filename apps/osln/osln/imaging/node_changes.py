"""What an annotator changed: nodes added, removed, reshaped and kept between two node masks."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from osln.imaging.grid import mask_box


@dataclass(frozen=True)
class NodeChanges:
    """Numbers of nodes; a node is a 26-connected component.

    Attributes:
        added: In the new mask, touching no node of the former one.
        removed: In the former mask, touching no node of the new one.
        changed: In the new mask, sharing voxels with the former one but not the same set of voxels.
        unchanged: The same voxels in both.
    """

    added: int
    removed: int
    changed: int
    unchanged: int


def count_nodes(nodes: np.ndarray) -> int:
    """Number of 26-connected components of a mask (x, y, z)."""
    return _components(nodes[_box(nodes)])[1]


def compare_nodes(former: np.ndarray, current: np.ndarray) -> NodeChanges:
    """Compares two node masks voxel by voxel.

    Args:
        former: (x, y, z), nonzero inside nodes.
        current: Same shape and grid.

    Returns:
        The counts. A node split in two counts as two changed ones, two that grew together as one.
    """
    box = _box(former, current)
    before, n_before = _components(former[box])
    after, n_after = _components(current[box])
    both = (before > 0) & (after > 0)
    pairs, shared = np.unique(np.stack([before[both], after[both]]), axis=1, return_counts=True)
    size_before = np.bincount(before[before > 0], minlength=n_before + 1)
    size_after = np.bincount(after[after > 0], minlength=n_after + 1)
    same = int(((shared == size_before[pairs[0]]) & (shared == size_after[pairs[1]])).sum())
    touched_before, touched_after = len(np.unique(pairs[0])), len(np.unique(pairs[1]))
    return NodeChanges(
        added=n_after - touched_after,
        removed=n_before - touched_before,
        changed=touched_after - same,
        unchanged=same,
    )


def _box(*masks: np.ndarray) -> tuple[slice, ...]:
    """The part of the array that holds everything: a few nodes are far smaller than a CT."""
    ends = [mask_box(mask != 0) for mask in masks if mask.any()]
    if not ends:
        return (slice(0),) * 3
    start, stop = np.min([end[0] for end in ends], axis=0), np.max([end[1] for end in ends], axis=0)
    return tuple(slice(a, b) for a, b in zip(start, stop, strict=True))


def _components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    labels, count = ndimage.label(mask != 0, structure=np.ones((3, 3, 3)))
    return labels, int(count)
