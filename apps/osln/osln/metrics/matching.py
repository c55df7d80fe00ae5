"""Which predictions hit which nodes: the geometric half of the evaluation.

The statistics in `froc` and `metrics` never see a voxel. What crosses over is, for each patient, a list
of (score, hit) pairs and the number of nodes. The words are defined in `osln.metrics.definitions`.
"""

from dataclasses import dataclass, replace

import numpy as np

from osln.imaging.instances import Instances, instances, radius_mm
from osln.metrics.assignment import best_prediction, one_for_each
from osln.metrics.criteria import PAPER, Criterion

RADIUS_RATIO = (0.5, 1.5)
"""Accepted predicted radius over node radius (paper, section 4.3)."""


@dataclass(frozen=True)
class Scored:
    """One patient as the statistics see it; also made by hand from anybody's (score, hit) pairs.

    Attributes:
        scores: (n,) float64, one entry for each found node and each false positive.
        hits: (n,) bool, True for a found node.
        n_nodes: Nodes of the patient, found or not.

    Raises:
        ValueError: Lengths differ, a score is not a number, or more nodes are found than there are.
    """

    scores: np.ndarray
    hits: np.ndarray
    n_nodes: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", np.asarray(self.scores, dtype=np.float64))
        object.__setattr__(self, "hits", np.asarray(self.hits, dtype=bool))
        if self.scores.shape != self.hits.shape or self.scores.ndim != 1:
            raise ValueError(
                f"{self.scores.shape} scores for {self.hits.shape} hits: give one score for each"
            )
        if np.isnan(self.scores).any():
            raise ValueError("a score is not a number: check the network's output before the evaluation")
        if self.hits.sum() > self.n_nodes:
            raise ValueError(
                f"{self.hits.sum()} hits for {self.n_nodes} nodes: list each found node once, with "
                "its best score"
            )


@dataclass(frozen=True)
class Matching:
    """Fate of every prediction and every node of one patient.

    Attributes:
        prediction_labels: (p,) labels of the predictions, ascending.
        node_labels: (n,) labels of the nodes, ascending.
        scores: (p,) float64 score of each prediction.
        found_by: (n,) index into `prediction_labels` of the prediction that counts, -1 for a missed node.
        extra: (p,) bool: neither true nor false, since it only hits nodes that better predictions have
            found, or a finding that is to be ignored.
        radius_only: (n,) bool: missed although some prediction overlaps it: no radius (or IoU) fits, or those
            that fit find another node and may find one only.
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

    def ignoring(self, hitting: np.ndarray) -> "Matching":
        """The same, with predictions that hit an ignored finding and find no node neither true nor false.

        Args:
            hitting: (p,) bool, as `Overlaps.hitting` gives it.
        """
        return replace(self, extra=self.extra | (hitting & ~self.true_positive))

    def scored(self) -> Scored:
        """The (score, hit) pairs: one for each found node, one for each false positive."""
        found = self.found_by[self.found_by >= 0]
        false = self.scores[self.false_positive]
        return Scored(
            scores=np.concatenate([self.scores[found], false]),
            hits=np.repeat([True, False], [len(found), len(false)]),
            n_nodes=len(self.node_labels),
        )


def ratio_fits(predicted_radius: np.ndarray, node_radius: np.ndarray) -> np.ndarray:
    """Whether the predicted radius is 0.5 to 1.5 times the node's, borders included."""
    ratio = predicted_radius / node_radius
    low, high = RADIUS_RATIO
    rounding = 1e-9
    return (ratio >= low - rounding) & (ratio <= high + rounding)


def radius_fits(predicted_voxels: np.ndarray, node_voxels: np.ndarray) -> np.ndarray:
    """`ratio_fits` for spheres of the same volume; of one grid, so that volumes may be counts of voxels."""
    return ratio_fits(radius_mm(predicted_voxels), radius_mm(node_voxels))


