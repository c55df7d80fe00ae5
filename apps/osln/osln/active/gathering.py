"""Evidence out of what was found: a second look at arrays that are there, no network is asked again."""

import numpy as np

from osln.active.evidence import CandidateEvidence, CaseEvidence, WindowEvidence
from osln.imaging.grid import Grid
from osln.stage_one.candidates import Candidate, Detections

WINDOW_MM = 20.0
"""Edge of a window: a node and what is around it."""
MOST_WINDOWS = 5
LEAST_PROBABILITY = 0.01
"""Below it a voxel counts as certainly no node."""


def case_evidence(found: Detections, case: str, weights: str) -> CaseEvidence:
    """What a prediction leaves behind.

    Args:
        found: In a case, of any row.
        case: Its id.
        weights: Key of all versions that found it.
    """
    point = found.threshold if found.score_threshold is None else found.score_threshold
    candidates = tuple(_candidate(found, index) for index in range(len(found.candidates)))
    windows = doubtful_windows(found.prob, found.labels, found.column.grid)
    return CaseEvidence(case, weights, float(point), candidates, windows)


def _candidate(found: Detections, index: int) -> CandidateEvidence:
    one: Candidate = found.candidates[index]
    features = None if found.features is None else tuple(map(float, found.features[index]))
    return CandidateEvidence(
        candidate=one.id,
        score=_share(one.score),
        stage_one=_share(one.stage_one_score),
        stage_two=None if one.stage_two_score is None else _share(one.stage_two_score),
        streams={name: _share(mean) for name, mean in found.streams[index].items()},
        zone=one.zone or "unknown",
        size_mm=2 * one.radius_mm,
        center_mm=one.center_mm,
        features=features,
    )


def _share(value: float) -> float:
    # Rounding in half precision may leave the unit interval.
    return min(max(float(value), 0.0), 1.0)


def doubtful_windows(prob: np.ndarray, labels: np.ndarray, grid: Grid) -> tuple[WindowEvidence, ...]:
    """The cubes without a candidate in which the fused map is least sure: missed nodes hide there.

    Cubes of `WINDOW_MM` lie half a cube apart; of those that overlap only the most doubtful one is taken.

    Args:
        prob: (x, y, z) fused probability.
        labels: (x, y, z) label map of the candidates.
        grid: Of both.

    Returns:
        At most `MOST_WINDOWS`, by falling doubt; none where nothing is in doubt.
    """
    half = np.maximum(np.round(WINDOW_MM / 2 / np.asarray(grid.spacing_mm)).astype(int), 1)
    cells = np.maximum(-(-np.asarray(prob.shape) // half), 2)
    at = np.nonzero(prob > LEAST_PROBABILITY)
    p = prob[at].astype(np.float64)
    doubt = _summed(at, half, cells, _entropy(p))
    mean = _summed(at, half, cells, p)
    taken = np.nonzero(labels)
    free = _summed(taken, half, cells, np.ones(len(taken[0]))) == 0
    volume = 8 * int(half.prod())
    found: list[WindowEvidence] = []
    doubt = np.where(free, doubt, 0.0)
    while len(found) < MOST_WINDOWS and doubt.max() > 0:
        start = np.unravel_index(int(doubt.argmax()), doubt.shape)
        x, y, z = grid.index_to_mm((np.array(start) + 1) * half - 0.5)
        edge = float((2 * half * grid.spacing_mm).mean())
        share = _share(doubt[start] / volume)
        found.append(
            WindowEvidence((float(x), float(y), float(z)), edge, share, _share(mean[start] / volume))
        )
        doubt[tuple(slice(max(first - 1, 0), first + 2) for first in start)] = 0.0
    return tuple(found)


def _summed(
    at: tuple[np.ndarray, ...], half: np.ndarray, cells: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Sums over windows of 2 x 2 x 2 cells, one for each first cell."""
    places = np.ravel_multi_index([axis // size for axis, size in zip(at, half, strict=True)], tuple(cells))
    found = np.bincount(places, values, minlength=int(cells.prod())).reshape(cells)
    for axis in range(3):
        size = cells[axis]
        found = found.take(range(size - 1), axis) + found.take(range(1, size), axis)
    return found


def _entropy(p: np.ndarray) -> np.ndarray:
    inside = np.clip(p, 1e-9, 1 - 1e-9)
    return -inside * np.log2(inside) - (1 - inside) * np.log2(1 - inside)
