"""Every variant of the hit, on two objects that the default answers in another way."""

from dataclasses import replace

import numpy as np
import pytest

from osln.metrics.criteria import CRITERIA
from osln.metrics.matching import Matching, find_overlaps, match

MM = np.ones(3)


def line(*runs: tuple[int, int, int], length: int = 60) -> np.ndarray:
    """A label map one voxel high and wide, from (first voxel, number of voxels, label)."""
    labels = np.zeros((length, 1, 1), dtype=np.int32)
    for start, count, label in runs:
        labels[start : start + count] = label
    return labels


def under(name: str, predictions: np.ndarray, nodes: np.ndarray, scores=None) -> Matching:
    return match(predictions, nodes, scores, CRITERIA[name], MM)


def test_one_to_one_makes_the_second_prediction_on_a_node_false():
    two = line((0, 3, 1), (4, 3, 2)), line((0, 8, 1)), np.array([0.4, 0.8])
    assert under("paper", *two).false_positive.tolist() == [False, False]
    strict = under("one-to-one", *two)
    assert strict.found_by.tolist() == [1] and strict.false_positive.tolist() == [True, False]
    assert sorted(strict.scored().scores.tolist()) == [0.4, 0.8]


def test_one_node_lets_a_prediction_over_two_nodes_find_one_of_them():
    two = line((0, 12, 1)), line((0, 5, 1), (6, 6, 2))
    assert (under("paper", *two).found_by >= 0).tolist() == [True, True]
    assert (under("one-node", *two).found_by >= 0).sum() == 1
    assert not under("one-node", *two).false_positive.any()


def test_a_better_prediction_makes_room_for_one_that_has_no_other_node():
    # The first hits both nodes, the second only the node that the first would take.
    two = line((0, 6, 1), (10, 6, 1), (20, 6, 2)), line((0, 6, 2), (10, 16, 1)), np.array([0.9, 0.8])
    for name in ("one-node", "one-to-one"):
        assert under(name, *two).found_by.tolist() == [1, 0]


def test_iou_asks_for_a_tenth_in_common_borders_included():
    # 8 and 8 voxels with one in common: 1/15; 6 and 5 with one: exactly 1/10.
    little, tenth = (line((0, 8, 1)), line((7, 8, 1))), (line((0, 6, 1)), line((5, 5, 1)))
    assert under("paper", *little).found_by.tolist() == [0]
    missed = under("iou-0.1", *little)
    assert missed.found_by.tolist() == [-1] and missed.radius_only.tolist() == [True]
    assert missed.false_positive.tolist() == [True]
    assert under("iou-0.1", *tenth).found_by.tolist() == [0]
    assert match(*tenth, None, replace(CRITERIA["iou-0.1"], least_iou=0.11), MM).found_by.tolist() == [-1]


def test_overlap_alone_does_not_ask_for_a_radius():
    two = line((0, 1, 1)), line((0, 9, 1))
    assert under("paper", *two).found_by.tolist() == [-1]
    assert under("overlap", *two).found_by.tolist() == [0]


def test_picai_asks_for_the_iou_but_not_for_the_radius():
    # 1 of 9 voxels: IoU 1/9, radius ratio .48. Of two such predictions the second is ignored.
    two = line((0, 1, 1), (2, 1, 2)), line((0, 9, 1)), np.array([0.3, 0.6])
    found = under("picai", *two)
    assert found.found_by.tolist() == [1] and found.extra.tolist() == [True, False]
    assert under("iou-0.1", *two).found_by.tolist() == [-1]


def test_luna16_asks_where_the_center_lies():
    # Voxels 0 to 8 have their center in 4: inside the first node, outside the second.
    assert under("luna16", line((0, 9, 1)), line((4, 1, 1))).found_by.tolist() == [0]
    outside = line((0, 9, 1)), line((5, 9, 1))
    assert under("luna16", *outside).found_by.tolist() == [-1]
    assert under("paper", *outside).found_by.tolist() == [0]


def test_half_the_longest_axial_diameter_sees_no_height():
    # Eight voxels each, one row along x and one column along z: axial diameters 8 and 1.
    row, column = np.zeros((10, 3, 10), dtype=int), np.zeros((10, 3, 10), dtype=int)
    row[:8, 1, 0] = 1
    column[0, 1, :8] = 1
    assert under("paper", column, row).found_by.tolist() == [0]
    assert under("radius-axial", column, row).found_by.tolist() == [-1]
    # Mean edges (8 + 1 + 1) / 3 on both sides.
    assert under("radius-box", column, row).found_by.tolist() == [0]


