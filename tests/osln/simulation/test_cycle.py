"""Cycles of labeling and learning: what is counted, what is learned from, and the same for the same seed."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from osln.active.pool import Query
from osln.simulation.arms import ARMS
from osln.simulation.cycle import Annotator, Schedule, _ask, run
from osln.simulation.learners import LEARNERS, taught
from small import simulated

POOL = [f"case-{index:02d}" for index in range(8)]
TEST = [f"case-{index:02d}" for index in range(8, 12)]


@dataclass
class Noting:
    """Scores by the first number, and remembers what it was told."""

    told: list = field(default_factory=list)

    def learn(self, cases, decided, seed):
        self.told.append({name: set(indices) for name, indices in decided.items()})
        return lambda asked: [1 / (1 + np.exp(-case.numbers[:, 0])) for case in asked]


def points(arm: str, learner=None, schedule=None, seed: int = 0):
    cases = simulated.cohort(12)
    return list(run(cases, POOL, TEST, ARMS[arm], learner or Noting(), schedule or Schedule(2, 2, 4), seed))


def test_the_start_is_whole_cases_with_their_missed_nodes():
    first = points("likeliest-5")[0]

    # Cases 0 and 1: ten candidates each, two and three nodes, and one missed node in the second.
    assert (first.judged, first.added, first.opened, first.cases, first.nodes) == (20, 1, 2, 2, 5)
    assert first.decisions == 21


def test_the_likeliest_are_asked_and_the_rest_stays_unknown():
    learner = Noting()
    last = points("likeliest-5", learner, Schedule(2, 1, 5))[-1]

    (new,) = learner.told[-1].keys() - {"case-00", "case-01"}
    cases = simulated.cohort(12)
    assert learner.told[-1][new] == set(np.argsort(-cases[new].numbers[:, 0])[:5])
    assert (last.judged, last.added, last.cases) == (25, 1, 3)


def test_a_whole_case_is_finished_and_taken_from_the_next_round():
    found = points("random", schedule=Schedule(2, 3, 6))

    spent = [one.decisions - 21 for one in found]
    # A round of 6 opens one case of 10 or 11; the next has 12 - 10 = 2 left over and opens another.
    assert [one.cases for one in found] == [2, 3, 4, 4]
    assert spent[1] in (10, 11) and spent[2] in (20, 21, 22) and spent[3] == spent[2]


def test_a_learner_is_told_of_what_was_decided_alone_and_never_of_what_is_neither():
    cases = {"a": simulated.case("a", [1, 0, -1, 1])}

    numbers, truth = taught(cases, {"a": frozenset({0, 2})})
    assert truth.tolist() == [1]
    np.testing.assert_array_equal(numbers, cases["a"].numbers[[0]])


def test_without_a_node_stage_one_answers():
    cases = simulated.cohort(2)
    score = LEARNERS["numbers"].learn(cases, {"case-00": frozenset()}, 0)

    np.testing.assert_array_equal(score([cases["case-01"]])[0], cases["case-01"].stage_one)


@pytest.mark.parametrize("learner", ["numbers", "trees"])
def test_a_fast_learner_finds_what_tells_nodes(learner):
    cases = simulated.cohort(12)
    decided = {name: frozenset(range(10)) for name in POOL}
    scores = LEARNERS[learner].learn(cases, decided, 0)([cases[name] for name in TEST])

    truth = np.concatenate([cases[name].truth for name in TEST])
    joined = np.concatenate(scores)
    assert joined[truth == 1].mean() > joined[truth == 0].mean() + 0.15


@pytest.mark.slow
@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_runs_and_is_the_same_for_the_same_seed(arm):
    learner, schedule = LEARNERS["numbers"], Schedule(2, 2, 12)
    one = points(arm, learner, schedule, seed=3)
    other = points(arm, learner, schedule, seed=3)

    assert [(p.decisions, p.cases, p.mfroc) for p in one] == [(p.decisions, p.cases, p.mfroc) for p in other]
    assert one[-1].decisions > one[0].decisions
    assert one[-1].decisions - one[0].decisions <= 24 + 11


def test_the_oracle_sees_more_nodes_than_chance():
    schedule = Schedule(2, 1, 12)

    assert (
        points("oracle", schedule=schedule)[-1].nodes
        > points("random-candidate", schedule=schedule)[-1].nodes
    )


def test_a_pool_that_is_used_up_ends_the_run():
    found = points("random", schedule=Schedule(8, 3, 10))

    assert len(found) == 1
    assert found[0].judged == 80


def test_a_case_in_which_nothing_is_left_is_not_opened():
    # The last round asks for more than is left: all cases are looked through and none is opened again.
    last = points("random", schedule=Schedule(2, 3, 50))[-1]

    assert (last.judged, last.opened, last.cases) == (80, 8, 8)


def test_a_query_without_anything_open_costs_no_opening():
    annotator = Annotator({name: simulated.case(name, [1, 0]) for name in "ab"})
    annotator.judge("a", [0, 1], whole=False)
    annotator.open("a")

    class Asking:
        again = whole = False

        def queries(self, asked):
            return [
                Query("a", (1, 2), (), 0.0, ""),
                Query("b", (1,), (), 0.0, ""),
                Query("b", (2,), (), 0.0, ""),
            ]

    scorer = Noting().learn({}, {}, 0)
    assert _ask(annotator, ["a", "b"], Asking(), Schedule(), 1, 9, 0, scorer) == 2
    assert (annotator.opened, annotator.visited) == (2, {"a", "b"})
