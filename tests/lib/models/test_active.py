"""Strategies of active learning on a real store: which case, which candidates, and why."""

import json

import pytest

from lib.models import strategies
from lib.store import worklist
from lib.store.datastore import OslnDatastore
from lib.store.evidence import keep_descriptor, keep_evidence, marks
from lib.store.work import lease_case, skip_case
from osln.active.descriptors import NAMES
from small.evidence import evidence
from small.store import make_case

ASKED = {"annotator": "Anna"}
PROBABILITIES = {"p1": [0.9, 0.8, 0.02], "p2": [0.5, 0.6, 0.55], "p3": [0.99, 0.01]}


@pytest.fixture
def store(tmp_path):
    for case in PROBABILITIES:
        make_case(tmp_path, case, pet=False)
    store = OslnDatastore(tmp_path)
    for case, probabilities in PROBABILITIES.items():
        keep_evidence(store, case, evidence(case, probabilities, [0.4]), marks(store.root, case))
    return store


def build(most=2, keys=("w1",)):
    return strategies.build(most, lambda: keys)


def proposal(store, name, annotator="Anna", most=2):
    return build(most)[name].propose({"annotator": annotator}, store)


@pytest.mark.parametrize("name", ["mixed", "likeliest", "doubt", "disagreement", "diverse"])
def test_every_strategy_names_a_case_its_candidates_and_why(store, name):
    found = proposal(store, name)

    assert found.case in PROBABILITIES and found.why
    assert isinstance(found.about["value"], float)
    numbers = [one["number"] for one in found.about["candidates"]]
    assert set(numbers) <= set(range(1, 4)) and len(numbers) == len(set(numbers))
    assert found == proposal(store, name)
    # What a viewer is sent is JSON.
    json.dumps(dict(found.about))


def test_a_strategy_asks_no_more_than_the_setting_says_and_the_likeliest_first(store):
    found = proposal(store, "likeliest")

    best = {"p1": [1, 2], "p2": [2, 3], "p3": [1, 2]}[found.case]
    assert [one["number"] for one in found.about["candidates"]] == best


def test_two_annotators_are_sent_to_different_cases_now_and_then(store):
    cases = {proposal(store, "mixed", f"annotator {n}").case for n in range(12)}

    assert cases == set(PROBABILITIES)


def test_what_others_work_on_and_what_is_skipped_comes_last(store):
    lease_case(store, "p1", "Bert", over=False)
    skip_case(store, "p2", "Bert", "no contrast")
    assert {proposal(store, name).case for name in strategies.ABOUT} == {"p3"}
    skip_case(store, "p3", "Bert", "no contrast")
    found = proposal(store, "mixed")
    assert found.case == "p1" and found.why.startswith("somebody works on it; no other case")


def test_the_reply_to_a_viewer_has_case_why_and_candidates(store):
    sample = build()["mixed"]({"strategy": "mixed", "client_id": "Anna"}, store)

    assert sample["id"] in PROBABILITIES and sample["checksum"].startswith("SHA256:")
    assert sample["why"] and sample["candidates"] and sample["windows"] == []


def test_a_rule_that_fails_gives_way_to_chance_and_says_so(store, monkeypatch):
    def failing(name, pool, **asked):
        if name == "doubt":
            raise ZeroDivisionError
        return real(name, pool, **asked)

    real = strategies.propose
    monkeypatch.setattr(strategies, "propose", failing)
    found = proposal(store, "doubt")

    assert found.case in PROBABILITIES
    assert "the scores of doubt failed" in found.why and "by chance out of 3" in found.why


def test_scores_of_weights_that_are_not_in_use_any_more_are_called_so(store):
    former = build(keys=("w2",))["mixed"].propose(ASKED, store)

    assert former.why == f"{proposal(store, 'mixed').why} (scores of former weights)"


def test_scores_of_images_or_tumors_that_have_changed_since_are_called_so(store):
    before = build()["mixed"].within(ASKED, store, "p2")
    (store.root / "labels" / "gtv" / "p2.nii.gz").unlink()
    after = build()["mixed"].within(ASKED, store, "p2")

    assert after["why"] == f"{before['why']} (its files have changed since: find nodes)"
    assert after["candidates"] == before["candidates"]