def test_half_the_mean_edge_of_the_box_sees_the_extent_and_not_the_volume():
    # A row of 9 (mean edge 11/3) over a single voxel (edge 1): ratio 3.67; a diagonal of 2: ratio 2/(11/3).
    row, diagonal = np.zeros((9, 3, 3), dtype=int), np.zeros((9, 3, 3), dtype=int)
    row[:, 1, 1] = 1
    diagonal[0, 1, 1] = diagonal[1, 2, 2] = 1
    assert under("radius-box", diagonal, row).found_by.tolist() == [0]
    assert under("radius-axial", diagonal, row).found_by.tolist() == [-1]


def test_the_voxel_size_changes_the_radius_that_needs_it_and_must_be_known_there():
    row, single = np.zeros((4, 1, 1), dtype=int), np.zeros((4, 1, 1), dtype=int)
    row[:4] = single[:1] = 1
    box = CRITERIA["radius-box"]
    # Sums of edges 1 + 1 + 1 and 4 + 1 + 1 are one half, borders included; 2 + 1 + 1 and 8 + 1 + 1 are less.
    assert match(single, row, None, box, np.array([1, 1, 1])).found_by.tolist() == [0]
    assert match(single, row, None, box, np.array([2, 1, 1])).found_by.tolist() == [-1]
    assert match(single, row).found_by.tolist() == [0]
    with pytest.raises(ValueError, match="give spacing_mm"):
        match(single, row, None, box)


@pytest.mark.parametrize("name", CRITERIA)
def test_empty_maps_are_empty_under_every_criterion(name):
    empty, one = line(), line((0, 4, 1))
    assert under(name, empty, one).scored().n_nodes == 1 and len(under(name, empty, one).scored().scores) == 0
    assert under(name, one, empty).false_positive.tolist() == [True]
    assert under(name, empty, empty).scored().n_nodes == 0


@pytest.mark.parametrize("seed", range(5))
def test_overlaps_of_random_maps_are_those_of_sets_of_voxels(seed):
    rng = np.random.default_rng(seed)
    predictions, nodes = ((rng.random((6, 5, 4)) < 0.5) * rng.integers(1, 6, (6, 5, 4)) for _ in range(2))

    def sets(labels):
        return [set(np.flatnonzero(labels == label)) for label in np.unique(labels[labels != 0])]

    found, true = sets(predictions), sets(nodes)
    for name, rule in (
        ("overlap", lambda a, b: len(a & b) > 0),
        ("picai", lambda a, b: len(a & b) / len(a | b) >= 0.1),
        ("paper", lambda a, b: len(a & b) > 0 and 0.5 <= (len(a) / len(b)) ** (1 / 3) <= 1.5),
    ):
        overlaps = find_overlaps(predictions, nodes, CRITERIA[name])
        hits = set(zip(overlaps.predicted[overlaps.fits], overlaps.touched[overlaps.fits], strict=True))
        assert hits == {(i, j) for i, a in enumerate(found) for j, b in enumerate(true) if rule(a, b)}


@pytest.mark.parametrize("seed", range(4))
def test_centers_in_nodes_score_as_in_monai(seed):
    froc_of_monai = pytest.importorskip("monai.metrics.froc")
    rng = np.random.default_rng(seed)
    nodes = np.zeros((12, 12, 12), dtype=np.int64)
    for label, corner in enumerate(rng.integers(0, 9, (3, 3)), start=1):
        nodes[tuple(slice(c, c + 3) for c in corner)] = label
    n_nodes = len(np.unique(nodes)) - 1
    places = rng.choice(12**3, 30, replace=False)
    predictions = np.zeros(nodes.shape, dtype=np.int64)
    predictions.flat[places] = np.arange(1, 31)
    scores = rng.permutation(np.arange(1, 31)) / 31
    false, found, targets = froc_of_monai.compute_fp_tp_probs_nd(
        scores, np.stack(np.unravel_index(places, nodes.shape), axis=1), nodes
    )
    scored = match(predictions, nodes, scores, CRITERIA["luna16"]).scored()
    assert scored.n_nodes == n_nodes == targets
    assert sorted(scored.scores[~scored.hits]) == sorted(false.tolist())
    # MONAI keeps found nodes in single precision and misses as 0.
    assert sorted(scored.scores[scored.hits]) == pytest.approx(sorted(found[found > 0].tolist()))
