"""How well a tagger tells the tags of lesions that it has not learned from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import rankdata

from osln.rows.tags import TAG_CLASSES, TAG_NAMES
from osln.tagging.lesion_set import LesionSet


def area_under_curve(scores: np.ndarray, holds: np.ndarray) -> float:
    """Chance that a lesion with the tag scores above one without; ties count half.

    Args:
        scores: (N,) numbers.
        holds: (N,) bool.

    Returns:
        NaN if the tag holds for none or for all.
    """
    positives = int(holds.sum())
    negatives = len(holds) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[holds].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def best_threshold(scores: np.ndarray, holds: np.ndarray) -> tuple[float, float]:
    """Lowest score at which a tag is said to hold so that F1 is largest, and that F1.

    Args:
        scores: (N,) probabilities.
        holds: (N,) bool.

    Returns:
        The threshold (scores from it on count) and F1; of equal ones the highest threshold. 1 and 0 if
        the tag never holds.
    """
    if not holds.any():
        return 1.0, 0.0
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    hits = np.cumsum(holds[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + holds.sum())
    # Equal scores are told together: only the last of each group is a possible cut.
    f1[:-1][ordered[:-1] == ordered[1:]] = -1
    best = int(f1.argmax())
    return float(ordered[best]), float(f1[best])


def tag_figures(probabilities: np.ndarray, lesions: LesionSet) -> dict[str, dict[str, float]]:
    """Figures of each tag that holds for some lesions and not for others; uncertain cells are left out.

    Args:
        probabilities: (N, 171).
        lesions: The N lesions.

    Returns:
        By tag: positives, negatives, auc, threshold (of the largest F1) and f1 at it.
    """
    figures = {}
    for i, name in enumerate(TAG_NAMES):
        known = lesions.certain[:, i]
        scores, holds = probabilities[known, i], lesions.labels[known, i]
        auc = area_under_curve(scores, holds)
        if np.isnan(auc):
            continue
        threshold, f1 = best_threshold(scores, holds)
        figures[name] = {
            "positives": int(holds.sum()),
            "negatives": int((~holds).sum()),
            "auc": auc,
            "threshold": threshold,
            "f1": f1,
        }
    return figures


def mean_auc(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Mean AUC over all tags and over those of each class; None where a class has no tag."""
    classes = sorted(set(TAG_CLASSES.values()))
    groups = {"all": list(figures)} | {
        one: [name for name in figures if TAG_CLASSES[name] == one] for one in classes
    }
    return {
        group: float(np.mean([figures[name]["auc"] for name in names])) if names else None
        for group, names in groups.items()
    }
