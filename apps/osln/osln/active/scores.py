"""What one candidate is worth to be asked about, by several measures."""

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from osln.active.evidence import CandidateEvidence

SIZE_BORDERS_MM = (6.0, 10.0)
"""Between small, middle and large; 10 mm is where a node counts as enlarged."""
STAGE_TWO = "stage two"


def entropy(p: float) -> float:
    """Of a yes or no, in bits.

    >>> entropy(0.5), entropy(1.0)
    (1.0, 0.0)
    """
    if not 0.0 < p < 1.0:
        return 0.0
    return -p * math.log2(p) - (1.0 - p) * math.log2(1.0 - p)


def doubt(candidate: CandidateEvidence) -> float:
    """Probability times entropy, bits: most for doubtful ones that are rather nodes (.617 at p = .70)."""
    return candidate.probability * entropy(candidate.probability)


def stratum(candidate: CandidateEvidence) -> tuple[str, int]:
    """Zone and size (0 small, 1 middle, 2 large), in place of the classes of the published rule."""
    return candidate.zone, bisect_right(SIZE_BORDERS_MM, candidate.size_mm)


def disagreements(candidates: Sequence[CandidateEvidence]) -> list[float]:
    """In how far the networks disagree about each candidate, from 0 to 1.

    Two networks' probabilities mean different things (stage one has seen all of these above its operating
    point), so each network ranks the candidates that it has an opinion of; the largest difference between
    two ranks, as shares of the list, is the disagreement. 0 where fewer than two have an opinion.

    Args:
        candidates: All that are compared, of all cases.
    """
    opinions: dict[str, dict[int, float]] = {}
    for index, one in enumerate(candidates):
        second = {} if one.stage_two is None else {STAGE_TWO: one.stage_two}
        for network, value in {**one.streams, **second}.items():
            opinions.setdefault(network, {})[index] = value
    ranks: list[list[float]] = [[] for _ in candidates]
    for told in opinions.values():
        for index, rank in zip(told, _ranks(list(told.values())), strict=True):
            ranks[index].append(rank)
    return [max(one) - min(one) if one else 0.0 for one in ranks]


def _ranks(values: list[float]) -> list[float]:
    """Share of the other values that lie below each, equal ones counting half."""
    if len(values) == 1:
        return [0.5]
    found, ordered = np.asarray(values), np.sort(values)
    below, up_to = np.searchsorted(ordered, found, "left"), np.searchsorted(ordered, found, "right")
    shares: list[float] = (((below + up_to - 1) / 2) / (len(values) - 1)).tolist()
    return shares
