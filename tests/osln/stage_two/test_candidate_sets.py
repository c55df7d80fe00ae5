"""Candidate sets: what is true follows the hit rule, and a file gives back what was put into it."""

from dataclasses import fields, replace

import numpy as np
import pytest

from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn
from osln.imaging.reviewed_part import DECIDED, NEAR, UNDECIDED, UNKNOWN
from osln.metrics.matching import Overlaps
from osln.rows.experiments import PRESETS
from osln.stage_one.candidates import Detections, find_candidates
from osln.stage_two.candidate_sets import (
    LEFT_OUT,
    candidate_set,
    iou_path,
    load_set,
    node_iou,
    save_set,
)
from small.candidates import small_set

STAGE_TWO = PRESETS["demo"].stage_two
SHAPE = (30, 30, 20)
SPACING_MM = (2.0, 2.0, 3.0)


def cube(x: int, y: int, z: int, size: int) -> tuple[slice, slice, slice]:
    return slice(x, x + size), slice(y, y + size), slice(z, z + size)


def found(nodes: dict, predictions: list, *, pet: bool = True) -> Detections:
    """Nodes by label and (place, probability) of what stage one has found."""
    labels = np.zeros(SHAPE, dtype=np.int32)
    for value, place in nodes.items():
        labels[place] = value
    prob = np.zeros(SHAPE, dtype=np.float32)
    for place, value in predictions:
        prob[place] = value
    column = LungColumn(
        "p1", Grid(SHAPE, np.diag([*SPACING_MM, 1.0])), np.full(SHAPE, 40, np.float32),
        np.full(SHAPE, 1.5, np.float32) if pet else None, None, None, labels, np.ones(SHAPE, dtype=bool),
    )  # fmt: skip
    candidates, candidate_labels = find_candidates(prob, 0.5, column)
    return Detections("lf-stratified", 0.5, candidates, candidate_labels, prob, column, {})


HIT, TOO_LARGE, FALSE = cube(2, 2, 2, 3), cube(10, 10, 2, 5), cube(20, 20, 10, 2)
NODES = {1: cube(3, 3, 3, 3), 4: cube(12, 12, 4, 2), 7: cube(2, 20, 12, 4)}
PREDICTIONS = [(HIT, 0.7), (TOO_LARGE, 0.9), (FALSE, 0.8)]


def test_what_is_true_follows_the_hit_rule():
    one = candidate_set(found(NODES, PREDICTIONS), STAGE_TWO, add_nodes=False)

    # By falling score: the one of 2.5 times the node's radius is neither a node nor none.
    assert one.stage_one_scores.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert one.truth.tolist() == [LEFT_OUT, 0, 1] and one.n_candidates == 3
    assert one.case == "p1" and len(one.patches) == len(one.lesions) == 3
    scored = one.scored()
    assert scored.n_nodes == 3 and scored.scores[scored.hits].tolist() == pytest.approx([0.7])
    # For the evaluation it is a false positive.
    assert sorted(scored.scores[~scored.hits].tolist()) == pytest.approx([0.8, 0.9])


def test_new_scores_decide_which_of_two_hits_counts():
    two = [(cube(2, 2, 2, 2), 0.7), (cube(5, 5, 5, 2), 0.9)]
    one = candidate_set(found({1: cube(2, 2, 2, 5)}, two), STAGE_TWO, add_nodes=False)
    assert one.truth.tolist() == [LEFT_OUT, LEFT_OUT]
    two = [(cube(2, 2, 2, 3), 0.7), (cube(6, 6, 6, 3), 0.9)]
    one = candidate_set(found({1: cube(2, 2, 2, 7)}, two), STAGE_TWO, add_nodes=False)
    assert one.truth.tolist() == [LEFT_OUT, LEFT_OUT]
    two = [(cube(2, 2, 2, 3), 0.7), (cube(6, 6, 6, 3), 0.9)]
    one = candidate_set(found({1: cube(3, 3, 3, 5)}, two), STAGE_TWO, add_nodes=False)
    assert one.truth.tolist() == [1, 1]
    assert one.scored().scores.tolist() == pytest.approx([0.9])
    assert one.scored(np.array([0.2, 0.6])).scores.tolist() == pytest.approx([0.6])
    with pytest.raises(ValueError, match="3 scores for 2 predictions"):
        one.scored(np.ones(3))


