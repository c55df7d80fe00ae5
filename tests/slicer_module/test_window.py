"""The window of the module for 3D Slicer: what it asks before something is lost, and what it submits."""

from types import SimpleNamespace

import numpy as np
import pytest

from small.slicer_fake import BESIDE, BOX, FAR, SHAPE, Desk, Served


@pytest.fixture
def desk(monkeypatch):
    return Desk(monkeypatch)


@pytest.fixture
def served(desk):
    return Served(desk)


@pytest.fixture
def window(desk, served):
    """With case "one" open: its candidate is drawn."""
    window = desk.window(served)
    served.sample = {"id": "one", "why": ""}
    window.next_sample()
    served.sample = {"id": "two", "why": ""}
    desk.asked.clear()
    desk.cleared = 0
    yield window
    window.cleanup()


def refusal(desk, sentence="the server does not answer", status=0):
    return desk.module.ServerError(sentence, status)


def names(info):
    return [one["name"] for one in info]


def test_next_sample_asks_for_nothing_while_nothing_was_drawn_or_decided(desk, window):
    window.next_sample()
    assert (desk.asked, window.review.case, desk.cleared) == ([], "two", 1)


@pytest.mark.parametrize("name", ["lymph node 7", "tumor", "Segment_1"])
def test_next_sample_asks_before_a_drawing_is_lost(desk, window, name):
    window.scene.segmentation.paint(name, FAR)
    desk.answer = False
    window.next_sample()
    assert "Case one has drawings or decisions that OSLN has not submitted" in desk.asked[0]
    assert (desk.cleared, window.review.case) == (0, "one")
    desk.answer = True
    window.next_sample()
    assert (desk.cleared, window.review.case) == (1, "two")


def test_next_sample_asks_before_decisions_are_lost(desk, window):
    desk.answer = False
    window.next_one()
    window.accept()
    window.next_sample()
    assert len(desk.asked) == 1 and desk.cleared == 0


def test_what_was_submitted_can_be_left(desk, window):
    window.next_one()
    window.accept()
    window.scene.segmentation.paint("lymph node 7", FAR)
    window.submit()
    window.next_sample()
    assert (desk.asked, window.review.case) == ([], "two")


def test_what_is_drawn_in_another_segmentation_was_not_submitted(desk, window):
    window.next_one()
    window.accept()
    desk._add("vtkMRMLSegmentationNode", "Segmentation")
    desk.nodes[-1].paint("lymph node", FAR)
    window.submit()
    window.next_sample()
    assert len(desk.asked) == 1


def test_next_sample_asks_for_what_another_module_has_drawn(desk, served):
    window = desk.window(served)
    desk._add("vtkMRMLSegmentationNode", "Segmentation")
    desk.nodes[-1].paint("lymph node", FAR)
    desk.answer = False
    window.next_sample()
    assert "The scene has drawings" in desk.asked[0] and desk.cleared == 0


def test_what_was_drawn_before_the_case_was_taken_is_not_submitted_yet(desk, served):
    window = desk.window(served)
    desk.load("one.nii.gz", {"name": "one"})
    desk._add("vtkMRMLSegmentationNode", "Segmentation")
    desk.nodes[-1].paint("lymph node", FAR)
    window.take_scene()
    assert desk.asked == [] and window.scene.drawn()[FAR].all()
    desk.answer = False
    window.next_sample()
    assert len(desk.asked) == 1 and desk.cleared == 0


def test_a_login_that_has_ended_takes_the_fields_of_the_window(desk, window, served):
    window.password.text = "new"
    assert served.login() == ("anna", "new")


@pytest.mark.parametrize("method", ["next_sample", "image"])
def test_a_case_that_does_not_come_leaves_the_open_one_open(desk, window, served, method):
    served.refused = {method: refusal(desk)}
    with pytest.raises(desk.module.ServerError):
        window.next_sample()
    served.refused = {}
    assert desk.cleared == 0 and window.scene.drawn().any()
    window.next_one()
    window.accept()
    window.submit()
    assert served.sent[0][0] == "one"


@pytest.mark.parametrize("method", ["revision", "tumor_revision", "file", "candidates", "get", "label"])
def test_after_a_case_that_opened_in_part_nothing_is_submitted(desk, window, served, method):
    served.newest, served.refused = 1, {method: refusal(desk)}
    with pytest.raises(desk.module.ServerError):
        window.next_sample()
    served.refused = {}
    with pytest.raises(desk.module.ServerError, match="no case is open: press Next Sample"):
        window.submit()
    assert served.sent == []


def test_a_scene_that_was_closed_elsewhere_is_not_submitted(desk, window, served):
    window.next_one()
    desk.nodes.clear()
    for act in (window.reject, window.submit, window.find):
        with pytest.raises(desk.module.ServerError, match="no case is open"):
            act()
        window.next_one()
    assert served.sent == []


