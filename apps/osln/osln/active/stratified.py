"""Doubt from every kind of candidate alike: class-stratified predictive entropy with noise (ClaSP PE).

Zone and size stand in place of the classes of the published rule (arXiv 2601.13677).
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from osln.active.pool import Asked, Query, Waiting
from osln.active.scores import doubt, stratum

STRATIFIED_SHARE = 0.66
"""Share of the decisions that strata get in equal parts; the rest goes to windows first."""


def stratified(asked: Asked) -> list[Query]:
    """Cases with the candidates and windows in most doubt; the value is the doubt of a case in bits.

    `count` x `k` places are taken from the whole pool as the published rule does it (ClaSP PE): a share in
    equal parts from the strata, the rest windows outside candidates and, where there are not enough,
    candidates of any stratum; at most k in a case. Each case is filled up to k in the same way with its own.
    Cases follow by the noised sum of what is asked in them, those with a place of the whole pool first. Cases
    in which nothing is left to ask are left out.
    """
    usable = [one for one in asked.waiting if one.open or one.unseen]
    places = {one.case: _sorted(_places(one, asked)) for one in usable}
    pool = _Batch(asked.k)
    pool.fill(_sorted([one for by in places.values() for one in by]), asked.count * asked.k, _chance(asked))
    own = {case: _filled(case, by, pool, asked) for case, by in places.items()}
    weight = {case: sum(math.exp(place.noised) for place in asks) for case, asks in own.items()}
    asked_of = {place.case for place in pool.taken}
    order = sorted(own, key=lambda case: (case not in asked_of, -weight[case], case))
    return [_in_doubt(case, own[case]) for case in order]


@dataclass(frozen=True, eq=False)
class _Place:
    """A candidate or a window that may be asked about; each is one object, which is quicker to look up.

    Attributes:
        case: Of it.
        kind: "candidate" or "window".
        number: Of the candidate, or index of the window.
        group: Stratum of a candidate; None for a window.
        value: Doubt, bits.
        noised: Logarithm of the value with noise: what it is taken by.
    """

    case: str
    kind: str
    number: int
    group: tuple[str, int] | None
    value: float
    noised: float


def _places(one: Waiting, asked: Asked) -> list[_Place]:
    candidates, windows = one.open, one.unseen
    assert one.evidence is not None
    values = [doubt(each) for each in candidates] + [one.evidence.windows[n].doubt for n in windows]
    groups: list[tuple[str, int] | None] = [stratum(each) for each in candidates]
    kinds = [("candidate", each.candidate) for each in candidates] + [("window", n) for n in windows]
    noised_values = asked.noised(one, values)
    return [
        _Place(one.case, kind, number, group, value, noised_value)
        for (kind, number), group, value, noised_value in zip(
            kinds, groups + [None] * len(windows), values, noised_values, strict=True
        )
    ]


def _chance(asked: Asked) -> np.random.Generator:
    return np.random.default_rng([asked.seed, asked.round])


def _sorted(places: list[_Place]) -> list[_Place]:
    return sorted(places, key=lambda one: -one.noised)


def _filled(case: str, places: list[_Place], pool: "_Batch", asked: Asked) -> list[_Place]:
    """What is asked in a case: its places of the whole pool, then its own."""
    batch = _Batch(asked.k)
    batch.take_in_turn([[place for place in pool.taken if place.case == case]], asked.k)
    batch.fill(places, asked.k, _chance(asked))
    return list(batch.taken)


class _Batch:
    """Places taken so far, nothing twice and at most k in a case."""

    def __init__(self, k: int) -> None:
        self.taken: dict[_Place, None] = {}
        self._k = k
        self._inside: Counter[str] = Counter()

    def fill(self, places: Sequence[_Place], upto: int, chance: np.random.Generator) -> None:
        """Up to so many of these, which are sorted: a share of strata, then windows, then any."""
        by_group: dict[tuple[str, int], list[_Place]] = {}
        for place in places:
            if place.group is not None:
                by_group.setdefault(place.group, []).append(place)
        groups = sorted(by_group)
        strata = [by_group[groups[n]] for n in chance.permutation(len(groups))]
        self.take_in_turn(strata, int(STRATIFIED_SHARE * upto))
        self.take_in_turn([[place for place in places if place.kind == "window"]], upto)
        self.take_in_turn([places], upto)

    def take_in_turn(self, queues: Sequence[Sequence[_Place]], upto: int) -> None:
        """The first that can be taken of each queue in turn, until there are so many or none is left."""
        # A place that cannot be taken now never can be, so each queue is gone through once.
        turns = [iter(queue) for queue in queues]
        while turns and len(self.taken) < upto:
            turns = [turn for turn in turns if len(self.taken) >= upto or self._take(turn)]

    def _take(self, turn: Iterator[_Place]) -> bool:
        for place in turn:
            if place not in self.taken and self._inside[place.case] < self._k:
                self.taken[place] = None
                self._inside[place.case] += 1
                return True
        return False


def _in_doubt(case: str, asks: list[_Place]) -> Query:
    ordered = sorted(asks, key=lambda place: -place.value)
    value = sum(place.value for place in ordered)
    windows = tuple(place.number for place in ordered if place.kind == "window")
    also = f" and {len(windows)} places outside them" if windows else ""
    why = f"in doubt: {value:.2f} bits, summed over {len(ordered) - len(windows)} candidates{also}"
    candidates = tuple(place.number for place in ordered if place.kind == "candidate")
    return Query(case, candidates, windows, value, why)
