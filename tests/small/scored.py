"""Small cohorts of (score, hit) pairs, made by hand."""

from collections.abc import Sequence

import numpy as np

from osln.metrics.matching import Scored


def scored(scores: list[float], hits: list[int], nodes: int) -> Scored:
    return Scored(np.array(scores, dtype=float), np.array(hits, dtype=bool), nodes)


def f1_at(patients: Sequence[Scored], threshold: float) -> float:
    """F1 of the predictions from a score on, counted patient by patient."""
    found = sum(int(one.hits[one.scores >= threshold].sum()) for one in patients)
    kept = sum(int((one.scores >= threshold).sum()) for one in patients)
    return 2 * found / (kept + sum(one.n_nodes for one in patients))


PATIENTS = [
    scored([0.9, 0.5, 0.8, 0.2], [1, 1, 0, 0], 3),
    scored([0.8, 0.7, 0.5, 0.5, 0.1], [0, 0, 1, 0, 0], 1),
    scored([], [], 2),
    scored([0.6, 0.6, 0.3, 0.3, 0.3, 0.3], [0, 0, 0, 0, 0, 0], 0),
    scored([0.95, 0.4], [1, 1], 2),
]
