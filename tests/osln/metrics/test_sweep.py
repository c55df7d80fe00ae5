from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from osln.metrics.criteria import CRITERIA, PAPER
from osln.metrics.definitions import Counts, macro_curves
from osln.metrics.matching import match
from osln.metrics.sweep import THRESHOLDS, sweep

CONNECTED = np.ones((3, 3, 3))


def test_counts_at_three_thresholds_of_two_objects_by_hand():
    prob = np.zeros((12, 3, 3), dtype=np.float32)
    prob[1:3, 1, 1] = 0.9
    prob[3:5, 1, 1] = 0.6
    prob[8:10, 1, 1] = 0.6
    nodes = np.zeros(prob.shape, dtype=np.int32)
    nodes[1:4, 1, 1] = 1
    found = sweep(prob, nodes, np.array([0.5, 0.7, 0.95]))
    # At .5 the first object has 4 voxels (node: 3), the second is false; at .7 2 voxels are left.
    assert found.true_predictions.tolist() == [1, 1, 0]
    assert found.false_predictions.tolist() == [1, 0, 0]
    assert found.hit_nodes.tolist() == [1, 1, 0]
    assert found.n_nodes == 1


def test_a_prediction_over_two_nodes_is_one_true_one():
    prob = np.zeros((14, 1, 1), dtype=np.float32)
    prob[:5] = prob[10:12] = 0.9
    nodes = np.zeros(prob.shape, dtype=np.int32)
    nodes[:2], nodes[3:5] = 1, 2
    found = sweep(prob, nodes, np.array([0.5]))
    # 5 voxels against 2 and 2: radius ratio 1.36. Over scores the precision would be 2/3.
    assert (found.true_predictions, found.false_predictions, found.hit_nodes) == (1, 1, 2)
    assert macro_curves(Counts.of([found], np.array([0.5])))[1].tolist() == [0.5]


def test_a_prediction_that_outgrows_its_node_loses_it():
    prob = np.zeros((20, 1, 1), dtype=np.float32)
    prob[:10] = 0.3
    prob[2:4] = 0.8
    nodes = np.zeros(prob.shape, dtype=np.int32)
    nodes[2:4] = 1
    found = sweep(prob, nodes, np.array([0.2, 0.5]))
    # 10 voxels against 2: radius ratio 1.71.
    assert found.hit_nodes.tolist() == [0, 1] and found.false_predictions.tolist() == [1, 0]


def test_a_voxel_on_the_threshold_belongs_to_the_prediction():
    prob = np.full((1, 1, 1), 0.1, dtype=np.float32)
    found = sweep(prob, np.ones((1, 1, 1), dtype=np.int32), np.array([0.1]))
    assert found.hit_nodes.tolist() == [1]


def test_corner_neighbors_are_one_component():
    prob = np.zeros((2, 2, 2), dtype=np.float32)
    prob[0, 0, 0] = prob[1, 1, 1] = 0.9
    assert sweep(prob, np.zeros(prob.shape, dtype=np.int32), np.array([0.5])).false_predictions.tolist() == [
        1
    ]


def test_every_threshold_gives_what_labeling_and_matching_give():
    rng = np.random.default_rng(3)
    smooth = ndimage.gaussian_filter(rng.normal(size=(24, 20, 26)), 1.2)
    prob = (1 / (1 + np.exp(-(smooth / smooth.std() * 3 - 4)))).astype(np.float32)
    other = ndimage.gaussian_filter(rng.normal(size=prob.shape), 1.2)
    nodes, _ = ndimage.label(smooth / smooth.std() + other / other.std() > 2.0, CONNECTED)
    found = sweep(prob, nodes)
    assert found.hit_nodes.max() > 3 and found.false_predictions.max() > 3
    for i, threshold in enumerate(THRESHOLDS):
        labels, n = ndimage.label(prob >= np.float32(threshold), CONNECTED)
        scores = ndimage.mean(prob.astype(np.float64), labels, np.arange(1, n + 1)) if n else np.zeros(0)
        matching = match(labels, nodes, scores)
        assert found.true_predictions[i] == matching.true_positive.sum()
        assert found.false_predictions[i] == matching.false_positive.sum()
        assert found.hit_nodes[i] == (matching.found_by >= 0).sum()


