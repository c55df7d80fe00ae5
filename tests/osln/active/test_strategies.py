import math
from collections import Counter

import numpy as np
import pytest

from osln.active.evidence import CaseEvidence
from osln.active.strategies import DEFAULT, STRATEGIES, Pool, Query, Waiting, propose
from small.evidence import candidate, evidence

LAST = {"seed": 1, "round": 5, "rounds": 5}
"""A round with next to no noise (scale .01)."""


def waiting(case: str, probabilities: list[float], windows: list[float] = (), **more) -> Waiting:
    return Waiting(case, evidence(case, probabilities, windows), **more)


POOL = Pool([waiting("a", [0.9, 0.6, 0.1]), waiting("b", [0.99, 0.98]), waiting("c", [0.5, 0.5, 0.5, 0.5])])


def of_case(queries: list[Query], case: str) -> Query:
    (found,) = (query for query in queries if query.case == case)
    return found


def test_the_default_leads_the_list_of_strategies():
    assert next(iter(STRATEGIES)) == DEFAULT == "mixed"
    assert set(STRATEGIES) == {"random", "first", "doubt", "disagreement", "likeliest", "diverse", "mixed"}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_the_same_for_the_same_seed_whatever_the_order_of_the_pool(name):
    one = propose(name, POOL, seed=3, round=1, rounds=5, count=3, k=2)
    other = propose(name, Pool(list(reversed(POOL.waiting))), seed=3, round=1, rounds=5, count=3, k=2)

    assert one == other
    assert sorted(query.case for query in one) == ["a", "b", "c"]
    assert all(query.why and math.isfinite(query.value) for query in one)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_case_without_evidence_comes_by_chance_and_an_empty_pool_gives_nothing(name):
    (found,) = propose(name, Pool([Waiting("a")]), count=2, k=2, **LAST)

    assert (found.case, found.candidates, found.windows) == ("a", (), ())
    assert name == "first" or "by chance" in found.why
    assert name in ("first", "random", "diverse") or "no model has looked at it yet" in found.why
    assert propose(name, Pool([]), count=2, k=2, **LAST) == []


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_is_decided_is_never_asked(name):
    pool = Pool([waiting("a", [0.9, 0.6, 0.1], [0.5, 0.4], decided=frozenset({1, 3}), seen=frozenset({0}))])
    (found,) = propose(name, pool, count=1, k=5, **LAST)

    assert found.candidates == (2,)
    assert found.windows in ((), (1,))


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_has_to_be_completed_comes_first_with_all_that_is_open(name):
    pool = Pool([*POOL.waiting, waiting("z", [0.2, 0.1], decided=frozenset({1}), to_complete=True)])
    found = propose(name, pool, count=1, k=1, **LAST)

    assert [(query.case, query.candidates) for query in found] == [("z", (2,))]
    assert "all of its candidates" in found[0].why


def test_first_goes_by_name_and_tells_the_place():
    found = propose("first", POOL, count=2, k=1, **LAST)

    assert [(query.case, query.value) for query in found] == [("a", 1.0), ("b", 2.0)]
    assert found[0].candidates == (1, 2, 3) and found[1].why == "number 2 of 3 by name"


def test_random_takes_every_case_as_often_and_says_how_likely_it_was():
    counts = Counter(
        propose("random", POOL, seed=seed, round=1, rounds=5, count=1, k=1)[0].case for seed in range(300)
    )

    assert all(70 < counts[case] < 130 for case in "abc")
    assert propose("random", POOL, count=1, k=1, **LAST)[0].value == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", ["random", "likeliest", "mixed"])
def test_a_case_that_leaves_the_pool_changes_nothing_in_the_order_of_the_others(name):
    all_three = [query.case for query in propose(name, POOL, count=3, k=1, **LAST)]
    fewer = Pool([one for one in POOL.waiting if one.case != all_three[0]])

    assert [query.case for query in propose(name, fewer, count=3, k=1, **LAST)] == all_three[1:]


