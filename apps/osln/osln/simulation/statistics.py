"""Figures of runs and how far they can be believed: curves over decisions, seeds and patients resampled."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

DRAWS = 2000
"""Resamples of the seeds."""
SHARES = (0.90, 0.95)
"""Of what the full pool gives."""


@dataclass(frozen=True)
class Curve:
    """A figure over what it took, of one run.

    Attributes:
        costs: (k,) rising.
        values: (k,) at them.
    """

    costs: np.ndarray
    values: np.ndarray

    def at(self, costs: np.ndarray) -> np.ndarray:
        """Values between the points, the last one beyond them: a run that has nothing left to ask stays."""
        return np.interp(costs, self.costs, self.values)


def mean_over_rounds(curve: Curve, budget: float, rounds: int) -> float:
    """Mean of a curve after so many budgets from its first point on; that point is not counted.

    >>> mean_over_rounds(Curve(np.array([10.0, 20.0, 30.0]), np.array([0.0, 0.5, 0.7])), 10, 2)
    0.6
    """
    return float(curve.at(curve.costs[0] + budget * np.arange(1, rounds + 1)).mean())


def reaches(costs: np.ndarray, values: np.ndarray, target: float) -> float:
    """First cost at which a curve has a value, straight between its points; infinity if it never does.

    >>> reaches(np.array([0.0, 10.0]), np.array([0.2, 0.6]), 0.5)
    7.5
    """
    if values[0] >= target:
        return float(costs[0])
    above = np.flatnonzero(values >= target)
    if not len(above):
        return math.inf
    last = int(above[0])
    low, high = values[last - 1], values[last]
    share = (target - low) / (high - low)
    return float(costs[last - 1] + share * (costs[last] - costs[last - 1]))


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; a bound may be infinite, and the figure too."""

    value: float
    low: float
    high: float


def paired(differences: Sequence[float]) -> Estimate:
    """Mean of paired differences with the 95 % interval of Student's t; NaN bounds for a single one.

    >>> paired([0.0, 0.2]).value
    0.1
    """
    given = np.asarray(differences, dtype=float)
    mean = float(given.mean())
    if len(given) < 2:
        return Estimate(mean, math.nan, math.nan)
    half = float(stats.t.ppf(0.975, len(given) - 1) * given.std(ddof=1) / math.sqrt(len(given)))
    return Estimate(mean, mean - half, mean + half)


def by_seed_and_patient(differences: np.ndarray, resampled: np.ndarray) -> Estimate:
    """Mean of paired differences, with a 95 % interval over seeds and over the patients that they share.

    The variances over seeds and over patients are added, and the quantile is that of Student's t over seeds:
    a little too wide, since a seed also draws patients, but not too narrow with few seeds, as resampling them
    is (of 4 seeds: 81 % instead of 95 %).

    Args:
        differences: (S,) of each seed; the bounds are NaN for a single one.
        resampled: (S, D) the same on resamples of the patients, one of which is the same for all seeds; NaN
            where it has no figure.
    """
    mean = float(differences.mean())
    known = ~np.isnan(resampled).all(axis=0)
    if len(differences) < 2 or not known.any():
        return Estimate(mean, math.nan, math.nan)
    over_patients = float(np.nanmean(resampled[:, known], axis=0).var())
    error = math.sqrt(float(differences.var(ddof=1)) / len(differences) + over_patients)
    half = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    return Estimate(mean, mean - half, mean + half)


def p_value(differences: Sequence[float]) -> float:
    """Two-sided, of the paired t-test; 1 for equal runs or a single one."""
    given = np.asarray(differences, dtype=float)
    if len(given) < 2 or np.allclose(given, given[0], atol=1e-12):
        return 1.0 if len(given) < 2 or abs(given[0]) < 1e-12 else 0.0
    return float(stats.ttest_1samp(given, 0.0).pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted for testing them all (Holm 1979).

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'c': 0.06, 'b': 0.06}
    """
    found, least = {}, 0.0
    for place, (name, value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        least = max(least, min(1.0, value * (len(p_values) - place)))
        found[name] = least
    return found


def resampled_seeds(count: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(draws, count) indices."""
    return np.random.default_rng(seed).integers(count, size=(draws, count))


@dataclass(frozen=True)
class Arrival:
    """When the mean curve of an arm has a share of what the full pool gives.

    Attributes:
        cost: Of the mean curve; infinity if it never has.
        low, high: 95 % interval over resamples of the seeds, in which those that never arrive are infinite.
        never: Share of the resamples that never arrive.
        runs: Share of the single runs that arrive.
    """

    cost: float
    low: float
    high: float
    never: float
    runs: float


def arrivals(grid: np.ndarray, values: np.ndarray, full: np.ndarray, share: float) -> Arrival:
    """Arrival of an arm.

    Args:
        grid: (g,) costs from the start on.
        values: (S, g) of each seed's run.
        full: (S,) what the full pool gives in each.
        share: Of it.
    """
    costs = _resampled_costs(grid, values, full, share)
    low, high = _quantiles(costs)
    alone = [reaches(grid, one, share * top) for one, top in zip(values, full, strict=True)]
    return Arrival(
        cost=reaches(grid, values.mean(axis=0), share * float(full.mean())),
        low=low,
        high=high,
        never=float(np.isinf(costs).mean()),
        runs=float(np.isfinite(alone).mean()),
    )


@dataclass(frozen=True)
class Ratio:
    """What an arm takes to arrive, in parts of what another takes, with its 95 % interval over resamples.

    Attributes:
        value: Infinite where the arm never arrives.
        low, high: 0 and infinity where a resample leaves it open how small or large the ratio is.
        at_most: The other one never arrives: the value is only an upper bound.
    """

    value: float
    low: float
    high: float
    at_most: bool


def ratio(
    grid: np.ndarray,
    values: np.ndarray,
    than_grid: np.ndarray,
    than: np.ndarray,
    full: np.ndarray,
    share: float,
) -> Ratio:
    """What an arm takes to arrive, in parts of what another takes.

    Where only the other one never arrives, all that is known is that the ratio is smaller than with what it
    was watched for.

    Args:
        grid, values: Of the arm, as in `arrivals`.
        than_grid, than: Of the other one, same seeds.
        full, share: As in `arrivals`.
    """
    watched = float(than_grid[-1])

    def largest(one: float, other: float) -> float:
        return math.inf if math.isinf(one) else one / min(other, watched)

    level = share * float(full.mean())
    one, other = reaches(grid, values.mean(axis=0), level), reaches(than_grid, than.mean(axis=0), level)
    costs = _resampled_costs(grid, values, full, share)
    others = _resampled_costs(than_grid, than, full, share)
    most = np.array([largest(*pair) for pair in zip(costs, others, strict=True)])
    low, _ = _quantiles(np.where(np.isinf(others), 0.0, most))
    _, high = _quantiles(most)
    return Ratio(largest(one, other), low, high, math.isinf(other) and math.isfinite(one))


def _resampled_costs(grid: np.ndarray, values: np.ndarray, full: np.ndarray, share: float) -> np.ndarray:
    return np.array(
        [
            reaches(grid, values[chosen].mean(axis=0), share * float(full[chosen].mean()))
            for chosen in resampled_seeds(len(full))
        ]
    )


def _quantiles(costs: np.ndarray) -> tuple[float, float]:
    """2.5 and 97.5 %, by sorting, so that infinite ones keep their place."""
    ordered = np.sort(costs)
    last = len(ordered) - 1
    return float(ordered[math.floor(0.025 * last)]), float(ordered[math.ceil(0.975 * last)])
