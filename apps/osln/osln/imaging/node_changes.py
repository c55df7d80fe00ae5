"""What an annotator changed: nodes added, removed, reshaped and kept between two labels."""

from dataclasses import dataclass

import numpy as np

from osln.imaging.grid import mask_box
from osln.imaging.instances import instances
from osln.imaging.single_nodes import single_nodes

CRUMB_VOXELS = 5
"""One stroke of an eraser over a node leaves as many; a node that somebody draws has more."""


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

    @property
    def nothing(self) -> bool:
        """Whether both labels have the same nodes, voxel by voxel."""
        return not (self.added or self.removed or self.changed)


def compare_nodes(former: np.ndarray, current: np.ndarray) -> NodeChanges:
    """Compares the single nodes of two labels voxel by voxel.

    Args:
        former: (x, y, z) mask, or map with a value for each node.
        current: Same shape and grid.

    Returns:
        The counts. A node split in two counts as two changed ones, two that grew together as one.
    """
    box = _box(former, current)
    return compare_values(single_nodes(former[box])[0], single_nodes(current[box])[0])


def crumbs(before: np.ndarray, after: np.ndarray) -> int:
    """How many nodes look like what an eraser left of a former one.

    Args:
        before, after: (x, y, z) maps with a value for each node, 0 outside.

    Returns:
        Nodes of at most `CRUMB_VOXELS` that lie within a former node of at least four times their size.
    """
    pairs, shared, size_before, size_after = _shared(before, after)
    of_before, of_after = size_before[pairs[0]], size_after[pairs[1]]
    left = (of_after <= CRUMB_VOXELS) & (shared == of_after) & (of_before >= 4 * of_after)
    return len(np.unique(pairs[1][left]))


def compare_values(before: np.ndarray, after: np.ndarray) -> NodeChanges:
    """As `compare_nodes`, but each value is one node, even if it lies in several parts.

    Args:
        before: (x, y, z) whole numbers, 0 outside nodes.
        after: Same shape and grid.
    """
    pairs, shared, size_before, size_after = _shared(before, after)
    same = int(((shared == size_before[pairs[0]]) & (shared == size_after[pairs[1]])).sum())
    touched_before, touched_after = len(np.unique(pairs[0])), len(np.unique(pairs[1]))
    return NodeChanges(
        added=np.count_nonzero(size_after) - touched_after,
        removed=np.count_nonzero(size_before) - touched_before,
        changed=touched_after - same,
        unchanged=same,
    )


@dataclass(frozen=True)
class NodePair:
    """A node in two labels.

    Attributes:
        before, after: Its value in each; None where it is not.
        voxels_before, voxels_after: Its size in each.
        dice: 2 x shared voxels over the sum of both sizes; 0 where it is in one label only.
        center: Voxel index of its center of mass, in the later label if it is there.
    """

    before: int | None
    after: int | None
    voxels_before: int
    voxels_after: int
    dice: float
    center: tuple[float, float, float]


def pair_nodes(before: np.ndarray, after: np.ndarray) -> list[NodePair]:
    """The nodes of two labels, each with the one of the other label that it is most like.

    A node belongs to one pair: pairs are made by falling Dice. Two labels without nodes give [].

    Args:
        before: (x, y, z) whole numbers, one value for each node.
        after: Same shape and grid.
    """
    pairs, shared, size_before, size_after = _shared(before, after)
    dice = 2 * shared / (size_before[pairs[0]] + size_after[pairs[1]])
    partner: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for index in np.argsort(-dice, kind="stable"):
        old, new = int(pairs[0][index]), int(pairs[1][index])
        if old not in taken and new not in partner:
            taken.add(old)
            partner[new] = old, float(dice[index])
    centers_before, centers_after = _centers(before), _centers(after)
    found = []
    for new in np.flatnonzero(size_after).tolist():
        like, likeness = partner.get(new, (None, 0.0))
        voxels = 0 if like is None else int(size_before[like])
        found.append(NodePair(like, new, voxels, int(size_after[new]), likeness, centers_after[new]))
    gone = [old for old in np.flatnonzero(size_before).tolist() if old not in taken]
    return found + [NodePair(old, None, int(size_before[old]), 0, 0.0, centers_before[old]) for old in gone]


def _shared(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(2, k) values that share voxels, (k,) how many, and the sizes by value of both labels."""
    box = _box(before, after)
    before, after = before[box], after[box]
    inside = (before != 0) | (after != 0)
    old, new = before[inside].astype(np.int64), after[inside].astype(np.int64)
    both = (old > 0) & (new > 0)
    pairs, shared = np.unique(np.stack([old[both], new[both]]), axis=1, return_counts=True)
    return pairs, shared, np.bincount(old[old > 0], minlength=1), np.bincount(new[new > 0], minlength=1)


def _centers(labels: np.ndarray) -> dict[int, tuple[float, float, float]]:
    found = instances(labels)
    sums = [np.bincount(found.owner, along, minlength=len(found.labels)) for along in found.index]
    means = (np.stack(sums, axis=1) / np.maximum(found.sizes, 1)[:, None]).tolist()
    return {int(value): tuple(mean) for value, mean in zip(found.labels, means, strict=True)}


def _box(*masks: np.ndarray) -> tuple[slice, ...]:
    """The part of the array that holds everything: a few nodes are far smaller than a CT."""
    ends = [mask_box(mask != 0) for mask in masks if mask.any()]
    if not ends:
        return (slice(0),) * 3
    start, stop = np.min([end[0] for end in ends], axis=0), np.max([end[1] for end in ends], axis=0)
    return tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
