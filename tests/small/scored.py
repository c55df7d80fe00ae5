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


def finds(value: float | None, nodes: int = 10) -> Scored:
    """A patient of whose nodes this share is found without a false candidate; None: one without nodes."""
    if value is None:
        return Scored(np.zeros(0), np.zeros(0, dtype=bool), 0)
    found = round(value * nodes)
    return Scored(np.ones(found), np.ones(found, dtype=bool), nodes)


def shares(patients, found) -> dict:
    """Figures of patients that `finds` has made."""
    nodes = sum(one.n_nodes for one in found)
    return {
        "metric": sum(one.hits.sum() for one in found) / nodes if nodes else None,
        "cases": {
            one.case: {"found": one_found.hits.sum() / max(one_found.n_nodes, 1)}
            for one, one_found in zip(patients, found, strict=True)
        },
    }
