"""Typical cases, each of another kind: the TypiClust rule (Hacohen et al., 2022)."""

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

MOST_CLUSTERS = 500
FEWEST_IN_CLUSTER = 5
"""A cluster must have more cases than this, as long as there is one that has."""
NEIGHBORS = 20


def typical(points: np.ndarray, labeled: np.ndarray, count: int, seed: int) -> list[tuple[int, float]]:
    """Cases that stand for kinds of which few are labeled yet.

    All are parted by k-means into as many clusters as are labeled and wanted. Clusters with few labeled cases
    come first, of those the larger ones; each gives its most typical case, then begins the next turn.

    Args:
        points: (n, d) descriptors, NaN where not known (counts as the mean).
        labeled: (n,) bool: cases that are labeled.
        count: How many are wanted.
        seed: Of the clustering.

    Returns:
        Index and typicality (1 / mean distance to the nearest neighbors, in SD of the pool) of at most
        `count` unlabeled cases, in the order in which they were taken.
    """
    scaled = _scaled(points)
    free = set(np.flatnonzero(~labeled).tolist())
    wanted = min(count, len(free))
    clusters = _clusters(scaled, min(int(labeled.sum()) + wanted, MOST_CLUSTERS, len(points)), seed)
    large = [one for one in clusters if len(one) > FEWEST_IN_CLUSTER and free & set(one)]
    usable = large or [one for one in clusters if free & set(one)]
    taken_in = {n: int(labeled[one].sum()) for n, one in enumerate(usable)}
    found: list[tuple[int, float]] = []
    while len(found) < wanted:
        open_ones = [n for n, one in enumerate(usable) if free & set(one)]
        if not open_ones:
            # What small clusters hold, after everything else.
            usable = [sorted(free)]
            taken_in, open_ones = {0: 0}, [0]
        best = min(open_ones, key=lambda n: (taken_in[n], -len(usable[n]), n))
        index, typicality = _most_typical(scaled, sorted(free & set(usable[best])))
        found.append((index, typicality))
        free.discard(index)
        taken_in[best] += 1
    return found


def _scaled(points: np.ndarray) -> np.ndarray:
    """Each column with mean 0 and SD 1; without spread, or unknown, 0."""
    known = np.isfinite(points)
    number = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, points, 0.0).sum(axis=0) / number
    centered = np.where(known, points - mean, 0.0)
    spread = np.sqrt((centered**2).sum(axis=0) / number)
    scaled: np.ndarray = centered / np.where(spread > 1e-9, spread, np.inf)
    return scaled


def _clusters(points: np.ndarray, count: int, seed: int) -> list[list[int]]:
    if count <= 1:
        return [list(range(len(points)))]
    unlike = len(np.unique(points, axis=0))
    with np.errstate(all="ignore"):
        _, owner = kmeans2(points, min(count, unlike), minit="++", seed=seed, missing="warn")
    found = [np.flatnonzero(owner == n).tolist() for n in range(count)]
    return [one for one in found if one]


def _most_typical(points: np.ndarray, among: list[int]) -> tuple[int, float]:
    """The point nearest to its neighbors; of equal ones the first."""
    if len(among) == 1:
        return among[0], 0.0
    apart = np.sort(cdist(points[among], points[among]), axis=1)
    neighbors = max(1, min(NEIGHBORS, len(among) // 2))
    mean = apart[:, 1 : neighbors + 1].mean(axis=1)
    best = int(np.argmin(mean))
    return among[best], float(1.0 / (mean[best] + 1e-5))
