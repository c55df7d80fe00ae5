"""Confidence intervals by resampling patients, paired between rows and averaged over seeds."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from osln.metrics.criteria import PAPER_AVERAGING, Averaging
from osln.metrics.definitions import Counts, macro_curves, mean_recall, recall_at_precision
from osln.metrics.froc import MFROC_FALSE_POSITIVES, Ranked
from osln.metrics.matching import Scored
from osln.metrics.resampling import resampled_figures
from osln.rows.experiments import OPERATING_PRECISION

DRAWS = 1000


@dataclass(frozen=True)
class Interval:
    """A figure with the 2.5 and 97.5 percentiles of its bootstrap distribution."""

    value: float
    low: float
    high: float


Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A figure of macro (recall, precision) curves, vectorized over leading axes."""


def recall_at_operating_precision(recall: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Recall at `OPERATING_PRECISION`."""
    return recall_at_precision(recall, precision, OPERATING_PRECISION)


METRICS: dict[str, Metric] = {"recall": recall_at_operating_precision, "mean_recall": mean_recall}


def resamples(patients: int | Sequence[Hashable], draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each of C cases is in each resample of the patients; all cases of a patient go together.

    Args:
        patients: The patient of each case; a number stands for so many patients of one case each.
        draws: How many resamples.
        seed: Of the draws.

    Returns:
        (draws, C); every row draws as many patients as there are.

    Raises:
        ValueError: No patient.
    """
    cases = range(patients) if isinstance(patients, int) else patients
    places = {patient: place for place, patient in enumerate(dict.fromkeys(cases))}
    if not places:
        raise ValueError("no patient to resample: give at least one")
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(places), size=(draws, len(places)))
    drawn = np.apply_along_axis(np.bincount, 1, picks, minlength=len(places)).astype(np.float64)
    return drawn[:, [places[patient] for patient in cases]]


def varied(draws: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Figures on resamples; NaN of a single patient: one drawn again says nothing of others.

    Args:
        draws: (D,) figures.
        weights: (D, C) from `resamples`; all cases of one patient are drawn together.
    """
    return np.full_like(draws, np.nan) if (weights == weights[:, :1]).all() else draws


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
        """95 % percentile interval; resamples without any node are left out, NaN if none is left.

        NaN also of a single patient, see `varied`.
        """
        if np.isnan(self.draws).all():
            return Interval(self.value, float("nan"), float("nan"))
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


def distribution(
    seeds: Sequence[Counts], metric: Metric, weights: np.ndarray, averaging: Averaging = PAPER_AVERAGING
) -> Distribution:
    """Figure of a row, averaged over its training seeds inside every resample of the patients.

    The interval thus speaks of other patients of the same kind; the spread over `per_seed` shows what
    another training would change.

    Args:
        seeds: Counts of the same patients in the same order, one for each training seed.
        metric: Figure of (recall, precision) curves, for instance `mean_recall`.
        weights: (D, C) from `resamples`; the same array for rows that are compared.
        averaging: Of the precision.
    """
    per_seed = np.array([float(metric(*macro_curves(counts, None, averaging))) for counts in seeds])
    draws = np.mean([metric(*macro_curves(counts, weights, averaging)) for counts in seeds], axis=0)
    return Distribution(float(per_seed.mean()), varied(draws, weights), per_seed)


CANDIDATE_METRICS = ("f1", "f1_chosen", "mfroc", *(f"{target:g}" for target in MFROC_FALSE_POSITIVES))
"""Figures of a row of Table 2; see `resampling.resampled_figures`."""


def candidate_distributions(
    seeds: Sequence[Sequence[Scored]], thresholds: Sequence[float], weights: np.ndarray
) -> dict[str, Distribution]:
    """Figures of a row of Table 2, averaged over its training seeds inside every resample; as `distribution`.

    Args:
        seeds: (score, hit) pairs of the same patients in the same order, for each training seed.
        thresholds: Score threshold of each seed, chosen on other patients; NaN keeps no candidate.
        weights: (D, C) from `resamples`; the same array for rows that are compared.
    """
    # The first line is the cohort itself.
    lines = np.vstack([np.ones(weights.shape[1]), weights])
    figures = [
        resampled_figures(Ranked.of(patients), lines, at)
        for patients, at in zip(seeds, thresholds, strict=True)
    ]
    found = {}
    for name in CANDIDATE_METRICS:
        per_seed, draws = np.split(np.stack([one[name] for one in figures], axis=1), [1])
        varying = varied(draws.mean(axis=1), weights)
        found[name] = Distribution(float(per_seed.mean()), varying, per_seed[0])
    return found
