"""What an annotator changed: nodes added, removed, reshaped and kept between two labels."""

from dataclasses import dataclass

import numpy as np

from osln.imaging.grid import mask_box
from osln.imaging.single_nodes import single_nodes


@dataclass(frozen=True)
class NodeChanges:
    """Numbers of nodes; a node is a 26-connected part of one value (`single_nodes`).

    Attributes:
        added: In the new label, sharing no voxel with a former node.
        removed: In the former label, sharing no voxel with a new node.
        changed: In the new label, sharing voxels with a former node but not the same set of voxels.
        unchanged: The same voxels in both.
    """

    added: int
    removed: int
    changed: int
    unchanged: int


def compare_nodes(former: np.ndarray, current: np.ndarray) -> NodeChanges:
    """Compares the single nodes of two labels voxel by voxel.

    Args:
        former: (x, y, z) mask, or map with a value for each node.
        current: Same shape and grid.

    Returns:
        The counts. A node split in two counts as two changed ones, two that grew together as one.
    """
    box = _box(former, current)
    before, n_before = single_nodes(former[box])
    after, n_after = single_nodes(current[box])
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
