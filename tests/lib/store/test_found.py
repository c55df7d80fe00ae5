import pytest

from lib.store.found import doubt_of, in_short


def test_doubt_counts_candidates_that_could_be_either():
    # Entropy of .5 is 1 bit, of .25 it is .25 * 2 + .75 * log2(4/3) = .8113 bits.
    assert doubt_of([{"score": 0.5}, {"score": 0.5}]) == 2
    assert doubt_of([{"score": 0.25}]) == pytest.approx(0.81)
    assert doubt_of([{"score": 0.0}, {"score": 1.0}, {"score": None}, {}]) == 0
    assert doubt_of([]) == 0


def test_a_result_in_short():
    candidates = [{"score": 0.5, "kept": True}, {"score": 0.0, "kept": False}, "no candidate"]
    told = in_short({"candidates": candidates, "model": "osln", "warnings": ["no PET"]})
    assert (told["candidates"], told["kept"], told["doubt"]) == (2, 1, 1.0)
    assert told["model"] == "osln" and told["warnings"] == ["no PET"]
    assert in_short({})["candidates"] == 0
