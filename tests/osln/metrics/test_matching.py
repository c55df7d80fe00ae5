import numpy as np
import pytest

from osln.metrics.criteria import CRITERIA
from osln.metrics.matching import Scored, match, radius_fits


def line(*runs: tuple[int, int, int], length: int = 200) -> np.ndarray:
    """A label map one voxel high and wide, from (first voxel, number of voxels, label)."""
    labels = np.zeros((length, 1, 1), dtype=np.int32)
    for start, count, label in runs:
        labels[start : start + count] = label
    return labels


def test_a_prediction_that_shares_a_voxel_and_has_a_fitting_radius_is_a_hit():
    matching = match(line((0, 8, 1)), line((7, 8, 5)), np.array([0.7]))
    assert matching.found_by.tolist() == [0] and matching.node_labels.tolist() == [5]
    scored = matching.scored()
    assert scored.scores.tolist() == [0.7] and scored.hits.tolist() == [True] and scored.n_nodes == 1


def test_touching_without_a_shared_voxel_is_no_hit():
    matching = match(line((0, 8, 1)), line((8, 8, 1)), np.array([0.7]))
    assert matching.found_by.tolist() == [-1] and matching.false_positive.tolist() == [True]
    assert not matching.radius_only.any()


def test_overlap_without_the_radius_is_a_false_positive_and_the_node_stays_missed():
    # 1 voxel against 9: the radius ratio is (1/9)^(1/3) = .481.
    matching = match(line((0, 1, 1)), line((0, 9, 1)), np.array([0.9]))
    assert matching.false_positive.tolist() == [True] and matching.found_by.tolist() == [-1]
    assert matching.radius_only.tolist() == [True]
    scored = matching.scored()
    assert scored.hits.tolist() == [False] and scored.n_nodes == 1


def test_the_borders_of_the_radius_rule_belong_to_it():
    # Half the radius is an eighth of the volume; 1.5 times the radius 3.375 times the volume.
    assert radius_fits(np.array([1, 27]), np.array([8, 8])).all()
    assert not radius_fits(np.array([1, 28]), np.array([9, 8])).any()


def test_of_several_predictions_on_one_node_the_best_counts_and_the_others_are_neither():
    predictions = line((0, 3, 1), (4, 3, 2), (20, 3, 3))
    matching = match(predictions, line((0, 8, 1)), np.array([0.4, 0.8, 0.6]))
    assert matching.found_by.tolist() == [1]
    assert matching.true_positive.tolist() == [False, True, False]
    assert matching.extra.tolist() == [True, False, False]
    assert matching.false_positive.tolist() == [False, False, True]
    scored = matching.scored()
    assert scored.scores.tolist() == [0.8, 0.6] and scored.hits.tolist() == [True, False]


def test_one_prediction_over_two_nodes_is_tested_with_each_on_its_own():
    # 12 voxels over nodes of 6 and 1: ratio 1.26 fits, 2.29 does not.
    matching = match(line((0, 12, 1)), line((0, 6, 1), (8, 1, 2)), np.array([0.5]))
    assert matching.found_by.tolist() == [0, -1] and matching.radius_only.tolist() == [False, True]
    both = match(line((0, 12, 1)), line((0, 5, 1), (6, 6, 2)), np.array([0.5]))
    assert both.found_by.tolist() == [0, 0] and both.scored().hits.tolist() == [True, True]
    assert both.true_positive.tolist() == [True]


def test_among_equal_scores_the_lowest_label_counts():
    matching = match(line((0, 3, 4), (4, 3, 9)), line((0, 8, 1)))
    assert matching.found_by.tolist() == [0] and matching.extra.tolist() == [False, True]


def test_nothing_predicted_and_nothing_there_are_empty_not_errors():
    empty = line()
    missed = match(empty, line((0, 4, 1))).scored()
    assert len(missed.scores) == 0 and missed.n_nodes == 1
    alone = match(line((0, 4, 1)), empty, np.array([0.3])).scored()
    assert alone.hits.tolist() == [False] and alone.n_nodes == 0
    assert match(empty, empty).scored().n_nodes == 0


def test_label_values_need_not_be_contiguous():
    matching = match(line((0, 4, 70), (10, 4, 7)), line((0, 4, 300), (10, 4, 2)), np.array([0.1, 0.2]))
    assert matching.prediction_labels.tolist() == [7, 70] and matching.node_labels.tolist() == [2, 300]
    assert matching.found_by.tolist() == [0, 1]


def test_maps_of_different_grids_and_wrong_numbers_of_scores_are_refused():
    with pytest.raises(ValueError, match="use one grid"):
        match(line(), line(length=10))
    with pytest.raises(ValueError, match="2 scores for 1 predictions"):
        match(line((0, 4, 1)), line(), np.array([0.1, 0.2]))


def test_maps_in_any_memory_order_match_alike():
    rng = np.random.default_rng(5)
    predictions, nodes = ((rng.random((9, 8, 7)) < 0.3) * rng.integers(1, 5, (9, 8, 7)) for _ in range(2))
    plain = match(predictions, nodes)
    turned = match(
        np.asfortranarray(predictions[::-1])[::-1], nodes.astype(np.uint8).transpose(2, 1, 0).copy().T
    )
    assert (plain.found_by >= 0).any()
    for name in ("prediction_labels", "node_labels", "found_by", "extra", "radius_only"):
        assert getattr(plain, name).tolist() == getattr(turned, name).tolist()


def test_a_prediction_that_also_hits_an_ignored_finding_still_counts_for_its_node():
    # The first hits the node, the second nothing but is to be ignored, the third is false.
    matching = match(line((0, 4, 1), (10, 4, 2), (20, 4, 3)), line((0, 4, 1)), np.array([0.5, 0.6, 0.7]))
    scored = matching.ignoring(np.array([True, True, False])).scored()
    assert scored.scores.tolist() == [0.5, 0.7] and scored.hits.tolist() == [True, False]


def test_a_second_prediction_on_a_node_is_neither_if_it_is_to_be_ignored_under_one_to_one_too():
    found = match(line((1, 2, 1), (4, 2, 2)), line((1, 5, 1)), np.array([0.9, 0.5]), CRITERIA["one-to-one"])
    assert found.false_positive.tolist() == [False, True]
    ignoring = found.ignoring(np.array([False, True]))
    assert ignoring.true_positive.tolist() == [True, False] and not ignoring.false_positive.any()


def test_pairs_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="not a number"):
        Scored(np.array([np.nan]), np.array([False]), 0)
    with pytest.raises(ValueError, match="2 hits for 1 nodes"):
        Scored(np.array([0.1, 0.2]), np.array([True, True]), 1)
    with pytest.raises(ValueError, match="one score for each"):
        Scored(np.array([0.1, 0.2]), np.array([True]), 1)
