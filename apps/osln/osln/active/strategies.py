"""Which cases to open next and which candidates to ask in each: pure functions, the same for the same seed.

Rules and figures behind them: docs/active-learning.md. A candidate that is decided is never asked again.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from osln.active.chance import beta, drawn, lot, noised
from osln.active.evidence import CandidateEvidence
from osln.active.pool import Pool, Query, Waiting
from osln.active.scores import disagreements, doubt, stratum
from osln.active.typical import typical

DEFAULT = "mixed"
STRATIFIED_SHARE = 0.66
"""Of `doubt`: share of the decisions that strata get in equal parts; the rest goes to windows first."""
TO_COMPLETE = "decided in part, and it judges networks: that takes all of its candidates"
NOT_LOOKED, NOTHING_LEFT = "no model has looked at it yet", "nothing is left to ask of what was found in it"
DOUBT_SHARE, CHANCE_SHARE = 0.2, 0.1
"""Of `mixed`: share of a case's decisions by doubt and by chance; the others are the likeliest."""


@dataclass(frozen=True)
class _Asked:
    """What every strategy is asked."""

    waiting: list[Waiting]
    pool: Pool
    seed: int
    round: int
    rounds: int
    count: int
    k: int

    def chance(self, one: Waiting) -> np.random.Generator:
        return drawn(self.seed, self.round, one.case)

    @property
    def by_chance(self) -> list[Waiting]:
        """All cases by chance; one that leaves the pool changes nothing in the order of the others."""
        return sorted(self.waiting, key=lambda one: lot(self.seed, self.round, one.case))

    def noised(self, one: Waiting, values: list[float]) -> list[float]:
        return noised(values, beta(self.round, self.rounds), self.chance(one))


def propose(name: str, pool: Pool, *, seed: int, round: int, rounds: int, count: int, k: int) -> list[Query]:
    """The cases that a strategy would open next.

    `count` is a number of cases for every strategy, so that at most `count` x `k` decisions are asked; for
    single candidates of many cases ask for k = 1. `random`, `first` and `diverse` ask for whole cases.

    Args:
        name: One of `STRATEGIES`.
        pool: What there is.
        seed: Of all chance.
        round: From 1 on; chance is another one in each, and less of it in later ones for `doubt` and `mixed`.
        rounds: How many are planned.
        count: Cases wanted.
        k: Decisions in a case at most.

    Returns:
        At most `count` queries, the best first, each case once. What has to be completed comes before all
        others; cases without the evidence that a strategy needs come last, by chance, and say so.

    Raises:
        ValueError: If the name is unknown or a number is below 1.
    """
    if name not in STRATEGIES:
        raise ValueError(f"there is no strategy {name!r}; the strategies are: {', '.join(STRATEGIES)}")
    for what, number in {"round": round, "rounds": rounds, "count": count, "k": k}.items():
        if number < 1:
            raise ValueError(f"{what} of a strategy must be 1 or more, not {number}")
    waiting = sorted(pool.waiting, key=lambda one: one.case)
    first = [_whole(one, float(len(one.open)), TO_COMPLETE) for one in waiting if one.to_complete]
    others = [one for one in waiting if not one.to_complete]
    return (first + STRATEGIES[name](_Asked(others, pool, seed, round, rounds, count, k)))[:count]


def _whole(one: Waiting, value: float, why: str) -> Query:
    """All that is open in a case, as the prediction lists it."""
    return Query(one.case, tuple(each.candidate for each in one.open), tuple(one.unseen), value, why)


def _random(asked: _Asked) -> list[Query]:
    """Whole cases by chance; the value is the probability of each."""
    share = 1 / len(asked.waiting) if asked.waiting else 0.0
    return [_whole(one, share, f"by chance out of {len(asked.waiting)}") for one in asked.by_chance]


def _first(asked: _Asked) -> list[Query]:
    """Whole cases by name; the value is the place in that order."""
    total = len(asked.waiting)
    return [
        _whole(one, float(place), f"number {place} of {total} by name")
        for place, one in enumerate(asked.waiting, start=1)
    ]