def test_for_training_every_true_node_is_added_found_or_not():
    one = candidate_set(found(NODES, PREDICTIONS), STAGE_TWO, add_nodes=True)

    assert one.truth.tolist() == [LEFT_OUT, 0, 1, 1, 1, 1]
    assert one.n_candidates == 3 and len(one.patches) == len(one.lesions) == 6
    # Node 7 of 4 voxels is in the middle of its patch of 20 x 20 x 16.
    assert one.patches.boxes[5].tolist() == [[8, 12], [8, 12], [6, 10]]
    # Node 4 of 2 x 2 voxels of 2 mm from voxel 12 on, 5 mm added on each side, in its lowest slice.
    assert one.lesions[4].tolist() == pytest.approx([18, 32, 18, 32, 12])
    scored = one.scored()
    assert len(scored.scores) == 3 and scored.n_nodes == 3


def test_a_patient_without_candidates_keeps_its_nodes():
    one = candidate_set(found(NODES, []), STAGE_TWO, add_nodes=False)
    assert len(one.patches) == one.n_candidates == 0 and one.lesions.shape == (0, 5)
    assert one.scored().n_nodes == 3 and one.scored().scores.size == 0
    added = candidate_set(found(NODES, []), STAGE_TWO, add_nodes=True)
    assert added.truth.tolist() == [1, 1, 1] and added.n_candidates == 0


def test_nodes_outside_the_searched_column_are_missed_and_nothing_is_learned_from_them():
    detections = found(NODES, PREDICTIONS)
    outside = replace(detections, column=replace(detections.column, outside_mm=(80.0, 20.0)))
    for add_nodes in (False, True):
        before = candidate_set(detections, STAGE_TWO, add_nodes=add_nodes)
        after = candidate_set(outside, STAGE_TWO, add_nodes=add_nodes)
        assert after.scored().n_nodes == before.scored().n_nodes + 2
        assert after.scored().hits.sum() == before.scored().hits.sum()
        assert after.truth.tolist() == before.truth.tolist()


def test_of_a_patient_in_part_only_what_was_rejected_is_no_node():
    other = cube(24, 2, 14, 2)
    detections = found(NODES, [*PREDICTIONS, (other, 0.6)])
    known = np.full(SHAPE, NEAR, dtype=np.uint8)

    def truth(add_nodes=False) -> list[int]:
        column = replace(detections.column, known=known)
        return candidate_set(
            replace(detections, column=column), STAGE_TWO, add_nodes=add_nodes
        ).truth.tolist()

    # By falling score: too large, false, a hit, another false one.
    assert candidate_set(detections, STAGE_TWO, add_nodes=False).truth.tolist() == [LEFT_OUT, 0, 1, 0]
    assert truth() == [LEFT_OUT, LEFT_OUT, 1, LEFT_OUT], "near what was decided is not decided"
    known[other] = DECIDED
    assert truth() == [LEFT_OUT, LEFT_OUT, 1, 0]
    assert truth(add_nodes=True) == [LEFT_OUT, LEFT_OUT, 1, 0, 1, 1, 1]
    # Half of the 8 voxels of the other one, and three of them.
    known[20:22, 20:22, 10] = DECIDED
    assert truth() == [LEFT_OUT, 0, 1, 0]
    known[20, 20, 10] = UNKNOWN
    assert truth() == [LEFT_OUT, LEFT_OUT, 1, 0]
    # One voxel of an undecided candidate: all the rest of it decided is not enough.
    known[other] = DECIDED
    known[24, 2, 14] = UNDECIDED
    assert truth() == [LEFT_OUT, LEFT_OUT, 1, LEFT_OUT]


def test_the_overlap_of_a_hit_is_that_of_its_voxels_and_nobody_else_has_one():
    detections = found(NODES, PREDICTIONS)
    content = candidate_set(detections, STAGE_TWO, add_nodes=True)

    iou = node_iou(detections, content)

    # Too large; false; two cubes of 27 voxels that share 8; three added nodes.
    assert content.truth.tolist() == [LEFT_OUT, 0, 1, 1, 1, 1] and iou.dtype == np.float32
    assert iou.tolist() == pytest.approx([np.nan, 0, 8 / (27 + 27 - 8), 1, 1, 1], nan_ok=True)
    assert node_iou(detections, candidate_set(detections, STAGE_TWO, add_nodes=False)).shape == (3,)


def test_of_several_nodes_that_a_candidate_hits_the_largest_overlap_counts():
    # 64 voxels over one node of 27 and one of 32 voxels, of which it has 18 and 32.
    nodes = {1: cube(3, 4, 4, 3), 2: (slice(4, 8), slice(2, 4), slice(2, 6))}
    detections = found(nodes, [(cube(4, 2, 2, 4), 0.7)])
    content = candidate_set(detections, STAGE_TWO, add_nodes=False)
    shared = np.array([(detections.column.nodes[cube(4, 2, 2, 4)] == label).sum() for label in (1, 2)])

    assert content.overlaps.fits.tolist() == [True, True] and shared.tolist() == [8, 32]
    assert node_iou(detections, content).tolist() == pytest.approx([32 / 64])


