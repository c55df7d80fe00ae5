"""What the module for 3D Slicer decides: which voxels a decision takes away, and what is submitted."""

import numpy as np
import pytest

from osln.files.nrrd import read_header
from osln.store.reviews import checked_review
from slicer_module.oslnlib.review import Review, row
from slicer_module.oslnlib.server import nrrd
from small.slicer_nodes import AFFINE, FAR, LEFT, RIGHT, SHAPE, drawn, found


def case_of(*candidates, clock=lambda: 0.0):
    model = {"name": "osln", "versions": {"glnet": "shipped"}, "operating_point": None}
    return Review({"case": "one", "model": model, "candidates": list(candidates)}, AFFINE, clock)


@pytest.fixture
def touching():
    """Two candidates that touch, on a prediction that is loaded."""
    review = case_of(found(1, LEFT), found(2, RIGHT))
    review.started(drawn(LEFT, RIGHT), predicted=True)
    return review


def test_rejecting_clears_the_candidate_alone_and_accepting_brings_it_back(touching):
    now = drawn(LEFT, RIGHT, FAR)
    touching.step(1)
    clear = touching.reject(now)
    np.testing.assert_array_equal(clear, drawn(LEFT) > 0)
    now[clear] = 0
    now[2, 4, 4] = 5
    again = np.zeros(SHAPE, bool)
    again[tuple(touching.accept(now).T)] = True
    # What somebody has drawn there meanwhile stays as it is.
    expected = drawn(LEFT) > 0
    expected[2, 4, 4] = False
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize(
    "since", [np.s_[1:3, 8:10, 4:6], np.s_[3:5, 4:6, 4:5]], ids=["beside", "in its place"]
)
def test_a_second_rejection_takes_nothing_and_keeps_the_first_outline(touching, since):
    now = drawn(LEFT, FAR)
    touching.step(1)
    now[touching.reject(now)] = 0
    now[since] = 2
    assert not touching.reject(now).any()
    again = drawn(since)
    again[tuple(touching.accept(now).T)] = 1
    np.testing.assert_array_equal(again, drawn(LEFT, since))


@pytest.mark.parametrize("state", [None, "accepted"])
def test_rejecting_what_was_never_drawn_takes_nothing_of_what_was_drawn_beside_it(state):
    review = case_of(found(1, LEFT, radius_mm=9.0))
    own = drawn(np.s_[2:5, 8:10, 4:6])
    review.started(own, predicted=False)
    review.step(1)
    if state:
        review.accept(own)
    assert not review.reject(own).any()
    assert len(review.accept(own)) == 0


def test_an_undecided_candidate_that_counts_as_rejected_takes_no_node_beside_it_along():
    own = drawn(np.s_[2:5, 8:10, 4:6])
    values, info, _ = case_of(found(1, LEFT, radius_mm=9.0)).submission(own, None, "rejected")
    np.testing.assert_array_equal(values, own)
    assert info == [{"name": "lymph node 1", "idx": 1}]


def test_an_approved_node_whose_center_lies_outside_of_it_is_rejected_whole():
    ring = drawn(np.s_[2:7, 2:7, 4:5])
    ring[3:6, 3:6] = 0
    review = case_of(found(1, np.s_[2:7, 2:7, 4:5], state="accepted", radius_mm=6.0))
    review.started(ring, predicted=False)
    review.step(1)
    np.testing.assert_array_equal(review.reject(ring), ring > 0)


def test_a_node_that_is_not_kept_takes_nothing_from_a_predicted_one_beside_it():
    ring = drawn(np.s_[2:7, 2:7, 4:5])
    ring[3:6, 3:6] = 0
    review = case_of(
        found(1, np.s_[2:7, 2:7, 4:5], radius_mm=6.0),
        found(2, np.s_[9:10, 2:7, 4:5], kept=False, radius_mm=9.0),
    )
    np.testing.assert_array_equal(review.started(ring, predicted=True), ring)
    review.step(1)
    np.testing.assert_array_equal(review.reject(ring), ring > 0)


def test_decisions_are_unsubmitted_until_the_server_has_them(touching):
    touching.step(1)
    assert not touching.unsubmitted()
    touching.accept(drawn(LEFT, RIGHT))
    assert touching.unsubmitted()
    touching.submitted()
    assert not touching.unsubmitted()