def test_the_open_case_keeps_its_server_until_another_case_opens(desk, window, served):
    other = Served(desk)
    other.sample = None
    desk.module.Server = lambda url, name, password: other
    window.next_sample()
    assert window.server is served
    other.sample = {"id": "three", "why": ""}
    window.next_sample()
    assert window.server is other


def test_all_names_that_the_server_knows_are_submitted(desk, window, served):
    window.scene.clear(np.ones(SHAPE, bool))
    window.next_one()
    window.reject()
    for name, at in (("lymph node 1", 1), ("LN 2", 4), ("lymph node 1", 7), ("gtv", 15), ("gtv 2", 17)):
        window.scene.segmentation.paint(name, np.s_[at : at + 1, 2:4, 2:4])
    tumor = window.scene.tumor()
    window.submit()
    assert names(served.sent[0][1]) == ["lymph node 1", "lymph node 2", "lymph node 3", "tumor"]
    assert tumor[15, 2, 2] and tumor[17, 2, 2] and tumor.sum() == 8


def test_the_revision_of_the_tumor_that_was_there_goes_along_and_moves_on(desk, window, served):
    served.newest_tumor = 4
    window.next_sample()
    window.next_one()
    window.accept()
    window.submit()
    window.scene.segmentation.paint("tumor", FAR)
    window.submit()
    window.submit()
    assert [sent[-2:] for sent in served.sent] == [(0, 4), (1, 4), (2, 5)]


def test_a_segment_of_another_name_is_refused_if_something_is_drawn_in_it(desk, window, served):
    window.next_one()
    window.accept()
    window.scene.segmentation.AddEmptySegment("", "Segment_1")
    window.submit()
    window.scene.segmentation.paint("Segment_2", FAR)
    with pytest.raises(ValueError, match="the segment 'Segment_2' is not known here; name the segments"):
        window.submit()
    assert len(served.sent) == 1


def test_a_case_that_has_a_tumor_of_another_name_gets_no_second_one(desk, served):
    window = desk.window(served)
    desk.load("one.nii.gz", {"name": "one"})
    desk._add("vtkMRMLSegmentationNode", "Segmentation")
    desk.nodes[-1].paint("GTV", FAR)
    window.take_scene()
    assert [one.name for one in desk.nodes[1].segments.values()] == ["GTV", "lymph node"]


def test_taking_the_scene_asks_before_decisions_are_lost(desk, window):
    window.next_one()
    window.reject()
    desk.answer = False
    window.take_scene()
    assert len(desk.asked) == 1 and window.review.listed[0]["state"] == "rejected"


def test_find_nodes_asks_before_a_rejection_is_lost(desk, window):
    window.next_one()
    window.reject()
    assert not window.scene.drawn().any()
    desk.answer = False
    window.find()
    assert len(desk.asked) == 1 and window.review.listed[0]["state"] == "rejected"
    desk.answer = True
    window.find()
    assert window.review.listed[0]["state"] == "undecided" and window.scene.drawn().any()


def test_a_tumor_that_was_drawn_before_nodes_were_found_is_still_to_be_submitted(desk, window):
    window.scene.segmentation.paint("tumor", FAR)
    window.find()
    desk.asked.clear()
    window.next_sample()
    assert len(desk.asked) == 1


def test_a_second_rejection_leaves_what_was_drawn_since(desk, window):
    window.next_one()
    window.reject()
    window.scene.segmentation.paint("lymph node 7", BESIDE)
    before = window.scene.drawn()
    window.reject()
    np.testing.assert_array_equal(window.scene.drawn(), before)
    window.accept()
    assert window.scene.drawn()[BOX].all()


def test_of_255_nodes_without_a_tumor_none_is_taken_for_it(desk, window, served):
    values = np.zeros(SHAPE, np.uint16)
    values.reshape(-1)[np.arange(1, 256) * 7] = np.arange(1, 256)
    desk.arrays["label.nrrd"] = values
    served.newest, served.stored = 1, ("label.nrrd", 65535)
    window.next_sample()
    assert len(np.unique(window.scene.drawn())) == 1 + 255


def test_a_server_that_does_not_answer_is_not_asked_for_its_training_again_and_again(desk, window, served):
    window.timer, window.training = SimpleNamespace(stop=lambda: stopped.append(1)), SimpleNamespace(text="")
    stopped = []
    served.refused = {"training": refusal(desk, "log in first", 401)}
    window._tell_training()
    assert stopped == [] and window.training.text == "log in first"
    served.refused = {"training": refusal(desk)}
    window._tell_training()
    assert stopped == [1]
    window.timer.start = lambda: stopped.clear()
    window._press(lambda: None)
    assert stopped == []
    window.timer.stop = lambda: None