def test_what_a_review_in_part_does_not_decide_has_no_overlap():
    detections = found(NODES, PREDICTIONS)
    known = np.full(SHAPE, NEAR, dtype=np.uint8)
    part = replace(detections, column=replace(detections.column, known=known))
    content = candidate_set(part, STAGE_TWO, add_nodes=False)

    assert content.truth.tolist() == [LEFT_OUT, LEFT_OUT, 1]
    assert node_iou(part, content).tolist() == pytest.approx([np.nan, np.nan, 8 / 46], nan_ok=True)


def test_overlaps_are_not_taken_from_other_candidates():
    detections = found(NODES, PREDICTIONS)
    content = candidate_set(detections, STAGE_TWO, add_nodes=False)
    for other in (PREDICTIONS[:2], [*PREDICTIONS[:2], (FALSE, 0.6)]):
        with pytest.raises(ValueError, match=r"kept candidates of case p1 are not those .* made anew"):
            node_iou(found(NODES, other), content)


def test_a_patient_without_nodes_has_false_candidates_only():
    one = candidate_set(found({}, PREDICTIONS), STAGE_TWO, add_nodes=True)
    assert one.truth.tolist() == [0, 0, 0] and one.scored().n_nodes == 0


def test_a_case_that_nobody_has_labeled_is_refused():
    detections = found({}, PREDICTIONS)
    unlabeled = replace(detections, column=replace(detections.column, nodes=None))
    with pytest.raises(ValueError, match="case p1 has no approved nodes to compare with: review and submit"):
        candidate_set(unlabeled, STAGE_TWO, add_nodes=False)


@pytest.mark.parametrize("pet", [True, False])
def test_what_is_saved_is_loaded(tmp_path, pet):
    saved = candidate_set(found(NODES, PREDICTIONS, pet=pet), STAGE_TWO, add_nodes=True)
    save_set(tmp_path / "sets" / "p1.npz", saved)

    loaded = load_set(tmp_path / "sets" / "p1.npz")

    assert loaded.case == "p1" and (loaded.patches.pet_suv is None) == (not pet)
    for name in ("lesions", "stage_one_scores", "truth"):
        assert np.array_equal(getattr(loaded, name), getattr(saved, name))
        assert getattr(loaded, name).dtype == getattr(saved, name).dtype
    for name in ("ct_hu", "boxes", *(["pet_suv"] if pet else [])):
        assert np.array_equal(getattr(loaded.patches, name), getattr(saved.patches, name))
    for part in fields(Overlaps):
        assert np.array_equal(getattr(loaded.overlaps, part.name), getattr(saved.overlaps, part.name))
    assert loaded.scored().scores.tolist() == saved.scored().scores.tolist()
    assert [path.name for path in (tmp_path / "sets").iterdir()] == ["p1.npz"]


def test_overlaps_lie_in_a_file_of_their_own(tmp_path):
    path = tmp_path / "p1.npz"
    one = small_set(0)
    save_set(path, one)
    before = path.read_bytes()
    save_set(path, replace(one, iou=None))

    assert path.read_bytes() == before and load_set(path).iou is None
    with pytest.raises(ValueError, match=r"p1-iou\.npy cannot be read .*: delete it"):
        load_set(path, iou=True)
    np.save(iou_path(path), one.iou)
    assert load_set(path, iou=True).iou.tolist() == one.iou.tolist()
    np.save(iou_path(path), one.iou[:-1])
    with pytest.raises(ValueError, match=r"7,\) overlaps of \(8,\) candidates"):
        load_set(path, iou=True)


def test_damaged_files_are_refused_with_the_way_out(tmp_path):
    path = tmp_path / "p1.npz"
    save_set(path, small_set(0))
    whole = path.read_bytes()
    middle = len(whole) // 3
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    for damaged in (whole[:middle], b"", b"candidates", flipped):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"p1\.npz cannot be read .*: delete it, it will be made anew"):
            load_set(path)
    np.savez(path, case=np.array("p1"))
    with pytest.raises(ValueError, match="delete it"):
        load_set(path)
    np.savez(path, case=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="delete it"):
        load_set(path)
    with pytest.raises(ValueError, match="delete it"):
        load_set(tmp_path / "none.npz")
