import json

import pytest

from osln.active.evidence import CandidateEvidence, CaseEvidence, WindowEvidence
from small.evidence import candidate, evidence

CASE = CaseEvidence(
    "p1",
    "w1",
    0.4,
    (
        CandidateEvidence(1, 0.9, 0.8, 0.9, {"ct": 0.7}, "proximal", 9.5, (1.0, -2.0, 3.0), (0.5, 0.0)),
        CandidateEvidence(2, 0.3, 0.3, None, {}, "unknown", 4.0, (0.0, 0.0, 0.0)),
    ),
    (WindowEvidence((5.0, 6.0, 7.0), 20.0, 0.6, 0.2),),
)


def test_it_comes_back_from_json_as_it_was():
    assert CaseEvidence.from_json(json.loads(json.dumps(CASE.to_json()))) == CASE


def test_the_probability_is_that_of_stage_two_where_it_was_asked():
    assert [one.probability for one in CASE.candidates] == [0.9, 0.3]


def test_features_can_be_left_out():
    bare = CASE.without_features()

    assert [one.features for one in bare.candidates] == [None, None]
    assert bare.candidates[0].streams == {"ct": 0.7}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"form": 0}, "made anew"),
        ({"case": ""}, "case of evidence of '' must be a text"),
        ({"operating_point": 2.0}, "operating_point"),
        ({"candidates": {}}, "must be a list"),
        ({"candidates": [3]}, "JSON object"),
        ({"windows": [{}]}, "wrong are"),
        ({"more": 1}, "wrong are"),
    ],
)
def test_what_is_not_valid_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        CaseEvidence.from_json(CASE.to_json() | change)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"stage_two": 1.5}, "stage_two of candidate 1 must be a probability"),
        ({"stage_one": float("nan")}, "stage_one"),
        ({"score": True}, "score"),
        ({"streams": {"ct": "x"}}, "ct of candidate 1"),
        ({"zone": "near"}, "one of proximal, distal, unknown"),
        ({"size_mm": 0.0}, "above 0"),
        ({"center_mm": (0.0, 1.0)}, "three numbers"),
        ({"features": (float("inf"),)}, "features"),
    ],
)
def test_a_candidate_that_is_not_valid_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        candidate(1, 0.5, **change)


def test_two_candidates_of_one_number_are_refused():
    with pytest.raises(ValueError, match="numbered once each"):
        CaseEvidence("p1", "w1", 0.5, (candidate(1, 0.5), candidate(1, 0.6)))


def test_a_case_without_candidates_is_evidence_too():
    assert CaseEvidence.from_json(evidence("p1", []).to_json()).candidates == ()
