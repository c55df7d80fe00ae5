"""One run: label, learn, choose what to label next, and again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from osln.active.evidence import CaseEvidence
from osln.active.pool import Pool, Query, Waiting
from osln.metrics.froc import froc
from osln.metrics.matching import Scored
from osln.simulation.arms import Arm, Asked
from osln.simulation.cases import Case
from osln.simulation.learners import Learner, Scorer


@dataclass(frozen=True)
class Schedule:
    """How a run goes.

    Attributes:
        start: Whole cases that are labeled first, by chance.
        rounds: After the start.
        budget: Decisions of a round.
    """

    start: int = 3
    rounds: int = 6
    budget: int = 60


@dataclass(frozen=True)
class Point:
    """After a round; counts are from the beginning on.

    Attributes:
        judged: Candidates that were judged.
        added: Missed nodes that were added, in cases that were looked at as a whole.
        opened: Times that a case was opened.
        cases: Different cases among these.
        nodes: Judged candidates that are nodes.
        mfroc: On the test patients.
        test: Their (score, hit) pairs.
    """

    judged: int
    added: int
    opened: int
    cases: int
    nodes: int
    mfroc: float
    test: Sequence[Scored] = field(repr=False, default=())

    @property
    def decisions(self) -> int:
        """What a round's budget is about: candidates judged and missed nodes added."""
        return self.judged + self.added


@dataclass
class _Annotator:
    """Knows the truth, and what was asked so far."""

    cases: Mapping[str, Case]
    decided: dict[str, set[int]] = field(default_factory=dict)
    complete: set[str] = field(default_factory=set)
    opened: int = 0

    @property
    def known(self) -> dict[str, frozenset[int]]:
        """What a learner is told."""
        return {name: frozenset(indices) for name, indices in self.decided.items()}

    def judge(self, case: str, indices: Sequence[int], *, whole: bool) -> int:
        """Judges candidates of a case, and adds the missed nodes of a whole one; returns the decisions."""
        known = self.decided.setdefault(case, set())
        spent = len(set(indices) - known)
        known |= set(indices)
        if whole and case not in self.complete:
            self.complete.add(case)
            spent += self.cases[case].missed
        return spent

    def point(self, test: Sequence[Scored]) -> Point:
        return Point(
            judged=sum(map(len, self.decided.values())),
            added=sum(self.cases[case].missed for case in self.complete),
            opened=self.opened,
            cases=len(self.decided),
            nodes=sum(
                int((self.cases[case].truth[sorted(indices)] == 1).sum())
                for case, indices in self.decided.items()
            ),
            mfroc=froc(test).mean(),
            test=test,
        )


def run(
    cases: Mapping[str, Case],
    pool: Sequence[str],
    test: Sequence[str],
    arm: Arm,
    learner: Learner,
    schedule: Schedule,
    seed: int,
) -> Iterator[Point]:
    """The points of a run: after the start, then after each round, as long as there is something to ask.

    A case that was begun is finished as it was asked for; what that takes beyond the round's budget is taken
    from the next one.

    Args:
        cases: All, by name.
        pool: Those that may be labeled; the first ones are the start.
        test: Those that are judged by.
        arm: Chooses.
        learner: Learns from scratch after each round.
        schedule: How much is labeled when.
        seed: Of all chance besides that of the start.
    """
    annotator = _Annotator(cases)
    for name in pool[: schedule.start]:
        annotator.judge(name, range(len(cases[name].truth)), whole=True)
        annotator.opened += 1
    judges = [cases[name] for name in test]
    scorer = learner.learn(cases, annotator.known, seed)
    yield annotator.point(_scored(judges, scorer))
    left = 0
    for number in range(1, schedule.rounds + 1):
        left += schedule.budget
        asked = left
        while left > 0 and (spent := _ask(annotator, pool, arm, schedule, number, left, seed, scorer)):
            left -= spent
        if left == asked > 0:
            return
        # The network's first weights are the same in each round and for each arm of a seed.
        scorer = learner.learn(cases, annotator.known, seed)
        yield annotator.point(_scored(judges, scorer))


def _ask(
    annotator: _Annotator,
    pool: Sequence[str],
    arm: Arm,
    schedule: Schedule,
    number: int,
    budget: int,
    seed: int,
    scorer: Scorer,
) -> int:
    """One look at what the arm proposes, up to the budget; returns the decisions that were made."""
    cases = annotator.cases
    new = [cases[name] for name in pool if name not in annotator.decided]
    # Where every case was opened, the arms that leave some of it unknown go round once more.
    asked_of = new if new and not arm.again else [cases[name] for name in pool]
    waiting = [
        Waiting(
            one.name,
            scored_evidence(one, scores),
            frozenset(index + 1 for index in annotator.decided.get(one.name, ())),
            descriptor=one.looks,
        )
        for one, scores in zip(asked_of, scorer(asked_of), strict=True)
    ]
    labeled = {name: cases[name].looks for name in annotator.decided}
    truth = {name: cases[name].truth for name in pool}
    asked = Asked(Pool(waiting, labeled), truth, seed, number, schedule.rounds, budget)
    spent, seen = 0, set()
    for query in arm.queries(asked):
        if spent >= budget:
            break
        spent += _answer(annotator, query, first=query.case not in seen, whole=arm.whole)
        seen.add(query.case)
    return spent


def _answer(annotator: _Annotator, query: Query, *, first: bool, whole: bool) -> int:
    annotator.opened += first
    return annotator.judge(query.case, [number - 1 for number in query.candidates], whole=whole)


def _scored(cases: Sequence[Case], scorer: Scorer) -> list[Scored]:
    return [case.scored(scores) for case, scores in zip(cases, scorer(cases), strict=True)]


def scored_evidence(case: Case, scores: np.ndarray) -> CaseEvidence:
    """The evidence of a case under (m,) scores of stage two.

    Windows are left out: what they would find teaches stage one, which does not learn here.
    """
    told = [
        replace(one, score=float(value), stage_two=float(value))
        for one, value in zip(case.evidence.candidates, np.clip(scores, 0.0, 1.0), strict=True)
    ]
    return replace(case.evidence, candidates=tuple(told), windows=())
