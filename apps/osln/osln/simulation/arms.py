"""What is compared: the product's strategies, and controls of which some know what no product can."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from osln.active.pool import Pool, Query, Waiting
from osln.active.scores import doubt, entropy
from osln.active.strategies import propose

FOREGROUND_SHARE = 0.66
"""Of the oracle's decisions that are about true nodes."""


@dataclass(frozen=True)
class Asked:
    """What an arm is asked in a round.

    Attributes:
        pool: What waits.
        truth: (m,) of each case, in the order of its evidence; for the oracle alone.
        seed, round, rounds: Of the run.
        count: Decisions of the round.
    """

    pool: Pool
    truth: Mapping[str, np.ndarray]
    seed: int
    round: int
    rounds: int
    count: int

    def chance(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.round, 77])


@dataclass(frozen=True)
class Arm:
    """One way of choosing what to ask.

    Attributes:
        name: Key in `ARMS`.
        title: What reports say of it.
        strategy: Name in `STRATEGIES` or in `CONTROLS`.
        k: Candidates in a case at most, for a strategy; 1 asks candidate by candidate.
        salt: Another number is another chance of the same strategy.
        again: A case is asked about in several rounds, as long as something is left in it; else only once, as
            where a case that was submitted in part leaves the list.
    """

    name: str
    title: str
    strategy: str
    k: int = 10
    salt: int = 0
    again: bool = False

    @property
    def whole(self) -> bool:
        """Whether it asks for whole cases, so that the annotator also adds what no candidate hits."""
        return self.strategy in ("random", "first", "diverse")

    def queries(self, asked: Asked) -> Sequence[Query]:
        """What to ask, the best first; more than a round can pay."""
        if self.strategy in CONTROLS:
            return list(CONTROLS[self.strategy](asked, self.k))
        return propose(
            self.strategy,
            asked.pool,
            seed=asked.seed + 100_000 * self.salt,
            round=asked.round,
            rounds=asked.rounds,
            count=max(1, asked.count // 10 if self.whole else -(-asked.count // self.k)),
            k=self.k,
        )


def _each(pool: Pool) -> list[tuple[Waiting, int]]:
    """Every open candidate as a case and the index in its evidence."""
    return [
        (one, index)
        for one in pool.waiting
        for index, each in enumerate(one.evidence.candidates if one.evidence else ())
        if each.candidate not in one.decided
    ]


def _single(one: Waiting, index: int) -> Query:
    assert one.evidence is not None
    return Query(one.case, (one.evidence.candidates[index].candidate,), (), 0.0, "")


def _random_candidate(asked: Asked, k: int) -> Iterator[Query]:
    every = _each(asked.pool)
    for at in asked.chance().permutation(len(every)):
        yield _single(*every[at])


def _oracle(asked: Asked, k: int) -> Iterator[Query]:
    """True nodes for a share of the decisions, anything for the others: what a report that names the nodes
    would allow."""
    every, rng = _each(asked.pool), asked.chance()
    order = [every[at] for at in rng.permutation(len(every))]
    nodes = [entry for entry in order if asked.truth[entry[0].case][entry[1]] == 1]
    taken: set[tuple[str, int]] = set()
    queues = {True: iter(nodes), False: iter(order)}
    for _ in range(len(every)):
        first = bool(rng.random() < FOREGROUND_SHARE)
        for wanted in (first, False):
            found = next((e for e in queues[wanted] if (e[0].case, e[1]) not in taken), None)
            if found is not None:
                taken.add((found[0].case, found[1]))
                yield _single(*found)
                break


def _sorted_by(value: Callable[..., float]) -> Callable[[Asked, int], Iterator[Query]]:
    def control(asked: Asked, k: int) -> Iterator[Query]:
        every = _each(asked.pool)

        def of(entry: tuple[Waiting, int]) -> float:
            assert entry[0].evidence is not None
            return value(entry[0].evidence.candidates[entry[1]])

        yield from (_single(*entry) for entry in sorted(every, key=lambda entry: -of(entry)))

    return control


def _in_random_cases(
    value: Callable[[Waiting, np.random.Generator], np.ndarray],
) -> Callable[[Asked, int], Iterator[Query]]:
    """The k largest of each case, cases by chance."""

    def control(asked: Asked, k: int) -> Iterator[Query]:
        rng = asked.chance()
        usable = [one for one in asked.pool.waiting if one.open]
        for at in rng.permutation(len(usable)):
            one = usable[at]
            order = np.argsort(-value(one, rng), kind="stable")[:k]
            yield Query(one.case, tuple(one.open[index].candidate for index in order), (), 0.0, "")

    return control


CONTROLS: dict[str, Callable[[Asked, int], Iterator[Query]]] = {
    "random candidate": _random_candidate,
    "oracle": _oracle,
    "confident first": _sorted_by(lambda each: each.probability),
    "largest first": _sorted_by(lambda each: each.size_mm),
    "entropy": _sorted_by(lambda each: entropy(each.probability)),
    "doubt unstratified": _sorted_by(doubt),
    "likeliest by stage one": _in_random_cases(
        lambda one, rng: np.array([each.stage_one for each in one.open])
    ),
    "chance in cases": _in_random_cases(lambda one, rng: rng.random(len(one.open))),
}
"""Not offered by the product."""

RANDOM = "random"
"""The arm that others are compared with: whole cases by chance."""

ARMS = {
    arm.name: arm
    for arm in (
        Arm(RANDOM, "whole cases by chance", "random"),
        Arm("random-again", "the same with another chance: the noise", "random", salt=1),
        Arm("likeliest-5", "5 likeliest of cases by chance", "likeliest", 5),
        Arm("likeliest-10", "10 likeliest of cases by chance", "likeliest", 10),
        Arm("likeliest-15", "15 likeliest of cases by chance", "likeliest", 15),
        Arm("mixed-5", "mixed, 5 in a case", "mixed", 5),
        Arm("mixed-10", "mixed, 10 in a case", "mixed", 10),
        Arm("mixed-15", "mixed, 15 in a case", "mixed", 15),
        Arm("doubt-10", "doubt, 10 in a case", "doubt", 10),
        Arm("doubt-1", "doubt, candidate by candidate", "doubt", 1, again=True),
        Arm("disagreement-10", "disagreement, 10 in a case", "disagreement", 10),
        Arm("diverse", "diverse whole cases", "diverse"),
        Arm("oracle", "nodes for 66 % of decisions (knows the truth)", "oracle", 1, again=True),
        Arm("random-candidate", "candidates by chance", "random candidate", 1, again=True),
        Arm("confident", "most confident first", "confident first", 1, again=True),
        Arm("largest", "largest first", "largest first", 1, again=True),
        Arm("entropy", "largest entropy first", "entropy", 1, again=True),
        Arm("plain-doubt", "doubt without strata or noise", "doubt unstratified", 1, again=True),
        Arm("stage-one-10", "10 likeliest by stage one of cases by chance", "likeliest by stage one", 10),
        Arm("chance-10", "10 by chance of cases by chance", "chance in cases", 10),
    )
}
"""By name, the one that is compared with first."""
