"""Figures of scored predictions on every resample of the patients, in one walk down the scores each."""

from collections.abc import Sequence

import numpy as np
from numba import njit

from osln.metrics.criteria import PAPER_AVERAGING, Averaging
from osln.metrics.froc import MFROC_FALSE_POSITIVES, Ranked

AT_THRESHOLD = ("recall", "precision", "f1_chosen")


def resampled_figures(
    ranked: Ranked,
    weights: np.ndarray,
    threshold: float,
    false_positives: Sequence[float] = MFROC_FALSE_POSITIVES,
    averaging: Averaging = PAPER_AVERAGING,
) -> dict[str, np.ndarray]:
    """Figures of D resamples: exactly those of `osln.metrics.froc` for each resampled list of patients.

    A score that no patient of a resample has repeats the point before it, so all resamples share one order.

    Args:
        ranked: Pairs of P patients.
        weights: (D, P) from `bootstrap.resamples`.
        threshold: Score chosen on other patients; NaN keeps no prediction, minus infinity all.
        false_positives: Per patient, ascending.
        averaging: Of the sensitivity.

    Returns:
        (D,) each: "f1" best F1; "recall", "precision" and "f1_chosen" at the threshold, pooled; "mfroc" and
        the sensitivity at each number of false positives under "2", "3", ... NaN where a resample has no
        nodes (precision: no predictions).
    """
    targets = np.asarray(false_positives, dtype=np.float64)
    if len(targets) == 0 or not np.isfinite(targets).all() or np.any(np.diff(targets, prepend=-1e-9) <= 0):
        raise ValueError(f"false positives per patient must ascend from 0, got {list(false_positives)}")
    gains, divisors = ranked.gains(averaging)
    weights = np.ascontiguousarray(weights, dtype=np.float64)
    nodes = weights @ ranked.n_nodes.astype(np.float64)
    pairs = (ranked.scores, ranked.hits, ranked.patients, ranked.last, gains)
    counts, sensitivity = _walk(*pairs, weights, nodes, weights @ divisors, threshold, targets)
    best, found, false = counts.T
    with np.errstate(invalid="ignore", divide="ignore"):
        at_threshold = {
            "recall": found / nodes,
            "precision": found / (found + false),
            "f1_chosen": np.where(nodes > 0, 2 * found / (found + false + nodes), np.nan),
        }
    names = (f"{target:g}" for target in targets)
    at_targets = dict(zip(names, sensitivity.T, strict=True))
    return {"f1": best, **at_threshold, "mfroc": sensitivity.mean(axis=1), **at_targets}


@njit(cache=True)
def _walk(  # type: ignore[no-untyped-def]
    scores, hits, patients, last, gains, weights, nodes, divisors, threshold, targets
):
    """Best F1, found and false at the threshold (D, 3), and the sensitivity at the targets (D, targets)."""
    counts = np.zeros((len(weights), 3))
    sensitivity = np.full((len(weights), len(targets)), np.nan)
    for draw in range(len(weights)):
        weight = weights[draw]
        n_patients = weight.sum()
        found = false = gained = 0.0
        rate = level = 0.0
        target = 0
        for k in range(len(scores)):
            one = weight[patients[k]]
            if hits[k]:
                found += one
                gained += one * gains[k]
            else:
                false += one
            if not last[k]:
                continue
            if scores[k] >= threshold:
                counts[draw, 1], counts[draw, 2] = found, false
            if nodes[draw] == 0:
                continue
            counts[draw, 0] = max(counts[draw, 0], 2 * found / (found + false + nodes[draw]))
            next_rate, next_level = false / n_patients, gained / divisors[draw]
            # The same arithmetic as np.interp: the last point at or before the target, then its slope.
            while target < len(targets) and targets[target] < next_rate:
                if targets[target] == rate:
                    sensitivity[draw, target] = level
                else:
                    slope = (next_level - level) / (next_rate - rate)
                    sensitivity[draw, target] = slope * (targets[target] - rate) + level
                target += 1
            rate, level = next_rate, next_level
        if nodes[draw] == 0:
            counts[draw, 0] = np.nan
        else:
            sensitivity[draw, target:] = level
    return counts, sensitivity