def test_of_a_prediction_only_what_is_kept_and_not_rejected_is_drawn():
    candidates = found(1, LEFT, state="rejected"), found(2, RIGHT), found(3, FAR, kept=False)
    review = case_of(*candidates)
    values = drawn(LEFT, RIGHT, FAR, values=(1, 1, 2))
    np.testing.assert_array_equal(review.started(values, predicted=True), drawn(RIGHT))
    assert [one["rank"] for one in review.listed] == [1, 2]
    review.select(review.listed[0])
    assert len(review.accept(drawn(RIGHT))) == 12


def test_what_a_person_has_approved_or_drawn_stays_whatever_was_found_there():
    review = case_of(found(1, LEFT, state="rejected"), found(3, FAR, kept=False))
    values = drawn(LEFT, FAR)
    np.testing.assert_array_equal(review.started(values, predicted=False), values)


def test_steps_go_round_and_count_seconds():
    times = iter([0.0, 1.0, 3.5, 10.0])
    review = case_of(found(1, LEFT), found(2, RIGHT), clock=lambda: next(times))
    assert [review.step(by)["rank"] for by in (-1, 1, 1)] == [2, 1, 2]
    assert [one["seconds"] for one in review.listed] == [6.5, 2.5]
    assert Review().step(1) is None


def test_what_is_submitted(touching):
    now = drawn(LEFT, RIGHT, FAR)
    touching.step(1)
    now[touching.reject(now)] = 0
    touching.step(1)
    touching.accept(now)
    now[6, 6, 4] = 1
    tumor = np.zeros(SHAPE, bool)
    tumor[15, 10:16, 2] = True
    values, info, review = touching.submission(now, tumor)

    assert values.dtype == np.uint8
    expected = drawn(RIGHT, FAR, values=(1, 2))
    expected[6, 6, 4] = 1
    expected[15, 10:15, 2] = 3
    np.testing.assert_array_equal(values, expected)
    assert info == [
        {"name": "lymph node 1", "idx": 1},
        {"name": "lymph node 2", "idx": 2},
        {"name": "tumor", "idx": 3},
    ]
    checked = checked_review(review)
    assert checked["complete"] and checked["undecided"] == "accepted"
    told = [(one["id"], one["state"], one["value"], one["origin"]) for one in checked["candidates"]]
    assert told == [
        ("c2", "edited", 1, "model"),
        ("drawn-2", "added", 2, "annotator"),
        ("c1", "rejected", None, "model"),
    ]
    assert checked["candidates"][1]["center_mm"] == [9.0, 9.0, 6.0]


@pytest.mark.parametrize(("undecided", "values"), [("accepted", {0, 1, 2}), ("rejected", {0})])
def test_undecided_ones_count_as_the_annotator_says(touching, undecided, values):
    sent, info, review = touching.submission(drawn(LEFT, RIGHT), None, undecided)
    assert set(np.unique(sent)) == values
    checked = checked_review(review)
    assert not checked["complete"] and {one["state"] for one in checked["candidates"]} == {"undecided"}
    if undecided == "rejected":
        assert info == [{"name": "lymph node", "idx": 1}]


def test_an_accepted_candidate_that_is_not_drawn_is_refused(touching):
    touching.step(1)
    touching.accept(drawn(RIGHT))
    with pytest.raises(ValueError, match="candidate 1 is accepted, and the segment 'lymph node' has nothing"):
        touching.submission(drawn(RIGHT))


def test_nodes_of_two_segments_stay_apart_where_they_touch():
    values, info, _ = case_of().submission(drawn(LEFT, RIGHT, values=(1, 2)))
    assert len(info) == 2 and values[4, 4, 4] != values[5, 4, 4]


def test_the_file_is_an_nrrd_on_the_cts_place(tmp_path):
    values = drawn(LEFT, values=(3,)).astype(np.uint8)
    path = tmp_path / "label.nrrd"
    path.write_bytes(nrrd(values, AFFINE))
    header = read_header(path)
    assert header.shape == SHAPE and header.dtype == np.uint8 and header.gzip
    np.testing.assert_allclose(header.affine, AFFINE)


def test_a_line_of_the_table_leaves_out_what_is_not_known():
    assert row(case_of(found(1, LEFT, zone="distal")).all[0]) == (
        "1",
        "undecided",
        "0.50",
        "",
        "8",
        "distal",
        "",
    )
