"""What a review must be: every sentence of the refusals, on what a client could send."""

import pytest

from osln.store.reviews import checked_review, renumbered, same_decisions
from small.reviews import candidate, review


def with_candidate(**other):
    return review({**candidate("c1", "accepted", 3), **other})


def test_a_whole_review_is_taken_as_it_is():
    assert checked_review(review()) == review()


def test_what_is_not_known_may_be_left_out():
    short = {"id": "c1", "state": "rejected", "center_mm": [0, 1, 2.5], "origin": "model"}
    sent = {"complete": False, "seconds": 0, "undecided": "unknown", "candidates": [short]}
    checked = checked_review(sent)
    assert checked["model"] is None
    assert checked["candidates"][0] == {
        **short,
        "value": None,
        "radius_mm": None,
        "score": None,
        "stage_one_score": None,
        "suv_max": None,
        "distance_mm": None,
        "zone": None,
        "seconds": None,
        "tags": [],
        "box_mm": None,
    }


def test_places_that_were_looked_at_are_kept_if_there_are_some():
    assert checked_review(review(looked_at=[[1, 2.5, -3.0]]))["looked_at"] == [[1, 2.5, -3.0]]
    assert "looked_at" not in checked_review(review(looked_at=[]))


NAN, INF = float("nan"), float("inf")
BAD = [
    (None, "must be a JSON object"),
    ([], "must be a JSON object"),
    ("x" * 10**6, "must be a JSON object"),
    ({}, "lacks complete, seconds, undecided, candidates"),
    (review(extra=1), "unknown keys ['extra']"),
    (review(**{"x" * 5000: 1}), "unknown keys"),
    (review(complete=1), "true or false"),
    (review(complete="true"), "true or false"),
    (review(seconds=NAN), "seconds of the review must be a number from 0"),
    (review(seconds=-1), "seconds of the review must be a number from 0"),
    (review(seconds=10**400), "seconds of the review must be a number from 0"),
    (review(seconds=True), "seconds of the review must be a number"),
    (review(undecided="maybe"), "undecided of the review is one of accepted, rejected, unknown"),
    (review(undecided=["accepted"]), "undecided of the review is one of"),
    (review() | {"candidates": {}}, "at most 5000"),
    (review() | {"candidates": [candidate("c", "rejected")] * 5001}, "at most 5000"),
    (review() | {"candidates": [7]}, "candidate 1 of the review must be a JSON object"),
    (review(model="osln"), "model of the review must be a JSON object"),
    (review(model={"name": ""}), "name of the model of the review must be a text"),
    (review(model={"name": "a", "versions": {"a": 1}}), "a version of the model"),
    (review(model={"name": "a", "versions": dict.fromkeys(map(str, range(65)))}), "at most 64 networks"),
    (review(model={"name": "a", "versions": [1]}), "must be an object of at most"),
    (review(model={"name": "a", "path": "/etc"}), "unknown keys ['path']"),
    (review(model={"name": "a", "operating_point": "x" * 201}), "1 to 200 characters"),
    (with_candidate(id=1), "id of candidate 1 of the review must be a text"),
    (with_candidate(id="\ud800"), "id of candidate 1 of the review must be a text"),
    (with_candidate(id="a\nb"), "id of candidate 1 of the review must be a text"),
    (with_candidate(state="kept"), "state of candidate 1 of the review is one of undecided, rejected"),
    (with_candidate(value=0), "null or a value of the label map"),
    (with_candidate(value=65536), "null or a value of the label map"),
    (with_candidate(value=3.0), "null or a value of the label map"),
    (with_candidate(value=True), "null or a value of the label map"),
    (with_candidate(center_mm=[0, 0]), "must be three numbers"),
    (with_candidate(center_mm=[0, 0, INF]), "center_mm of candidate 1 of the review must be a number"),
    (with_candidate(center_mm=[0, 0, "1"]), "center_mm of candidate 1 of the review must be a number"),
    (with_candidate(center_mm=None), "must be three numbers"),
    (with_candidate(box_mm=[0, 1]), "box_mm of candidate 1 of the review must be two corners"),
    (with_candidate(box_mm=[[0, 0, 0]]), "must be two corners of three numbers"),
    (with_candidate(box_mm=[[0, 0, 0], [1, 1, INF]]), "box_mm of candidate 1 of the review must be a number"),
    (with_candidate(box_mm=[[0, 5, 0], [1, 1, 1]]), "must begin with its lowest corner"),
    (with_candidate(score=NAN), "score of candidate 1 of the review must be a number"),
    (with_candidate(radius_mm=-INF), "radius_mm of candidate 1 of the review must be a number"),
    (with_candidate(zone="far"), "zone of candidate 1 of the review is one of proximal, distal"),
    (with_candidate(origin="robot"), "origin of candidate 1 of the review is one of"),
    (with_candidate(seconds=-0.1), "seconds of candidate 1 of the review must be a number from 0"),
    (with_candidate(tags={}), "pairs such as"),
    (with_candidate(tags=[["a"]]), "pairs such as"),
    (with_candidate(tags=[["a", 0.5]] * 201), "at most 200 pairs"),
    (with_candidate(tags=[["a", NAN]]), "a tag of candidate 1 of the review must be a number"),
    (with_candidate(tags=[[["a"], 0.5]]), "a tag of candidate 1 of the review must be a text"),
    (with_candidate(extra=None), "candidate 1 of the review has unknown keys ['extra']"),
    (review(looked_at={"a": 1}), "looked_at of the review must be a list of at most 1000 places"),
    (review(looked_at=[[0.0, 0.0, 0.0]] * 1001), "at most 1000 places"),
    (review(looked_at=[[0.0, NAN, 0.0]]), "looked_at of the review must be a number"),
    (review(looked_at=[7]), "looked_at of the review must be three numbers"),
    (review(candidate("c1", "accepted", 3), candidate("c1", "accepted", 4)), "have the id 'c1'"),
    (review(candidate("c1", "accepted", 3), candidate("c2", "accepted", 3)), "have the value 3"),
    (review(candidate("c1", "rejected", 3)), "candidate c1 is rejected, and yet it has the value 3"),
    (review(candidate("c1", "undecided", 3)), "candidate c1 is undecided, and yet it has the value 3"),
    (with_candidate(value=None), "candidate c1 is accepted, and yet it has no value of the label map"),
    (with_candidate(state="edited", value=None), "candidate c1 is edited, and yet it has no value"),
    (with_candidate(state="added", value=None), "candidate c1 is added, and yet it has no value"),
]