def _by_chance_instead(asked: _Asked, left: Sequence[Waiting], lacking: str = "") -> list[Query]:
    """What a strategy without its scores falls back to."""
    kept = {one.case for one in left}
    found = []
    for one in (one for one in asked.by_chance if one.case in kept):
        reason = lacking or (NOTHING_LEFT if one.evidence else NOT_LOOKED)
        found.append(_whole(one, 0.0, f"by chance out of {len(left)}: {reason}"))
    return found


def _scored(asked: _Asked) -> tuple[list[Waiting], list[Waiting]]:
    """Cases in which something can be asked, and the others."""
    usable = [one for one in asked.waiting if one.open]
    return usable, [one for one in asked.waiting if not one.open]


def _likeliest(asked: _Asked) -> list[Query]:
    """The k likeliest candidates of cases by chance; the value is how many nodes are expected among them."""
    usable, left = _scored(asked)
    known = {one.case for one in usable}
    found = []
    for one in [one for one in asked.by_chance if one.case in known][: asked.count]:
        best = sorted(one.open, key=lambda each: -each.probability)[: asked.k]
        value = sum(each.probability for each in best)
        why = f"{_chosen(usable)}its {_likely(best)} hold {value:.1f} nodes by their scores"
        found.append(Query(one.case, _numbers(best), (), value, why))
    return found + _by_chance_instead(asked, left)


def _chosen(usable: Sequence[Waiting]) -> str:
    return "" if len(usable) == 1 else f"by chance out of {len(usable)}; "


def _likely(best: Sequence[CandidateEvidence]) -> str:
    return "likeliest candidate" if len(best) == 1 else f"{len(best)} likeliest candidates"


def _numbers(candidates: Sequence[CandidateEvidence]) -> tuple[int, ...]:
    return tuple(one.candidate for one in candidates)


def _mixed(asked: _Asked) -> list[Query]:
    """Of cases by chance the likeliest, some in doubt and some by chance; the value is the nodes expected."""
    usable, left = _scored(asked)
    known = {one.case for one in usable}
    found = []
    for one in [one for one in asked.by_chance if one.case in known][: asked.count]:
        chosen = _mix(one, asked)
        value = sum(each.probability for each in chosen)
        why = (
            f"{_chosen(usable)}{len(chosen)} of its {len(one.open)} open candidates "
            f"are asked, {value:.1f} of them nodes by their scores"
        )
        found.append(Query(one.case, _numbers(chosen), (), value, why))
    return found + _by_chance_instead(asked, left)


def _mix(one: Waiting, asked: _Asked) -> list[CandidateEvidence]:
    """At most k candidates of a case in the order to be asked: likeliest, in doubt, by chance."""
    by_doubt, by_chance = round(asked.k * DOUBT_SHARE), round(asked.k * CHANCE_SHARE)
    left = sorted(one.open, key=lambda each: -each.probability)
    chosen = left[: asked.k - by_doubt - by_chance]
    doubted = dict(zip(_numbers(left), asked.noised(one, [doubt(each) for each in left]), strict=True))
    rest = sorted(left[len(chosen) :], key=lambda each: -doubted[each.candidate])
    chosen, rest = chosen + rest[:by_doubt], rest[by_doubt:]
    order = asked.chance(one).permutation(len(rest))[:by_chance]
    return chosen + [rest[index] for index in order]


def _disagreement(asked: _Asked) -> list[Query]:
    """The k candidates of a case about which the networks disagree most; the value is the sum."""
    usable, left = _scored(asked)
    every = [(one, each) for one in usable for each in one.open]
    values = disagreements([each for _, each in every])
    told: dict[str, list[tuple[float, int]]] = {one.case: [] for one in usable}
    for (one, each), value in zip(every, values, strict=True):
        told[one.case].append((value, each.candidate))
    found = []
    for case, entries in told.items():
        best = sorted(entries, key=lambda entry: (-entry[0], entry[1]))[: asked.k]
        value = sum(entry[0] for entry in best)
        why = (
            f"its networks disagree most: by {value:.2f}, summed over {len(best)} candidates (ranks, 0 to 1)"
        )
        found.append(Query(case, tuple(entry[1] for entry in best), (), value, why))
    found.sort(key=lambda query: (-query.value, query.case))
    return found + _by_chance_instead(asked, left)


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


