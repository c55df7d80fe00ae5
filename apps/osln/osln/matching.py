"""Which predictions hit which nodes: the geometric half of the evaluation.

The statistics in `metrics` never see a voxel. What crosses over is, for each patient, a list of
(score, hit) pairs and the number of nodes.
"""

from dataclasses import dataclass

import numpy as np

RADIUS_RATIO = (0.5, 1.5)
"""Accepted predicted radius over node radius (paper, section 4.3)."""


@dataclass(frozen=True)
class Scored:
    """One patient as the statistics see it.

    Attributes:
        scores: (n,) float64, one entry for each hit node and each false positive.
        hits: (n,) bool, True for a hit node.
        n_nodes: Nodes of the patient, found or not.
    """

    scores: np.ndarray
    hits: np.ndarray
    n_nodes: int


@dataclass(frozen=True)
class Matching:
    """Fate of every prediction and every node of one patient.

    Attributes:
        prediction_labels: (p,) labels of the predictions, ascending.
        node_labels: (n,) labels of the nodes, ascending.
        scores: (p,) float64 score of each prediction.
        found_by: (n,) index into `prediction_labels` of the prediction that counts, -1 for a missed node.
        extra: (p,) bool: hits a node that a better prediction has taken; neither true nor false.
        radius_only: (n,) bool: missed although some prediction overlaps it, only for the radius rule.
    """

    prediction_labels: np.ndarray
    node_labels: np.ndarray
    scores: np.ndarray
    found_by: np.ndarray
    extra: np.ndarray
    radius_only: np.ndarray

    @property
    def true_positive(self) -> np.ndarray:
        """(p,) bool: the prediction counts for at least one node."""
        return np.isin(np.arange(len(self.prediction_labels)), self.found_by)

    @property
    def false_positive(self) -> np.ndarray:
        """(p,) bool: the prediction hits no node."""
        return ~self.true_positive & ~self.extra

    def scored(self) -> Scored:
        """The (score, hit) pairs: one for each found node, one for each false positive."""
        found = self.found_by[self.found_by >= 0]
        false = self.scores[self.false_positive]
        return Scored(
            scores=np.concatenate([self.scores[found], false]),
            hits=np.repeat([True, False], [len(found), len(false)]),
            n_nodes=len(self.node_labels),
        )


def radius_mm(volume_mm3: np.ndarray | float) -> np.ndarray:
    """Radius of the sphere of the same volume, (3V / 4 pi)^(1/3)."""
    return np.cbrt(np.asarray(volume_mm3, dtype=np.float64) * 3 / (4 * np.pi))


def radius_fits(predicted_voxels: np.ndarray, node_voxels: np.ndarray) -> np.ndarray:
    """Whether the predicted radius is within a factor of 0.5 to 1.5 of the node's, borders included.

    Radii of one grid are compared, so the volumes may be counts of voxels.
    """
    ratio = radius_mm(predicted_voxels) / radius_mm(node_voxels)
    low, high = RADIUS_RATIO
    rounding = 1e-9
    return (ratio >= low - rounding) & (ratio <= high + rounding)


@dataclass(frozen=True)
class Overlaps:
    """Which predictions share voxels with which nodes, before anything has a score.

    Attributes:
        prediction_labels: (p,) labels of the predictions, ascending.
        node_labels: (n,) labels of the nodes, ascending.
        predicted: (k,) prediction index of each overlapping pair.
        touched: (k,) node index of each pair.
        fits: (k,) bool: the pair's radii fit, so that it is a hit.
    """

    prediction_labels: np.ndarray
    node_labels: np.ndarray
    predicted: np.ndarray
    touched: np.ndarray
    fits: np.ndarray

    def matching(self, scores: np.ndarray | None = None) -> Matching:
        """The fates under these scores, one for each prediction label; all equal if omitted.

        Raises:
            ValueError: The number of scores is not that of the predictions.
        """
        values = np.ones(len(self.prediction_labels)) if scores is None else np.asarray(scores, np.float64)
        if len(values) != len(self.prediction_labels):
            raise ValueError(
                f"{len(values)} scores for {len(self.prediction_labels)} predictions: give one score for "
                "each label"
            )
        hits, hit_nodes = self.predicted[self.fits], self.touched[self.fits]
        found_by = best_prediction(hits, hit_nodes, values, len(self.node_labels))
        extra = np.zeros(len(values), dtype=bool)
        extra[hits] = True
        extra[found_by[found_by >= 0]] = False
        overlapped = np.zeros(len(self.node_labels), dtype=bool)
        overlapped[self.touched] = True
        return Matching(
            self.prediction_labels, self.node_labels, values, found_by, extra, overlapped & (found_by < 0)
        )


def match(predictions: np.ndarray, nodes: np.ndarray, scores: np.ndarray | None = None) -> Matching:
    """Match predicted instances to node instances.

    A prediction hits a node if they share a voxel and the radius of the prediction is 0.5 to 1.5
    times that of the node, radius meaning that of the sphere of the same volume. Overlap without a
    fitting radius is no hit: the prediction is a false positive (unless it hits another node) and
    the node stays missed. If several predictions hit one node the one with the highest score counts
    (the lowest label among equals) and the others are neither true nor false. A prediction that
    overlaps several nodes is tested with each on its own and may find all of them.

    Args:
        predictions: (X, Y, Z) integer instance labels, 0 is background.
        nodes: (X, Y, Z) integer instance labels on the same grid, 0 is background.
        scores: Score of each prediction in ascending order of its label; all equal if omitted.

    Returns:
        The matching; with no prediction or no node its arrays are empty.

    Raises:
        ValueError: The maps differ in shape, or the number of scores is not that of the predictions.

    Reference:
        The paper, section 4.3 (hit criterion).
    """
    return find_overlaps(predictions, nodes).matching(scores)


def find_overlaps(predictions: np.ndarray, nodes: np.ndarray) -> Overlaps:
    """The geometric part of `match`, which holds for any scores; arguments and errors as there."""
    if predictions.shape != nodes.shape:
        raise ValueError(f"predictions have shape {predictions.shape} and nodes {nodes.shape}: use one grid")
    inside = (predictions != 0) | (nodes != 0)
    p, n = predictions[inside], nodes[inside]
    prediction_labels, prediction_voxels = np.unique(p[p != 0], return_counts=True)
    node_labels, node_voxels = np.unique(n[n != 0], return_counts=True)
    both = (p != 0) & (n != 0)
    pairs = np.unique(np.stack([p[both], n[both]]).astype(np.int64), axis=1)
    predicted = np.searchsorted(prediction_labels, pairs[0])
    touched = np.searchsorted(node_labels, pairs[1])
    fits = radius_fits(prediction_voxels[predicted], node_voxels[touched])
    return Overlaps(prediction_labels, node_labels, predicted, touched, fits)


def best_prediction(
    predicted: np.ndarray, touched: np.ndarray, scores: np.ndarray, n_nodes: int
) -> np.ndarray:
    """For each node the hitting prediction with the highest score, the first among equals.

    Args:
        predicted: (k,) prediction index of each hit.
        touched: (k,) node index of each hit.
        scores: Score of every prediction.
        n_nodes: Number of nodes.

    Returns:
        (n_nodes,) prediction index, -1 where no prediction hits.
    """
    found_by = np.full(n_nodes, -1)
    worst_first = np.lexsort((-predicted, scores[predicted]))
    found_by[touched[worst_first]] = predicted[worst_first]
    return found_by
