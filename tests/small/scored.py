"""Small cohorts of (score, hit) pairs, made by hand."""

import numpy as np

from osln.metrics.matching import Scored


def scored(scores: list[float], hits: list[int], nodes: int) -> Scored:
    return Scored(np.array(scores, dtype=float), np.array(hits, dtype=bool), nodes)


PATIENTS = [
    scored([0.9, 0.5, 0.8, 0.2], [1, 1, 0, 0], 3),
    scored([0.8, 0.7, 0.5, 0.5, 0.1], [0, 0, 1, 0, 0], 1),
    scored([], [], 2),
    scored([0.6, 0.6, 0.3, 0.3, 0.3, 0.3], [0, 0, 0, 0, 0, 0], 0),
    scored([0.95, 0.4], [1, 1], 2),
]