def test_likeliest_asks_the_k_likeliest_and_its_value_is_the_sum_of_their_scores():
    found = of_case(propose("likeliest", POOL, count=3, k=2, **LAST), "a")

    assert found.candidates == (1, 2)
    assert found.value == pytest.approx(1.5)
    # Not "hold 1.5 nodes": scores are of networks that learned with nodes and others weighing alike.
    assert found.why.endswith("its 2 likeliest candidates are asked") and "1.5" not in found.why


def test_likeliest_goes_by_stage_one_where_stage_two_was_not_asked():
    one = candidate(1, 0.3, stage_two=None, stage_one=0.3), candidate(2, 0.8, stage_two=None, stage_one=0.8)
    pool = Pool([Waiting("a", CaseEvidence("a", "w", 0.5, one))])

    assert propose("likeliest", pool, count=1, k=1, **LAST)[0].candidates == (2,)


def test_doubt_asks_first_where_the_sum_of_probability_times_entropy_is_largest():
    # p * H of .5 is .5, of .6 is .583, of .4 is .388, of .9 is .422, of .98 is .139, of .99 is .080.
    pool = Pool([*POOL.waiting[:2], waiting("c", [0.5, 0.4, 0.4])])
    found = propose("doubt", pool, count=3, k=2, **LAST)

    assert [query.case for query in found] == ["a", "c", "b"]
    assert found[0].candidates == (2, 1)
    assert found[0].value == pytest.approx(0.6 * 0.97095 + 0.9 * 0.46900, abs=1e-4)
    assert found[1].value == pytest.approx(0.5 + 0.4 * 0.97095, abs=1e-4)


def test_doubt_gives_every_stratum_its_share():
    # Nine doubtful near ones and a single far one, hardly in doubt: of 4 decisions int(.66 * 4) = 2 are
    # stratified, one of each stratum.
    near = [Waiting(f"n{n}", evidence(f"n{n}", [0.6])) for n in range(9)]
    far = candidate(1, 0.05, zone="distal")
    pool = Pool([*near, Waiting("far", CaseEvidence("far", "w", 0.5, (far,)))])

    assert "far" in [query.case for query in propose("doubt", pool, count=4, k=1, **LAST)]
    alone = Pool([*near, waiting("same", [0.05])])
    assert "same" not in [query.case for query in propose("doubt", alone, count=4, k=1, **LAST)]


def test_doubt_also_asks_for_windows_outside_candidates():
    pool = Pool([waiting("a", [0.5, 0.4, 0.3, 0.2], [0.3, 0.2, 0.1])])
    (found,) = propose("doubt", pool, count=1, k=3, **LAST)

    # int(.66 * 3) = 1 from the strata, the other two are windows.
    assert found.candidates == (1,) and found.windows == (0, 1)
    assert found.value == pytest.approx(0.5 + 0.3 + 0.2)
    assert "2 places outside" in found.why


def test_doubt_asks_for_windows_in_each_case_however_little_they_are_in_doubt_beside_candidates():
    # Each case has six candidates in more doubt than any window. Of 6 places int(.66 * 6) = 3 are of strata.
    pool = Pool([waiting(f"c{n}", [0.6, 0.59, 0.58, 0.57, 0.56, 0.55], [0.02, 0.01]) for n in range(5)])
    for count in (1, 3):
        found = propose("doubt", pool, count=count, k=6, **LAST)
        assert [query.windows for query in found] == [(0, 1)] * count
        assert all(len(query.candidates) == 4 for query in found)


def test_doubt_is_mostly_chance_in_the_first_round_and_hardly_in_the_last():
    pool = Pool([waiting(f"c{n}", [0.5 + 0.02 * n]) for n in range(8)])

    def firsts(round: int) -> Counter:
        return Counter(
            propose("doubt", pool, seed=seed, round=round, rounds=5, count=1, k=1)[0].case
            for seed in range(60)
        )

    assert len(firsts(1)) >= 5
    assert len(firsts(5)) <= 3


