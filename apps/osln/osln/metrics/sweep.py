"""Lesion counts of a probability map at many thresholds, in one pass over its voxels.

Recomputing the components of a map at each of many thresholds costs a labeling each. Here the voxels
enter a union-find structure from the highest probability down, so that every component's size and
sum are known at every threshold after a single pass.
"""

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from scipy import ndimage

from osln.imaging.instances import CONNECTIVITY, instances
from osln.metrics.assignment import best_prediction
from osln.metrics.criteria import PAPER, Criterion
from osln.metrics.matching import match, radius_fits

THRESHOLDS = 1 / (1 + np.exp(-np.linspace(-7.0, 14.0, 85)))
"""85 logit-spaced thresholds from 0.0009 to 0.9999992, with 0.5 among them.

Networks trained with a weight on node voxels answer with probabilities that crowd at both ends, and the
maximum over several of them the more: their precision of .15 may lie above 0.99. A grid that ends earlier
would take that precision for unreachable.
"""


@dataclass(frozen=True)
class Sweep:
    """Counts of one patient at each of T ascending thresholds.

    Attributes:
        true_predictions: (T,) predictions that count for at least one node.
        false_predictions: (T,) predictions that hit no node.
        hit_nodes: (T,) nodes that were found.
        n_nodes: Nodes of the patient.
    """

    true_predictions: np.ndarray
    false_predictions: np.ndarray
    hit_nodes: np.ndarray
    n_nodes: int

    def with_missed(self, number: int) -> "Sweep":
        """With nodes that no prediction could reach, for instance outside the searched field."""
        return replace(self, n_nodes=self.n_nodes + number)


def sweep(
    prob: np.ndarray,
    nodes: np.ndarray,
    thresholds: np.ndarray = THRESHOLDS,
    criterion: Criterion = PAPER,
    spacing_mm: np.ndarray | None = None,
) -> Sweep:
    """Match the 26-connected components of `prob >= threshold` to the nodes at every threshold.

    Each threshold gives what `matching.match` gives for the components and their mean probabilities.

    Args:
        prob: (X, Y, Z) probability of a node.
        nodes: (X, Y, Z) integer node instances, 0 is background.
        thresholds: (T,) ascending.
        criterion: Anything but the default costs a labeling of the map at each threshold.
        spacing_mm: (3,) voxel size, for criteria that need it.

    Returns:
        The counts; zeros where nothing reaches a threshold.

    Raises:
        ValueError: The maps differ in shape or the thresholds do not ascend.
    """
    if prob.shape != nodes.shape:
        raise ValueError(f"prob has shape {prob.shape} and nodes {nodes.shape}: bring both to one grid first")
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if thresholds.ndim != 1 or np.any(np.diff(thresholds) <= 0):
        raise ValueError("thresholds must be one ascending list without repeats")
    if criterion != PAPER:
        return _labeled_sweep(prob, nodes, thresholds, criterion, spacing_mm)
    return _joined_sweep(prob, nodes, thresholds)


def _joined_sweep(prob: np.ndarray, nodes: np.ndarray, thresholds: np.ndarray) -> Sweep:
    """The counts under the default criterion, by joining voxels from the highest probability down."""
    padded = np.pad(prob.astype(np.float32), 1)
    flat = padded.ravel()
    # Compared in float32 like the map itself: a voxel exactly on a threshold belongs to it.
    levels = thresholds.astype(np.float32)
    voxels = np.flatnonzero(flat >= levels[0])
    voxels = voxels[np.argsort(-flat[voxels], kind="stable")]
    values = flat[voxels]
    node_of = np.pad(nodes, 1).ravel()[voxels]
    node_labels, node_voxels = np.unique(nodes[nodes != 0], return_counts=True)
    offsets = _neighbor_offsets(padded.shape)

    position = np.full(flat.size, -1, dtype=np.int32)
    parent = np.arange(len(voxels), dtype=np.int32)
    size = np.ones(len(voxels), dtype=np.int64)
    total = values.astype(np.float64)
    inside_node = np.flatnonzero(node_of)
    counts = np.zeros((3, len(levels)), dtype=np.int64)
    components, start = 0, 0
    for level in range(len(levels) - 1, -1, -1):
        stop = int(np.searchsorted(-values, -levels[level], side="right"))
        components += _insert(voxels, start, stop, offsets, position, parent, size, total)
        start = stop
        reached = inside_node[: np.searchsorted(inside_node, stop)]
        if len(reached) == 0:
            counts[1, level] = components
            continue
        roots = _roots(reached, parent)
        pairs = np.unique(np.stack([roots, node_of[reached].astype(np.int64)]), axis=1)
        touched = np.searchsorted(node_labels, pairs[1])
        fits = radius_fits(size[pairs[0]], node_voxels[touched])
        predicted, index = np.unique(pairs[0][fits], return_inverse=True)
        means = total[predicted] / size[predicted]
        found_by = best_prediction(index, touched[fits], means, len(node_labels))
        found = found_by[found_by >= 0]
        counts[:, level] = len(np.unique(found)), components - len(predicted), len(found)
    return Sweep(counts[0], counts[1], counts[2], len(node_labels))


def _labeled_sweep(
    prob: np.ndarray,
    nodes: np.ndarray,
    thresholds: np.ndarray,
    criterion: Criterion,
    spacing_mm: np.ndarray | None,
) -> Sweep:
    """The counts by labeling and matching at every threshold, as slow as it is plain."""
    counts = np.zeros((3, len(thresholds)), dtype=np.int64)
    for level, threshold in enumerate(thresholds.astype(np.float32)):
        labels, n = ndimage.label(prob >= threshold, CONNECTIVITY)
        matching = match(labels, nodes, instances(labels).means(prob) if n else None, criterion, spacing_mm)
        found = (matching.found_by >= 0).sum()
        counts[:, level] = matching.true_positive.sum(), matching.false_positive.sum(), found
    return Sweep(counts[0], counts[1], counts[2], len(np.unique(nodes[nodes != 0])))


def _neighbor_offsets(shape: tuple[int, ...]) -> np.ndarray:
    """Flat index steps to the 26 neighbors in a padded array of `shape`."""
    steps = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij")).reshape(3, -1).T
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    flat = steps @ strides
    return flat[flat != 0]


@njit(cache=True)
def _find(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True)
def _insert(voxels, start, stop, offsets, position, parent, size, total):  # type: ignore[no-untyped-def]
    """Add voxels [start, stop) and join them to the neighbors present; returns the change of components."""
    change = 0
    for i in range(start, stop):
        position[voxels[i]] = i
        change += 1
        root = i
        for offset in offsets:
            neighbor = position[voxels[i] + offset]
            if neighbor < 0:
                continue
            other = _find(parent, neighbor)
            if other == root:
                continue
            if size[other] > size[root]:
                root, other = other, root
            parent[other] = root
            size[root] += size[other]
            total[root] += total[other]
            change -= 1
    return change


@njit(cache=True)
def _roots(indices, parent):  # type: ignore[no-untyped-def]
    out = np.empty(len(indices), dtype=np.int64)
    for k in range(len(indices)):
        out[k] = _find(parent, indices[k])
    return out
