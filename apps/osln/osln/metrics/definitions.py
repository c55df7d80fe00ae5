"""What every figure of a detection experiment means, and the figures of stage one.

Hits are found in `matching` (label maps) and `marks` (centers), curves over scores are in `froc`,
intervals in `bootstrap`. All of them hold to the words below; a variant, where there is one, is named in
brackets: a row of `criteria.CRITERIA` or of `criteria.AVERAGINGS`.

- *hit*: a prediction shares a voxel with a node [`iou-0.1`, `luna16`: other overlaps] and its radius is
  0.5 to 1.5 times the node's, borders included, radius meaning (3V / 4 pi)^(1/3) in mm, that of the
  sphere of the same volume [`radius-axial`, `radius-box`; `overlap`: any]. Overlap without the radius is
  a false positive and the node stays missed.
- *several predictions on one node*: the best counts, the others are neither true nor false [`one-to-one`:
  they are false]. One prediction over several nodes is tested with each on its own and may find all of
  them [`one-node`, `one-to-one`: at most one].
- *ignored findings*: a prediction that overlaps one, whatever its radius, and finds no node is neither
  true nor false, also where it would be false as the second on a node.
- *recall, precision of stage one*: the voxel threshold of the fused map is swept, components are
  recomputed, and both figures are averaged over patients: recall over patients with nodes, precision
  over patients with predictions [`all-patients`]. How many were left out is part of the result. Every
  prediction that finds a node counts once in this precision; in those over scores each found node counts.
- *recall at precision p*: the highest recall among the thresholds whose precision is at least p; 0 if
  no threshold is that precise. *mRecall*: its mean over p = .10, .11, ... .20.
- *FROC*: pooled sensitivity [`macro-froc`: mean of the patients' sensitivities] against mean false
  positives per patient at one threshold for all patients. Every distinct score is a point, equal scores
  move together, the lowest score is kept. Between points it is linear. Patients without nodes count in
  the divisor; a cohort without nodes has no sensitivity, NaN. *mFROC*: mean sensitivity at 2, 3, 4 and
  6; beyond the end of the curve the last value, and the result says so.
- *best F1*: maximum over the score threshold of the pooled F1, found nodes being the true positives;
  beside it F1 at a threshold that was chosen on other patients.
- *intervals*: 2.5 and 97.5 percentiles over resamples of the patients; differences are paired, that is
  made from the same resamples.

Reference:
    The paper, section 4.3; its silent points are settled as stated above.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from osln.metrics.criteria import PAPER_AVERAGING, Averaging
from osln.metrics.sweep import THRESHOLDS, Sweep
from osln.rows.experiments import OFFERED_PRECISIONS, OPERATING_PRECISION

MRECALL_PRECISIONS = np.linspace(0.10, 0.20, 11)


@dataclass(frozen=True)
class Counts:
    """Stage-one counts of P patients at T ascending thresholds.

    Attributes:
        true_predictions: (P, T) predictions that count for a node.
        false_predictions: (P, T) predictions that hit none.
        hit_nodes: (P, T) found nodes.
        n_nodes: (P,) nodes.
        thresholds: (T,).
    """

    true_predictions: np.ndarray
    false_predictions: np.ndarray
    hit_nodes: np.ndarray
    n_nodes: np.ndarray
    thresholds: np.ndarray

    @classmethod
    def of(cls, sweeps: Sequence[Sweep], thresholds: np.ndarray = THRESHOLDS) -> "Counts":
        """Stack one sweep per patient; all made with the same thresholds."""
        if not sweeps:
            raise ValueError("no patient to evaluate: give at least one")
        return cls(
            np.stack([s.true_predictions for s in sweeps]),
            np.stack([s.false_predictions for s in sweeps]),
            np.stack([s.hit_nodes for s in sweeps]),
            np.array([s.n_nodes for s in sweeps]),
            np.asarray(thresholds),
        )


def macro_curves(
    counts: Counts, weights: np.ndarray | None = None, averaging: Averaging = PAPER_AVERAGING
) -> tuple[np.ndarray, np.ndarray]:
    """Macro recall and macro precision at every threshold.

    Args:
        counts: Counts of P patients at T thresholds.
        weights: (..., P) how often each patient counts, for the bootstrap; once each if omitted.
        averaging: Says which patients the precision is averaged over.

    Returns:
        recall and precision, both (..., T); NaN where no patient has nodes or predictions.
    """
    w = np.ones(len(counts.n_nodes)) if weights is None else np.asarray(weights, dtype=np.float64)
    predictions = counts.true_predictions + counts.false_predictions
    predicted = predictions > 0
    with_nodes = counts.n_nodes > 0
    recalls = counts.hit_nodes / np.maximum(counts.n_nodes, 1)[:, None] * with_nodes[:, None]
    precisions = counts.true_predictions / np.maximum(predictions, 1)
    if averaging.precision == "all":
        precisions = np.where(predicted, precisions, ~with_nodes[:, None])
        predicted = np.ones_like(predicted)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = (w @ recalls) / (w @ with_nodes.astype(float))[..., None]
        precision = (w @ precisions) / (w @ predicted.astype(float))
    return recall, precision


def recall_at_precision(recall: np.ndarray, precision: np.ndarray, least: float) -> np.ndarray:
    """Highest recall among thresholds (last axis) with precision of at least `least`, 0 if there is none.

    Rounding of the division must not decide: a precision of exactly `least` counts. NaN if the cohort
    has no nodes.
    """
    best = np.where(precision >= least - 1e-12, recall, 0.0).max(axis=-1)
    return np.where(np.isnan(recall).any(axis=-1), np.nan, best)


def mean_recall(
    recall: np.ndarray, precision: np.ndarray, precisions: np.ndarray = MRECALL_PRECISIONS
) -> np.ndarray:
    """mRecall: recall at precision averaged over .10, .11, ... .20, or over other precisions."""
    return np.mean([recall_at_precision(recall, precision, p) for p in precisions], axis=0)


def operating_index(
    counts: Counts, least: float = OPERATING_PRECISION, averaging: Averaging = PAPER_AVERAGING
) -> int:
    """Index of the threshold with the highest macro recall at macro precision of at least `least`.

    Among equals the highest threshold, which gives the fewest false positives. Where no threshold is
    that precise, or there is no node to find, the same among the most precise ones.
    """
    recall, precision = macro_curves(counts, averaging=averaging)
    precision = np.nan_to_num(precision, nan=-1.0)
    usable = precision >= min(least - 1e-12, precision.max())
    value = np.where(usable, np.nan_to_num(recall), -1.0)
    return int(np.flatnonzero(value == value.max())[-1])


def operating_thresholds(counts: Counts) -> dict[str, float]:
    """Voxel threshold for each offered precision, as stored with the weights: {"0.15": .4, ...}."""
    return {
        name: float(counts.thresholds[operating_index(counts, value)])
        for name, value in OFFERED_PRECISIONS.items()
    }


@dataclass(frozen=True)
class StageOne:
    """Stage-one figures of a cohort and what they leave out.

    Attributes:
        recall: Recall at the operating precision.
        mean_recall: mRecall.
        threshold: Voxel threshold of the operating point.
        precision: Macro precision there.
        false_positives: Mean false positives per patient there.
        without_nodes: Patients left out of every recall.
        without_predictions: Patients without any at the operating point, left out of the precision unless
            the averaging counts them.
        reached: Whether any threshold has the operating precision.
    """

    recall: float
    mean_recall: float
    threshold: float
    precision: float
    false_positives: float
    without_nodes: int
    without_predictions: int
    reached: bool


def stage_one(counts: Counts, averaging: Averaging = PAPER_AVERAGING) -> StageOne:
    """All stage-one figures of one set of probability maps."""
    recall, precision = macro_curves(counts, averaging=averaging)
    at = operating_index(counts, averaging=averaging)
    predictions = counts.true_predictions + counts.false_predictions
    return StageOne(
        recall=float(recall_at_precision(recall, precision, OPERATING_PRECISION)),
        mean_recall=float(mean_recall(recall, precision)),
        threshold=float(counts.thresholds[at]),
        precision=float(precision[at]),
        false_positives=float(counts.false_predictions[:, at].mean()),
        without_nodes=int((counts.n_nodes == 0).sum()),
        without_predictions=int((predictions[:, at] == 0).sum()),
        reached=bool((precision >= OPERATING_PRECISION - 1e-12).any()),
    )