@pytest.mark.parametrize(("sent", "sentence"), BAD, ids=range(len(BAD)))
def test_what_is_no_review_is_refused_with_what_was_expected(sent, sentence):
    with pytest.raises(ValueError) as caught:
        checked_review(sent)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 2500


def test_values_become_those_of_the_stored_map():
    found = renumbered(checked_review(review()), {3: 1, 9: 2, 12: 3})
    assert [one["value"] for one in found["candidates"]] == [1, None, 2]
    with pytest.raises(ValueError, match=r"names the values \[9\]"):
        renumbered(checked_review(review()), {3: 1})


def test_decisions_are_the_same_whatever_scores_and_seconds_are():
    one = checked_review(review())
    assert same_decisions(one, checked_review(review(seconds=1, model=None, undecided="unknown")))
    assert not same_decisions(one, checked_review(review(complete=False)))
    left = checked_review(review(complete=False))
    assert not same_decisions(left, checked_review(review(complete=False, undecided="unknown")))
    assert not same_decisions(one, checked_review(review(candidate("c1", "accepted", 3))))
    place = [[1.0, 2.0, 3.0]]
    assert not same_decisions(one | {"looked_at": place}, one)
    assert same_decisions(one | {"looked_at": place}, one | {"looked_at": place})
    assert same_decisions(one, one | {"looked_at": place})
    assert not same_decisions(one, None)
    assert same_decisions(None, None)


def test_decisions_about_another_place_are_others_whatever_id_it_has():
    def at(*center, box=None):
        return checked_review(review(candidate("c1", "rejected", center_mm=list(center), box_mm=box)))

    stored = at(1.236, -2.0, 3.0, box=[[0, -3, 2], [2, -1, 4]])
    assert same_decisions(at(1.24, -2, 3), stored)
    assert same_decisions(at(1.236, -2.0, 3.0, box=[[0, -3, 2], [2, -1, 4.004]]), stored)
    assert not same_decisions(at(1.236, -2.0, 4.5), stored)
    assert not same_decisions(at(1.236, -2.0, 3.0, box=[[0, -3, 2], [2, -1, 7]]), stored)
    assert not same_decisions(at(1.236, -2.0, 3.0), checked_review(review()))