def _doubt(asked: _Asked) -> list[Query]:
    """Candidates in doubt, from all strata alike, and windows; the value is the doubt of a case in bits.

    `count` x `k` places are taken from the whole pool as the published rule does it (ClaSP PE): a share in
    equal parts from the strata, the rest windows outside candidates and, where there are not enough,
    candidates of any stratum; at most k in a case. Cases follow by the noised sum of what was taken
    in them, and are filled with their own best up to k.
    """
    usable = [one for one in asked.waiting if one.open or one.unseen]
    left = [one for one in asked.waiting if not (one.open or one.unseen)]
    places = sorted((place for one in usable for place in _places(one, asked)), key=lambda one: -one.noised)
    taken = _taken(places, asked)
    own: dict[str, list[_Place]] = {one.case: [] for one in usable}
    for place in dict.fromkeys([*taken, *places]):
        if len(own[place.case]) < asked.k:
            own[place.case].append(place)
    weight = {case: sum(math.exp(place.noised) for place in asks) for case, asks in own.items()}
    asked_of = {place.case for place in taken}
    order = sorted(own, key=lambda case: (case not in asked_of, -weight[case], case))
    return [_in_doubt(case, own[case]) for case in order] + _by_chance_instead(asked, left)


def _places(one: Waiting, asked: _Asked) -> list[_Place]:
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


def _taken(places: list[_Place], asked: _Asked) -> list[_Place]:
    """At most count x k of these places, which are sorted, at most k in a case."""
    chance = np.random.default_rng([asked.seed, asked.round])
    by_group: dict[tuple[str, int], list[_Place]] = {}
    for place in places:
        if place.group is not None:
            by_group.setdefault(place.group, []).append(place)
    groups = sorted(by_group)
    strata = [by_group[groups[n]] for n in chance.permutation(len(groups))]
    windows = [place for place in places if place.kind == "window"]
    most = asked.count * asked.k
    batch = _Batch(asked.k)
    batch.take_in_turn(strata, int(STRATIFIED_SHARE * most))
    batch.take_in_turn([windows], most)
    batch.take_in_turn([places], most)
    return list(batch.taken)


class _Batch:
    """Places taken so far, nothing twice and at most k in a case."""

    def __init__(self, k: int) -> None:
        self.taken: dict[_Place, None] = {}
        self._k = k
        self._inside: Counter[str] = Counter()

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


def _diverse(asked: _Asked) -> list[Query]:
    """Whole cases that stand for kinds of which few are labeled; the value is the typicality."""
    known = [one for one in asked.waiting if one.descriptor is not None]
    left = [one for one in asked.waiting if one.descriptor is None]
    lacking = "nothing is known yet of what it looks like"
    if not known:
        return _by_chance_instead(asked, left, lacking)
    described = [asked.pool.labeled[case] for case in sorted(asked.pool.labeled)]
    points = np.array([one.descriptor for one in known] + described, dtype=float)
    labeled = np.arange(len(points)) >= len(known)
    found = [
        _whole(
            known[index],
            value,
            f"typical of cases of which few are labeled: typicality {value:.2f} among {len(known)}",
        )
        for index, value in typical(points, labeled, asked.count, asked.seed)
    ]
    return found + _by_chance_instead(asked, left, lacking)


STRATEGIES: dict[str, Callable[[_Asked], list[Query]]] = {
    "mixed": _mixed,
    "likeliest": _likeliest,
    "doubt": _doubt,
    "disagreement": _disagreement,
    "diverse": _diverse,
    "random": _random,
    "first": _first,
}
"""By name, the default first."""
