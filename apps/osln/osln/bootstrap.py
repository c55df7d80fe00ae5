"""Confidence intervals by resampling patients, paired between rows and averaged over seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from osln.matching import Scored
from osln.metrics import (
    MFROC_FALSE_POSITIVES,
    OPERATING_PRECISION,
    Counts,
    macro_curves,
    mean_recall,
    recall_at_precision,
)

DRAWS = 1000
AT_ONCE = 100
"""Resamples whose curves are in memory together."""


@dataclass(frozen=True)
class Interval:
    """A figure with the 2.5 and 97.5 percentiles of its bootstrap distribution."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A figure of macro (recall, precision) curves, vectorized over leading axes."""


def recall_at_operating_precision(recall: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Recall at precision .15."""
    return recall_at_precision(recall, precision, OPERATING_PRECISION)


METRICS: dict[str, Metric] = {"recall": recall_at_operating_precision, "mean_recall": mean_recall}


def resamples(n_patients: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(draws, n_patients) how often each patient is in each resample; every row sums to n_patients."""
    if n_patients < 1:
        raise ValueError("no patient to resample: give at least one")
    rng = np.random.default_rng(seed)
    picks = rng.integers(n_patients, size=(draws, n_patients))
    return np.apply_along_axis(np.bincount, 1, picks, minlength=n_patients).astype(np.float64)


@dataclass(frozen=True)
class Distribution:
    """A row's figure on the cohort and on every resample; subtract two made with the same resamples.

    Attributes:
        value: Figure on the cohort itself.
        draws: (D,) figure on each resample.
        per_seed: (S,) figure on the cohort for each training seed.
    """

    value: float
    draws: np.ndarray
    per_seed: np.ndarray

    def interval(self) -> Interval:
        """95 % percentile interval; resamples without any node are left out."""
        low, high = np.nanpercentile(self.draws, [2.5, 97.5])
        return Interval(self.value, float(low), float(high))

    def __sub__(self, other: "Distribution") -> "Distribution":
        if self.draws.shape != other.draws.shape:
            raise ValueError("a paired difference needs the same resamples on both sides")
        if self.per_seed.shape == other.per_seed.shape:
            seeds = self.per_seed - other.per_seed
        else:
            seeds = np.array([])
        return Distribution(self.value - other.value, self.draws - other.draws, seeds)


def distribution(seeds: Sequence[Counts], metric: Metric, weights: np.ndarray) -> Distribution:
    """Figure of a row, averaged over its training seeds inside every resample of the patients.

    The interval thus speaks of other patients of the same kind; the spread over `per_seed` shows what
    another training would change.

    Args:
        seeds: Counts of the same patients in the same order, one for each training seed.
        metric: Figure of (recall, precision) curves, for instance `mean_recall`.
        weights: (D, P) from `resamples`; the same array for rows that are compared.
    """
    per_seed = np.array([float(metric(*macro_curves(counts))) for counts in seeds])
    draws = np.mean([metric(*macro_curves(counts, weights)) for counts in seeds], axis=0)
    return Distribution(float(per_seed.mean()), draws, per_seed)


@dataclass(frozen=True)
class FrocCounts:
    """What every patient of a cohort adds to the pooled counts at each of K descending scores.

    A resample of the patients is a weighted sum of it, and its curve is that of `metrics.froc` for the
    resampled list: a score that no patient of the resample has repeats the point before it.

    Attributes:
        scores: (K,) distinct scores of the cohort.
        found: (P, K) found nodes of each patient with this score or a higher one.
        false: (P, K) false positives.
        n_nodes: (P,) nodes.
    """

    scores: np.ndarray
    found: np.ndarray
    false: np.ndarray
    n_nodes: np.ndarray

    @classmethod
    def of(cls, patients: Sequence[Scored]) -> "FrocCounts":
        """Counts of P patients; those without nodes or predictions belong in the list too."""
        distinct = np.unique(np.concatenate([-one.scores for one in patients]))
        shape = (len(patients), len(distinct))
        found, false = np.zeros(shape), np.zeros(shape)
        for index, one in enumerate(patients):
            at = np.searchsorted(distinct, -one.scores)
            np.add.at(found[index], at[one.hits], 1)
            np.add.at(false[index], at[~one.hits], 1)
        nodes = np.array([one.n_nodes for one in patients], dtype=np.float64)
        return cls(-distinct, found.cumsum(axis=1), false.cumsum(axis=1), nodes)

    def figures(self, weights: np.ndarray, threshold: float) -> dict[str, np.ndarray]:
        """Figures of Table 2 for D resamples; NaN where a resample has no nodes.

        Args:
            weights: (D, P) from `resamples`.
            threshold: Score chosen on other patients.

        Returns:
            (D,) each: "f1" best F1, "f1_chosen" F1 at the threshold, "mfroc", and the sensitivity at 2, 3, 4
            and 6 false positives per patient under "2", "3", "4" and "6".
        """
        parts = [
            self._some(weights[start : start + AT_ONCE], threshold)
            for start in range(0, len(weights), AT_ONCE)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in CANDIDATE_METRICS}

    def _some(self, weights: np.ndarray, threshold: float) -> dict[str, np.ndarray]:
        zero = np.zeros((len(weights), 1))
        found = np.hstack([zero, weights @ self.found])
        false = np.hstack([zero, weights @ self.false])
        nodes = (weights @ self.n_nodes)[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = np.where(nodes > 0, 2 * found / (found + false + nodes), np.nan)
            curve = found / nodes
        rate = false / weights.sum(axis=1, keepdims=True)
        sensitivity = np.array(
            [
                np.interp(MFROC_FALSE_POSITIVES, rates, values)
                for rates, values in zip(rate, curve, strict=True)
            ]
        )
        kept = int((self.scores >= threshold).sum())
        at = {
            f"{target:g}": column for target, column in zip(MFROC_FALSE_POSITIVES, sensitivity.T, strict=True)
        }
        return {"f1": f1.max(axis=1), "f1_chosen": f1[:, kept], "mfroc": sensitivity.mean(axis=1), **at}


CANDIDATE_METRICS = ("f1", "f1_chosen", "mfroc", *(f"{target:g}" for target in MFROC_FALSE_POSITIVES))
"""Figures of a row of Table 2; see `FrocCounts.figures`."""


def candidate_distributions(
    seeds: Sequence[Sequence[Scored]], thresholds: Sequence[float], weights: np.ndarray
) -> dict[str, Distribution]:
    """Figures of a row of Table 2, averaged over its training seeds inside every resample; as `distribution`.

    Args:
        seeds: (score, hit) pairs of the same patients in the same order, for each training seed.
        thresholds: Score threshold of each seed, chosen on other patients; NaN keeps no candidate.
        weights: (D, P) from `resamples`; the same array for rows that are compared.
    """
    counts = [FrocCounts.of(patients) for patients in seeds]
    whole = np.ones((1, weights.shape[1]))
    single = [one.figures(whole, at) for one, at in zip(counts, thresholds, strict=True)]
    drawn = [one.figures(weights, at) for one, at in zip(counts, thresholds, strict=True)]
    found = {}
    for name in CANDIDATE_METRICS:
        per_seed = np.array([float(figures[name][0]) for figures in single])
        draws = np.mean([figures[name] for figures in drawn], axis=0)
        found[name] = Distribution(float(per_seed.mean()), draws, per_seed)
    return found
