"""Figures of the tagger on scores that can be ranked by hand."""

import math

import numpy as np
import pytest

from osln.rows.tags import TAG_INDEX, TAG_NAMES
from osln.tagging.lesion_set import LesionSet
from osln.tagging.validation import area_under_curve, best_threshold, mean_auc, tag_figures
from small.lesions import BRIGHT, WIDE, small_lesion, small_set


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    scores = np.array([0.9, 0.6, 0.6, 0.1])
    # Pairs: .9 > .6, .9 > .1, .6 = .6 (half), .6 > .1.
    assert area_under_curve(scores, np.array([True, True, False, False])) == pytest.approx(3.5 / 4)


def test_a_tag_that_holds_for_none_or_all_has_no_area():
    assert math.isnan(area_under_curve(np.ones(3), np.zeros(3, bool)))
    assert math.isnan(area_under_curve(np.ones(3), np.ones(3, bool)))


def test_the_threshold_has_the_largest_f1():
    scores = np.array([0.9, 0.8, 0.7, 0.2])
    # From .9 on: 2 * 1 / (1 + 2); from .8: 2 / 4; from .7: 4 / 5; all: 4 / 6.
    assert best_threshold(scores, np.array([True, False, True, False])) == pytest.approx((0.7, 0.8))


def test_equal_scores_are_told_together():
    # A cut between the two .5 is impossible: F1 is 2 / 3 from .5 on.
    assert best_threshold(np.array([0.5, 0.5, 0.1]), np.array([True, False, False])) == pytest.approx(
        (0.5, 2 / 3)
    )


def test_a_tag_that_never_holds_is_never_told():
    assert best_threshold(np.array([0.5, 0.9]), np.zeros(2, bool)) == (1.0, 0.0)


def test_figures_are_of_certain_cells_of_tags_with_both_sides():
    lesions = small_set(range(4))
    probabilities = np.zeros((4, len(TAG_NAMES)), np.float32)
    probabilities[:, BRIGHT] = [0.1, 0.9, 0.2, 0.8]
    probabilities[:, WIDE] = [0.9, 0.1, 0.2, 0.3]
    lesions.certain[0, WIDE] = False
    figures = tag_figures(probabilities, lesions)
    assert set(figures) == {"calcified", "large"}
    assert figures["calcified"] == pytest.approx(
        {"positives": 2, "negatives": 2, "auc": 1.0, "threshold": 0.8, "f1": 1.0}
    )
    assert figures["large"] == pytest.approx(
        {"positives": 2, "negatives": 1, "auc": 1.0, "threshold": 0.2, "f1": 1.0}
    )


def test_no_lesions_give_no_figures_and_no_means():
    empty = LesionSet.collect([])
    figures = tag_figures(np.zeros((0, len(TAG_NAMES))), empty)
    assert figures == {}
    assert mean_auc(figures) == {"all": None, "attribute": None, "body part": None, "type": None}


def test_means_are_taken_by_class():
    figures = {"chest": {"auc": 1.0}, "neck": {"auc": 0.8}, "cyst": {"auc": 0.6}}
    assert mean_auc(figures) == pytest.approx({"all": 0.8, "body part": 0.9, "type": 0.6, "attribute": None})


def test_a_set_comes_back_from_its_file_and_a_damaged_one_is_refused(tmp_path):
    lesions = LesionSet.collect([small_lesion(1, case="a"), small_lesion(2, case="b")])
    path = tmp_path / "deep" / "lesions.npz"
    lesions.save(path)
    again = LesionSet.load(path)
    assert again.cases == ("a", "b")
    for name in ("images", "boxes", "labels", "certain", "reliable"):
        np.testing.assert_array_equal(getattr(again, name), getattr(lesions, name))
    assert again.labels[0, TAG_INDEX["calcified"]] and not again.labels[1, TAG_INDEX["calcified"]]
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match="delete it to make it anew"):
        LesionSet.load(path)