def test_diverse_goes_by_what_the_images_look_like(store):
    for number, case in enumerate(PROBABILITIES):
        keep_descriptor(store, case, tuple([float(number)] * len(NAMES)), None, marks(store.root, case))

    assert "typical of cases" in proposal(store, "diverse").why


def test_nothing_is_proposed_when_every_case_has_an_approved_label(store):
    for case in PROBABILITIES:
        store.register_label(case, "final", {"revision": 1})
    assert proposal(store, "mixed") is None


def test_within_a_case_that_somebody_has_opened_the_strategy_says_what_to_ask(store):
    found = build(2)["mixed"].within(ASKED, store, "p2")

    assert [one["number"] for one in found["candidates"]] == [2, 3]
    assert found["why"].startswith("2 likeliest")
    assert "in doubt" not in found["why"] and "by chance" not in found["why"]


def test_nothing_is_asked_in_a_case_whose_label_is_complete(store):
    store.register_label("p2", "final", {"revision": 1})
    found = build(2)["mixed"].within(ASKED, store, "p2")

    assert found == {"why": "its label is complete", "value": None, "candidates": [], "windows": []}


def test_a_case_that_judges_networks_and_is_decided_in_part_comes_first_with_the_rest(store, monkeypatch):
    store.register_label("p2", "final", {"revision": 1})
    reviews = {"p2": {"complete": False, "undecided": 2, "seconds": None}}
    monkeypatch.setattr(worklist, "review_in_short", lambda root, case, revision: reviews.get(case))
    states = [("accepted", 1), ("undecided", 2), (None, 3)]
    candidates = [{"state": state, "id": number} for state, number in states]
    monkeypatch.setattr(strategies, "offered", lambda store, case: {"candidates": candidates})

    monkeypatch.setattr(worklist, "stored_splits", lambda root: {"p2": "train"})
    assert proposal(store, "likeliest").case != "p2"
    monkeypatch.setattr(worklist, "stored_splits", lambda root: {"p2": "validation"})
    found = proposal(store, "likeliest", most=1)
    assert found.case == "p2" and "decided in part" in found.why
    assert [one["number"] for one in found.about["candidates"]] == [2, 3]
    within = build(1)["likeliest"].within(ASKED, store, "p2")
    assert [one["number"] for one in within["candidates"]] == [2, 3]
    reviews["p2"] |= {"complete": True}
    assert proposal(store, "likeliest").case != "p2"


@pytest.mark.parametrize("name", strategies.ABOUT)
def test_a_case_in_part_that_others_work_on_or_that_was_skipped_comes_last_too(store, monkeypatch, name):
    monkeypatch.setattr(strategies, "to_complete", lambda store: ["p2"])
    lease_case(store, "p2", "Bert", over=False)
    for case in ("p1", "p3"):
        assert proposal(store, name).case != "p2"
        skip_case(store, case, "Bert", "no contrast")
    found = proposal(store, name)
    assert found.case == "p2" and "somebody works on it; no other case " in found.why
    monkeypatch.setattr(store, "get_unlabeled_images", list)
    skip_case(store, "p2", "Bert", "no contrast")
    found = proposal(store, name)
    assert found.case == "p2" and found.why.startswith("skipped before; no other case waits; ")


def test_a_place_outside_candidates_that_was_looked_at_is_not_proposed_again(store, monkeypatch):
    store.register_label("p2", "final", {"revision": 1})
    review = {"complete": False, "undecided": 2, "seconds": None, "looked_at": []}
    for module in (worklist, strategies):
        monkeypatch.setattr(module, "review_in_short", lambda root, case, revision: review)
    monkeypatch.setattr(worklist, "stored_splits", lambda root: {"p2": "validation"})

    def places():
        return proposal(store, "doubt", most=4).about["windows"]

    # The cube has 20 mm around the origin.
    assert [one["center_mm"] for one in places()] == [[0.0, 0.0, 0.0]]
    review["looked_at"] = [[10.5, 0.0, 0.0]]
    assert len(places()) == 1
    review["looked_at"] += [[10.0, -10.0, 0.0]]
    assert places() == []
