"""Curves over the score threshold: FROC and F1, from (score, hit) pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from osln.metrics.criteria import PAPER_AVERAGING, Averaging
from osln.metrics.matching import Scored

MFROC_FALSE_POSITIVES = (2.0, 3.0, 4.0, 6.0)


@dataclass(frozen=True)
class Ranked:
    """The (score, hit) pairs of all patients by falling score.

    Attributes:
        scores: (k,) descending.
        hits: (k,) bool.
        patients: (k,) index of the patient.
        last: (k,) bool: the last of its score; points of a curve lie there, so that ties move together.
        n_nodes: (P,) nodes of each patient.
    """

    scores: np.ndarray
    hits: np.ndarray
    patients: np.ndarray
    last: np.ndarray
    n_nodes: np.ndarray

    @classmethod
    def of(cls, patients: Sequence[Scored]) -> "Ranked":
        """Pairs of P patients; those without nodes or predictions belong in the list too.

        Raises:
            ValueError: No patient.
        """
        if not patients:
            raise ValueError("no patient to evaluate: give at least one")
        scores = np.concatenate([one.scores for one in patients])
        order = np.argsort(-scores, kind="stable")
        scores = scores[order]
        last = np.ones(len(scores), dtype=bool)
        last[:-1] = scores[1:] != scores[:-1]
        return cls(
            scores=scores,
            hits=np.concatenate([one.hits for one in patients])[order],
            patients=np.repeat(np.arange(len(patients)), [len(one.scores) for one in patients])[order],
            last=last,
            n_nodes=np.array([one.n_nodes for one in patients], dtype=np.int64),
        )

    def gains(self, averaging: Averaging) -> tuple[np.ndarray, np.ndarray]:
        """(k,) what each pair adds to the sensitivity's numerator, and (P,) each patient to its divisor."""
        if averaging.sensitivity == "pooled":
            return self.hits.astype(np.float64), self.n_nodes.astype(np.float64)
        share = 1 / np.maximum(self.n_nodes, 1)
        return np.where(self.hits, share[self.patients], 0.0), (self.n_nodes > 0).astype(np.float64)


@dataclass(frozen=True)
class Froc:
    """Free-response curve from (0, 0) on, one point for each distinct score, descending.

    Attributes:
        false_positives: (k,) mean false positives per patient, ascending.
        sensitivity: (k,) pooled or macro; NaN if the cohort has no nodes.
        thresholds: (k,) score of each point, infinity for the first.
    """

    false_positives: np.ndarray
    sensitivity: np.ndarray
    thresholds: np.ndarray

    def at(self, false_positives: Sequence[float]) -> np.ndarray:
        """Sensitivity at mean false positives per patient, linear between points, clamped at the end."""
        return np.interp(false_positives, self.false_positives, self.sensitivity)

    def mean(self, false_positives: Sequence[float] = MFROC_FALSE_POSITIVES) -> float:
        """mFROC: mean sensitivity, by default at 2, 3, 4 and 6 false positives per patient."""
        return float(self.at(false_positives).mean())

    @property
    def clamped(self) -> bool:
        """The curve ends before 6 false positives per patient, so its last value stands in."""
        return bool(self.false_positives[-1] < max(MFROC_FALSE_POSITIVES))


def froc(patients: Sequence[Scored], averaging: Averaging = PAPER_AVERAGING) -> Froc:
    """FROC of a cohort; patients without nodes or predictions belong in the list too.

    >>> curve = froc([Scored(np.array([0.9, 0.8]), np.array([True, False]), n_nodes=2)])
    >>> curve.false_positives.tolist(), curve.sensitivity.tolist()
    ([0.0, 0.0, 1.0], [0.0, 0.5, 0.5])

    Args:
        patients: (score, hit) pairs and number of nodes of each.
        averaging: Says whether the sensitivity is pooled or the patients' mean.

    Raises:
        ValueError: No patient.
    """
    ranked = Ranked.of(patients)
    share, whole = ranked.gains(averaging)
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = np.concatenate([[0], np.cumsum(share)[ranked.last]]) / np.float64(whole.sum())
    false = np.cumsum(~ranked.hits)[ranked.last]
    return Froc(
        false_positives=np.concatenate([[0], false]) / len(patients),
        sensitivity=sensitivity,
        thresholds=np.concatenate([[np.inf], ranked.scores[ranked.last]]),
    )


@dataclass(frozen=True)
class BestF1:
    """Largest pooled F1 and the score threshold that gives it; NaN where there is none."""

    f1: float
    threshold: float


def best_f1(patients: Sequence[Scored]) -> BestF1:
    """Largest F1 over all score thresholds, found nodes as true positives.

    Raises:
        ValueError: No patient.
    """
    scores, values, n_nodes = _f1_curve(patients)
    if n_nodes == 0 or len(scores) == 0:
        return BestF1(np.nan if n_nodes == 0 else 0.0, np.nan)
    at = int(np.argmax(values))
    return BestF1(float(values[at]), float(scores[at]))


def _f1_curve(patients: Sequence[Scored]) -> tuple[np.ndarray, np.ndarray, int]:
    """Distinct scores descending, F1 down to each, and the number of nodes."""
    ranked = Ranked.of(patients)
    n_nodes = int(ranked.n_nodes.sum())
    found, false = np.cumsum(ranked.hits)[ranked.last], np.cumsum(~ranked.hits)[ranked.last]
    return ranked.scores[ranked.last], 2 * found / (found + false + n_nodes), n_nodes