@dataclass(frozen=True)
class Overlaps:
    """Which predictions share voxels with which nodes, before anything has a score.

    Attributes:
        prediction_labels: (p,) labels of the predictions, ascending.
        node_labels: (n,) labels of the nodes, ascending.
        predicted: (k,) prediction index of each overlapping pair.
        touched: (k,) node index of each pair.
        fits: (k,) bool: the pair is a hit, its radii fit (and its IoU, where that is asked for).
    """

    prediction_labels: np.ndarray
    node_labels: np.ndarray
    predicted: np.ndarray
    touched: np.ndarray
    fits: np.ndarray

    @property
    def hitting(self) -> np.ndarray:
        """(p,) bool: the prediction hits something."""
        return np.isin(np.arange(len(self.prediction_labels)), self.predicted[self.fits])

    def with_missed(self, number: int) -> "Overlaps":
        """With nodes that no prediction could reach, for instance outside the searched field."""
        last = int(self.node_labels.max(initial=0))
        further = last + 1 + np.arange(number, dtype=self.node_labels.dtype)
        return replace(self, node_labels=np.concatenate([self.node_labels, further]))

    def matching(self, scores: np.ndarray | None = None, criterion: Criterion = PAPER) -> Matching:
        """The fates under these scores, one for each prediction label; all equal if omitted.

        Args:
            scores: (p,) score of each prediction.
            criterion: The one the overlaps were found with; says who finds a node that several hit.

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
        choose = one_for_each if criterion.one_node else best_prediction
        found_by = choose(hits, hit_nodes, values, len(self.node_labels))
        extra = np.zeros(len(values), dtype=bool)
        if criterion.extras == "ignored":
            extra[hits] = True
            extra[found_by[found_by >= 0]] = False
        overlapped = np.zeros(len(self.node_labels), dtype=bool)
        overlapped[self.touched] = True
        return Matching(
            self.prediction_labels, self.node_labels, values, found_by, extra, overlapped & (found_by < 0)
        )


def match(
    predictions: np.ndarray,
    nodes: np.ndarray,
    scores: np.ndarray | None = None,
    criterion: Criterion = PAPER,
    spacing_mm: np.ndarray | None = None,
) -> Matching:
    """Match predicted instances to node instances.

    By default a prediction hits a node if they share a voxel and the radius of the prediction is 0.5 to
    1.5 times that of the node, radius meaning that of the sphere of the same volume. Overlap without a
    fitting radius is no hit: the prediction is a false positive (unless it hits another node) and
    the node stays missed. If several predictions hit one node the one with the highest score counts
    (the lowest label among equals) and the others are neither true nor false. A prediction that
    overlaps several nodes is tested with each on its own and may find all of them.

    >>> predictions, nodes = np.array([[[1, 1, 0, 2]]]), np.array([[[0, 7, 7, 0]]])
    >>> match(predictions, nodes, np.array([0.9, 0.4])).scored()
    Scored(scores=array([0.9, 0.4]), hits=array([ True, False]), n_nodes=1)

    Args:
        predictions: (X, Y, Z) integer instance labels, 0 is background; any memory order.
        nodes: (X, Y, Z) integer instance labels on the same grid, 0 is background.
        scores: Score of each prediction in ascending order of its label; all equal if omitted.
        criterion: Row of `osln.metrics.criteria.CRITERIA`, or one made from it.
        spacing_mm: (3,) voxel size; only radii other than "sphere" need it.

    Returns:
        The matching; with no prediction or no node its arrays are empty.

    Raises:
        ValueError: The maps differ in shape, the number of scores is not that of the predictions, or the
            voxel size is needed.

    Reference:
        The paper, section 4.3 (hit criterion).
    """
    return find_overlaps(predictions, nodes, criterion, spacing_mm).matching(scores, criterion)


def find_overlaps(
    predictions: np.ndarray,
    nodes: np.ndarray,
    criterion: Criterion = PAPER,
    spacing_mm: np.ndarray | None = None,
) -> Overlaps:
    """The geometric part of `match`, which holds for any scores; arguments and errors as there."""
    if predictions.shape != nodes.shape:
        raise ValueError(f"predictions have shape {predictions.shape} and nodes {nodes.shape}: use one grid")
    found, true = instances(predictions), instances(nodes)
    predicted, touched, shared = _pairs(predictions, nodes, found, true, criterion)
    fits = np.ones(len(predicted), dtype=bool)
    if criterion.overlap == "iou":
        union = found.sizes[predicted] + true.sizes[touched] - shared
        fits &= shared >= criterion.least_iou * union - 1e-9
    if criterion.radius is not None:
        of_predictions, of_nodes = (one.radius_mm(criterion.radius, spacing_mm) for one in (found, true))
        fits &= ratio_fits(of_predictions[predicted], of_nodes[touched])
    return Overlaps(found.labels, true.labels, predicted, touched, fits)


def _pairs(
    predictions: np.ndarray, nodes: np.ndarray, found: Instances, true: Instances, criterion: Criterion
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prediction, node and common voxels of each overlapping pair, by prediction, then node."""
    if criterion.overlap == "center":
        value = nodes[tuple(found.centers().T)]
        predicted = np.flatnonzero(value)
        return predicted, np.searchsorted(true.labels, value[predicted]), np.ones(len(predicted))
    value = predictions[tuple(true.index)]
    inside = value != 0
    at = np.searchsorted(found.labels, value[inside]) * max(len(true.labels), 1) + true.owner[inside]
    pairs, shared = np.unique(at, return_counts=True)
    predicted, touched = np.divmod(pairs, max(len(true.labels), 1))
    return predicted, touched, shared
