"""One run: label, learn, choose what to label next, and again."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
        opened: Times that a case was opened to decide something in it.
        cases: Different cases among these.
        nodes: Judged candidates that are nodes.
        mfroc: On the test patients.
        test: Their (score, hit) pairs.
        alone: mFROC of stage one's own scores on the same patients; NaN in files of former versions.
    """

    judged: int
    added: int
    opened: int
    cases: int
    nodes: int
    mfroc: float
    test: Sequence[Scored] = field(repr=False, default=())
    alone: float = math.nan

    @property
    def decisions(self) -> int:
        """What a round's budget is about: candidates judged and missed nodes added."""
        return self.judged + self.added

    @property
    def recall(self) -> float:
        """Share of the test patients' nodes that a candidate of stage one hits; NaN without nodes."""
        nodes = sum(one.n_nodes for one in self.test)
        return sum(int(one.hits.sum()) for one in self.test) / nodes if nodes else math.nan


@dataclass
class Annotator:
    """Knows the truth, and what was asked so far.

    Attributes:
        cases: As their candidates are.
        decided: By case that was opened, the indices of its candidates that were judged.
        complete: Cases that were looked at as a whole.
        visited: Cases that were opened to decide something.
        judged, added, opened, nodes: As in `Point`.
    """

    cases: Mapping[str, Case]
    decided: dict[str, set[int]] = field(default_factory=dict)
    complete: set[str] = field(default_factory=set)
    visited: set[str] = field(default_factory=set)
    judged: int = 0
    added: int = 0
    opened: int = 0
    nodes: int = 0

    @property
    def known(self) -> dict[str, frozenset[int]]:
        """What a learner is told."""
        return {name: frozenset(indices) for name, indices in self.decided.items()}

    def look(self, case: str) -> Case:
        """The candidates of a case as they are now."""
        return self.cases[case]

    def descriptor(self, case: str) -> tuple[float, ...]:
        """What `diverse` compares cases by."""
        return self.cases[case].looks

    def waiting(self, case: Case, scores: np.ndarray) -> Waiting:
        """A case under (m,) scores of stage two, as a strategy is told of it."""
        decided = frozenset(index + 1 for index in self.decided.get(case.name, ()))
        return Waiting(case.name, scored_evidence(case, scores), decided, descriptor=case.looks)

    def open(self, case: str) -> None:
        """Counts that a case was opened."""
        self.opened += 1
        self.visited.add(case)

    def answer(self, query: Query, *, whole: bool) -> int:
        """Answers what is asked in a case; returns the decisions that it took."""
        return self.judge(query.case, [number - 1 for number in query.candidates], whole=whole)

    def judge(self, case: str, indices: Iterable[int], *, whole: bool) -> int:
        """Judges candidates of a case, and adds the missed nodes of a whole one; returns the decisions."""
        seen, known = self.look(case), self.decided.setdefault(case, set())
        new = sorted(set(indices) - known)
        known |= set(new)
        self.judged += len(new)
        self.nodes += int((seen.truth[new] == 1).sum())
        if not whole or case in self.complete:
            return len(new)
        self.complete.add(case)
        self.added += seen.missed
        return len(new) + seen.missed

    def point(self, judges: Sequence[Case], scorer: Scorer) -> Point:
        """Where it stands, with the figures of the test patients."""
        test = [case.scored(scores) for case, scores in zip(judges, scorer(judges), strict=True)]
        return Point(
            judged=self.judged,
            added=self.added,
            opened=self.opened,
            cases=len(self.visited),
            nodes=self.nodes,
            mfroc=froc(test).mean(),
            alone=froc([case.scored(case.stage_one) for case in judges]).mean(),
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
    """The points of a run in which stage two alone learns, from scratch after each round.

    Args:
        cases: All, by name.
        learner: Learns what the annotator has decided.

    The others are those of `cycles`.
    """

    def learn(annotator: Annotator, number: int) -> Scorer:
        # The network's first weights are the same in each round and for each arm of a seed.
        return learner.learn(annotator.cases, annotator.known, seed)

    return cycles(Annotator(cases), learn, pool, test, arm, schedule, seed)


def cycles(
    annotator: Annotator,
    learn: Callable[[Any, int], Scorer],
    pool: Sequence[str],
    test: Sequence[str],
    arm: Arm,
    schedule: Schedule,
    seed: int,
) -> Iterator[Point]:
    """The points of a run: after the start, then after each round, as long as there is something to ask.

    A case that was begun is finished as it was asked for; what that takes beyond the round's budget is taken
    from the next one.

    Args:
        annotator: Has decided nothing yet.
        learn: Called with the annotator and the number of the round, 0 for the start; returns what scores
            candidates from then on.
        pool: Cases that may be labeled; the first ones are the start.
        test: Those that are judged by.
        arm: Chooses.
        schedule: How much is labeled when.
        seed: Of all chance besides that of the start.
    """
    for name in pool[: schedule.start]:
        annotator.judge(name, range(len(annotator.look(name).truth)), whole=True)
        annotator.open(name)
    scorer = learn(annotator, 0)
    yield annotator.point([annotator.look(name) for name in test], scorer)
    left = 0
    for number in range(1, schedule.rounds + 1):
        left += schedule.budget
        asked = left
        while left > 0 and (spent := _ask(annotator, pool, arm, schedule, number, left, seed, scorer)):
            left -= spent
        if left == asked > 0:
            return
        scorer = learn(annotator, number)
        yield annotator.point([annotator.look(name) for name in test], scorer)


def _ask(
    annotator: Annotator,
    pool: Sequence[str],
    arm: Arm,
    schedule: Schedule,
    number: int,
    budget: int,
    seed: int,
    scorer: Scorer,
) -> int:
    """One look at what the arm proposes, up to the budget; returns the decisions that were made."""
    new = [name for name in pool if name not in annotator.decided]
    # Where every case was opened, the arms that leave some of it unknown go round once more.
    asked_of = [annotator.look(name) for name in (new if new and not arm.again else pool)]
    waiting = [annotator.waiting(one, scores) for one, scores in zip(asked_of, scorer(asked_of), strict=True)]
    labeled = {name: annotator.descriptor(name) for name in annotator.decided}
    truth = {one.name: one.truth for one in asked_of}
    asked = Asked(Pool(waiting, labeled), truth, seed, number, schedule.rounds, budget)
    spent, seen = 0, set()
    for query in arm.queries(asked):
        if spent >= budget:
            break
        made = annotator.answer(query, whole=arm.whole)
        # What has nothing left to ask is not opened.
        if made and query.case not in seen:
            annotator.open(query.case)
            seen.add(query.case)
        spent += made
    return spent


def scored_evidence(case: Case, scores: np.ndarray) -> CaseEvidence:
    """The evidence of a case under (m,) scores of stage two.

    Windows are left out: what they would find teaches stage one, which does not learn in every lane.
    """
    told = [
        replace(one, score=float(value), stage_two=float(value))
        for one, value in zip(case.evidence.candidates, np.clip(scores, 0.0, 1.0), strict=True)
    ]
    return replace(case.evidence, candidates=tuple(told), windows=())
