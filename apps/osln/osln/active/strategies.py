"""Which cases to open next and which candidates to ask in each: pure functions, the same for the same seed.

Rules and figures behind them: docs/active-learning.md. A candidate that is decided is never asked again.
"""

from collections.abc import Callable, Sequence

import numpy as np

from osln.active.evidence import CandidateEvidence
from osln.active.pool import Asked, Pool, Query, Waiting
from osln.active.scores import disagreements, doubt
from osln.active.stratified import stratified
from osln.active.typical import typical

DEFAULT = "mixed"
TO_COMPLETE = "decided in part, and it judges networks: that takes all of its candidates"
NOT_LOOKED, NOTHING_LEFT = "no model has looked at it yet", "nothing is left to ask of what was found in it"
DOUBT_SHARE, CHANCE_SHARE = 0.2, 0.1
"""Of `mixed`: share of a case's decisions by doubt and by chance; the others are the likeliest."""


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
    return (first + STRATEGIES[name](Asked(others, pool, seed, round, rounds, count, k)))[:count]


def _whole(one: Waiting, value: float, why: str) -> Query:
    """All that is open in a case, as the prediction lists it."""
    return Query(one.case, tuple(each.candidate for each in one.open), tuple(one.unseen), value, why)


def _random(asked: Asked) -> list[Query]:
    """Whole cases by chance; the value is the probability of each."""
    share = 1 / len(asked.waiting) if asked.waiting else 0.0
    return [_whole(one, share, f"by chance out of {len(asked.waiting)}") for one in asked.by_chance]


def _first(asked: Asked) -> list[Query]:
    """Whole cases by name; the value is the place in that order."""
    total = len(asked.waiting)
    return [
        _whole(one, float(place), f"number {place} of {total} by name")
        for place, one in enumerate(asked.waiting, start=1)
    ]


def _by_chance_instead(asked: Asked, left: Sequence[Waiting], lacking: str = "") -> list[Query]:
    """What a strategy without its scores falls back to."""
    kept = {one.case for one in left}
    found = []
    for one in (one for one in asked.by_chance if one.case in kept):
        reason = lacking or (NOTHING_LEFT if one.evidence else NOT_LOOKED)
        found.append(_whole(one, 0.0, f"by chance out of {len(left)}: {reason}"))
    return found


def _scored(asked: Asked) -> tuple[list[Waiting], list[Waiting]]:
    """Cases in which something can be asked, and the others."""
    usable = [one for one in asked.waiting if one.open]
    return usable, [one for one in asked.waiting if not one.open]


def _likeliest(asked: Asked) -> list[Query]:
    """The k likeliest candidates of cases by chance; the value is the sum of their scores."""
    usable, left = _scored(asked)
    known = {one.case for one in usable}
    found = []
    for one in [one for one in asked.by_chance if one.case in known][: asked.count]:
        best = sorted(one.open, key=lambda each: -each.probability)[: asked.k]
        value = sum(each.probability for each in best)
        why = f"{_chosen(usable)}its {_likely(best)} asked"
        found.append(Query(one.case, _numbers(best), (), value, why))
    return found + _by_chance_instead(asked, left)


def _chosen(usable: Sequence[Waiting]) -> str:
    return "" if len(usable) == 1 else f"by chance out of {len(usable)}; "


def _likely(best: Sequence[CandidateEvidence]) -> str:
    return "likeliest candidate is" if len(best) == 1 else f"{len(best)} likeliest candidates are"


def _numbers(candidates: Sequence[CandidateEvidence]) -> tuple[int, ...]:
    return tuple(one.candidate for one in candidates)


def _mixed(asked: Asked) -> list[Query]:
    """In cases by chance mostly the likeliest, see `_mix`; the value is the sum of scores."""
    usable, left = _scored(asked)
    known = {one.case for one in usable}
    found = []
    for one in [one for one in asked.by_chance if one.case in known][: asked.count]:
        parts = _mix(one, asked)
        chosen = [each for part in parts.values() for each in part]
        value = sum(each.probability for each in chosen)
        told = ", ".join(f"{len(part)} {name}" for name, part in parts.items() if part)
        why = f"{_chosen(usable)}{told} of its {len(one.open)} open candidates"
        found.append(Query(one.case, _numbers(chosen), (), value, why))
    return found + _by_chance_instead(asked, left)


def _mix(one: Waiting, asked: Asked) -> dict[str, list[CandidateEvidence]]:
    """At most k candidates of a case by why they are asked, in that order; a small k leaves parts empty."""
    by_doubt, by_chance = round(asked.k * DOUBT_SHARE), round(asked.k * CHANCE_SHARE)
    left = sorted(one.open, key=lambda each: -each.probability)
    likeliest = left[: asked.k - by_doubt - by_chance]
    doubted = dict(zip(_numbers(left), asked.noised(one, [doubt(each) for each in left]), strict=True))
    rest = sorted(left[len(likeliest) :], key=lambda each: -doubted[each.candidate])
    doubtful, rest = rest[:by_doubt], rest[by_doubt:]
    order = asked.chance(one).permutation(len(rest))[:by_chance]
    return {
        "likeliest": likeliest,
        "in doubt": doubtful,
        "by chance": [rest[index] for index in order],
    }


def _disagreement(asked: Asked) -> list[Query]:
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


def _doubt(asked: Asked) -> list[Query]:
    """Candidates in doubt, from all strata alike, and windows; the value is the doubt of a case in bits."""
    left = [one for one in asked.waiting if not (one.open or one.unseen)]
    return stratified(asked) + _by_chance_instead(asked, left)


def _diverse(asked: Asked) -> list[Query]:
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


STRATEGIES: dict[str, Callable[[Asked], list[Query]]] = {
    "mixed": _mixed,
    "likeliest": _likeliest,
    "doubt": _doubt,
    "disagreement": _disagreement,
    "diverse": _diverse,
    "random": _random,
    "first": _first,
}
"""By name, the default first."""