def test_disagreement_is_the_largest_difference_of_ranks():
    # Ranks by stage two: 1 (.9), .5 (.5), 0 (.1); by the stream: 0 (.2), .5 (.3), 1 (.4).
    one = [
        candidate(1, 0.9, streams={"ct": 0.2}),
        candidate(2, 0.5, streams={"ct": 0.3}),
        candidate(3, 0.1, streams={"ct": 0.4}),
    ]
    pool = Pool([Waiting("a", CaseEvidence("a", "w", 0.5, tuple(one))), waiting("b", [])])
    found = propose("disagreement", pool, count=2, k=2, **LAST)

    assert found[0].candidates == (1, 3)
    assert found[0].value == pytest.approx(2.0)
    assert found[1].case == "b" and "nothing is left to ask" in found[1].why


def test_mixed_asks_the_likeliest_then_one_in_doubt_and_one_by_chance():
    # k = 5: 1 by doubt, round(.5) = 0 by chance, 4 likeliest; k = 10: 7, 2 and 1.
    probabilities = [0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.93, 0.01, 0.5, 0.02, 0.4, 0.03]
    pool = Pool([waiting("a", probabilities)])
    five = propose("mixed", pool, count=1, k=5, **LAST)[0].candidates
    ten = propose("mixed", pool, count=1, k=10, **LAST)[0].candidates

    assert five == (1, 2, 3, 4, 9)
    assert ten[:9] == (1, 2, 3, 4, 5, 6, 7, 9, 11)
    assert ten[9] in (8, 10, 12)


@pytest.mark.parametrize(
    ("k", "told"),
    [
        (1, "1 likeliest"),
        (2, "2 likeliest"),
        (3, "2 likeliest, 1 in doubt"),
        (5, "4 likeliest, 1 in doubt"),
        (6, "4 likeliest, 1 in doubt, 1 by chance"),
        (10, "7 likeliest, 2 in doubt, 1 by chance"),
        (15, "10 likeliest, 3 in doubt, 2 by chance"),
    ],
)
def test_mixed_tells_the_parts_that_it_has_taken(k, told):
    (found,) = propose("mixed", Pool([waiting("a", [0.5] * 20)]), count=1, k=k, **LAST)

    assert found.why == f"{told} of its 20 open candidates"


def test_mixed_asks_all_of_a_case_with_fewer_candidates():
    found = propose("mixed", POOL, count=3, k=10, **LAST)

    assert sorted(of_case(found, "c").candidates) == [1, 2, 3, 4]


def test_diverse_takes_the_middle_of_the_largest_cluster_without_labels():
    # Eight cases near 0 (of which 0.0 is the middle), seven near 10 of which one is labeled.
    near = {f"n{n}": x for n, x in enumerate([-0.6, -0.35, -0.1, 0.0, 0.1, 0.35, 0.6, 5.0])}
    far = {f"f{n}": 10 + x for n, x in enumerate([-0.3, -0.2, -0.1, 0.0, 0.1, 0.2])}
    pool = Pool(
        [Waiting(case, descriptor=(x,)) for case, x in (near | far).items()], labeled={"done": (10.0,)}
    )
    (found,) = propose("diverse", pool, count=1, k=1, **LAST)

    assert found.case == "n3"
    assert "typicality" in found.why


def test_diverse_takes_every_case_once_and_those_without_descriptor_last():
    pool = Pool([Waiting("x"), *(Waiting(f"c{n}", descriptor=(float(n % 3), np.nan)) for n in range(9))])
    cases = [query.case for query in propose("diverse", pool, count=10, k=1, **LAST)]

    assert sorted(cases) == sorted(one.case for one in pool.waiting)
    assert cases[-1] == "x"


@pytest.mark.parametrize(
    ("change", "told"),
    [({"name": "best"}, "the strategies are: mixed"), ({"k": 0}, "k of a strategy"), ({"round": 0}, "round")],
)
def test_what_cannot_be_asked_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        propose(**({"name": "random", "pool": POOL, "count": 1, "k": 1} | LAST | change))


def test_a_pool_with_a_case_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        Pool([Waiting("a"), Waiting("a")])