def test_an_empty_map_and_a_patient_without_nodes_give_zeros():
    empty = sweep(np.zeros((4, 4, 4), dtype=np.float32), np.zeros((4, 4, 4), dtype=np.int32))
    assert empty.n_nodes == 0 and not empty.false_predictions.any() and not empty.hit_nodes.any()


def test_thresholds_that_do_not_ascend_and_other_grids_are_refused():
    with pytest.raises(ValueError, match="ascending"):
        sweep(np.zeros((2, 2, 2)), np.zeros((2, 2, 2), dtype=int), np.array([0.5, 0.2]))
    with pytest.raises(ValueError, match="one grid"):
        sweep(np.zeros((2, 2, 2)), np.zeros((2, 2, 3), dtype=int))


def test_the_thresholds_reach_both_ends_of_saturated_probabilities():
    assert THRESHOLDS[0] == pytest.approx(0.0009, abs=1e-4) and THRESHOLDS[-1] == pytest.approx(
        1 - 8e-7, abs=1e-7
    )
    assert 0.5 in THRESHOLDS
    assert (np.diff(THRESHOLDS.astype(np.float32)) > 0).all()


def test_a_precision_that_needs_a_threshold_near_one_is_found():
    prob = np.zeros((20, 1, 1), dtype=np.float32)
    prob[:4], prob[10:14] = 0.99999, 0.995
    nodes = np.zeros(prob.shape, dtype=np.int32)
    nodes[:4] = 1
    found = sweep(prob, nodes)
    clean = (found.false_predictions == 0) & (found.hit_nodes == 1)
    assert clean.any() and THRESHOLDS[clean].min() > 0.995


@pytest.mark.parametrize("name", ["one-to-one", "radius-box", "overlap"])
def test_a_variant_at_every_threshold_is_labeling_and_matching_under_it(name):
    prob = np.zeros((12, 3, 3), dtype=np.float32)
    prob[1:3, 1, 1] = 0.9
    prob[5:7, 1, 1] = 0.6
    nodes = np.zeros(prob.shape, dtype=np.int32)
    nodes[1:8, 1, 1] = 1
    found = sweep(prob, nodes, np.array([0.5, 0.7]), CRITERIA[name], np.ones(3))
    # Two predictions of 2 voxels on a node of 7: sphere ratio .66; mean edges 4/3 and 9/3, ratio .44.
    wanted = {
        "one-to-one": ([1, 1], [1, 0], [1, 1]),
        "radius-box": ([0, 0], [2, 1], [0, 0]),
        "overlap": ([1, 1], [0, 0], [1, 1]),
    }[name]
    assert (
        found.true_predictions.tolist(),
        found.false_predictions.tolist(),
        found.hit_nodes.tolist(),
    ) == wanted
    assert found.n_nodes == 1


def test_the_plain_way_and_the_single_pass_give_the_same_counts():
    rng = np.random.default_rng(8)
    prob = ndimage.gaussian_filter(rng.random((16, 14, 12)), 1.0).astype(np.float32)
    prob = (prob - prob.min()) / (prob.max() - prob.min())
    nodes, _ = ndimage.label(ndimage.gaussian_filter(rng.random(prob.shape), 1.0) > 0.58, CONNECTED)
    levels = np.array([0.3, 0.5, 0.6, 0.7, 0.8])
    one = sweep(prob, nodes, levels)
    other = sweep(prob, nodes, levels, replace(PAPER, name="paper by labeling"))
    assert one.hit_nodes.max() > 1
    for name in ("true_predictions", "false_predictions", "hit_nodes", "n_nodes"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
