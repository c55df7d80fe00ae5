"""Numbers that stay with a node, and candidates matched to the parts of a mask."""

import numpy as np
import pytest

from osln.dicom.colors import cielab, node_color
from osln.dicom.nodes import NOTHING, Node, NodeSet, described, match_candidates, stable_numbers
from osln.imaging.grid import Grid
from osln.imaging.single_nodes import single_nodes
from small.geometry import RAS
from small.nodes import PREDICTION

GRID = Grid((20, 18, 12), RAS)
"""Voxels of 1.5 x 2 x 3 mm."""


def mask_of(*boxes, shape=GRID.shape):
    mask = np.zeros(shape, dtype=np.uint8)
    for box in boxes:
        mask[box] = 1
    return mask


HEAD = (slice(2, 5), slice(3, 6), slice(9, 11))
MIDDLE = (slice(12, 15), slice(3, 6), slice(5, 7))
FEET = (slice(2, 6), slice(12, 15), slice(1, 3))


def candidate(number, box, **values):
    center = [(part.start + part.stop - 1) / 2 for part in box]
    voxels = np.prod([part.stop - part.start for part in box])
    radius = (3 * voxels * GRID.voxel_mm3 / (4 * np.pi)) ** (1 / 3)
    entry = {"id": number, "center_mm": GRID.index_to_mm(np.array(center)).tolist(), "radius_mm": radius}
    return entry | {"score": 0.5} | values


def test_the_first_label_is_numbered_from_head_to_feet():
    labels = stable_numbers([mask_of(FEET, HEAD, MIDDLE)])

    assert (labels[HEAD] == 1).all()
    assert (labels[MIDDLE] == 2).all()
    assert (labels[FEET] == 3).all()
    assert (labels > 0).sum() == 18 + 18 + 24


def test_a_node_keeps_its_number_when_others_come_and_go():
    first = mask_of(HEAD, FEET)
    added = mask_of(HEAD, MIDDLE, FEET)
    removed = mask_of(MIDDLE, FEET)
    labels = stable_numbers([first, added, removed])

    assert (labels[FEET] == 2).all()
    assert (labels[MIDDLE] == 3).all()
    assert set(np.unique(labels)) == {0, 2, 3}


def test_a_number_is_never_given_twice():
    # The node at the head (1) goes and comes back: nobody knows whether it is the same one.
    labels = stable_numbers([mask_of(HEAD, FEET), mask_of(FEET), mask_of(HEAD, FEET)])

    assert (labels[FEET] == 2).all()
    assert (labels[HEAD] == 3).all()


def test_a_reshaped_node_keeps_its_number_and_of_a_split_one_the_larger_part_does():
    whole = (slice(2, 10), slice(3, 6), slice(5, 7))
    large, small = (slice(2, 7), slice(3, 6), slice(5, 7)), (slice(8, 10), slice(3, 6), slice(5, 7))
    labels = stable_numbers([mask_of(HEAD, whole), mask_of(HEAD, large, small)])

    assert (labels[large] == 2).all()
    assert (labels[small] == 3).all()


def test_of_two_nodes_that_grow_together_the_larger_gives_its_number():
    large, small = (slice(2, 7), slice(3, 6), slice(5, 7)), (slice(8, 10), slice(3, 6), slice(5, 7))
    whole = (slice(2, 10), slice(3, 6), slice(5, 7))
    numbered = stable_numbers([mask_of(large, small)])

    labels = stable_numbers([mask_of(large, small), mask_of(whole)])
    assert (labels[whole] == numbered[large].max()).all()


def test_no_nodes_and_no_label():
    assert not stable_numbers([mask_of(HEAD), mask_of()]).any()
    with pytest.raises(ValueError, match="no label to number"):
        stable_numbers([])


def test_touching_values_are_instances_of_their_own_and_corners_connect():
    labels = np.zeros((4, 4, 4), dtype=np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = 1
    labels[1, 1, 2] = 2
    labels[3, 3, 3] = 2
    found, count = single_nodes(labels)

    assert count == 3
    assert found[0, 0, 0] == found[1, 1, 1] != 0
    assert len({found[0, 0, 0], found[1, 1, 2], found[3, 3, 3]}) == 3


def test_parts_of_a_mask_get_the_ids_of_their_candidates():
    labels = match_candidates(
        mask_of(HEAD, MIDDLE, FEET), GRID, [candidate(7, FEET), candidate(2, HEAD), candidate(3, MIDDLE)]
    )

    assert (labels[HEAD] == 2).all()
    assert (labels[MIDDLE] == 3).all()
    assert (labels[FEET] == 7).all()


def test_two_candidates_that_touch_are_divided_between_them():
    left, right = (slice(2, 6), slice(3, 6), slice(5, 7)), (slice(6, 10), slice(3, 6), slice(5, 7))
    labels = match_candidates(mask_of(left, right), GRID, [candidate(1, left), candidate(2, right)])

    assert (labels[left] == 1).all()
    assert (labels[right] == 2).all()


def test_a_fragment_belongs_to_the_candidate_beside_it():
    fragment = (slice(6, 7), slice(12, 13), slice(4, 5))
    labels = match_candidates(mask_of(FEET, HEAD, fragment), GRID, [candidate(1, FEET), candidate(2, HEAD)])

    assert (labels[fragment] == 1).all()


@pytest.mark.parametrize(
    ("boxes", "candidates", "words"),
    [
        ([HEAD], [candidate(1, HEAD), candidate(2, FEET)], r"candidates \[2\] have no voxels"),
        ([], [candidate(1, HEAD)], "the label map is empty"),
        ([HEAD, FEET], [candidate(1, HEAD)], "no candidate describes the node at"),
        ([HEAD], [], "no candidate describes the node at"),
        ([HEAD], [candidate(1, HEAD), candidate(1, HEAD)], "different ids"),
        ([HEAD], [{"id": 1, "score": 0.5}], "lacks its center_mm"),
        ([HEAD], [{"id": 1}], "lacks its id, score"),
        ([HEAD], ["node"], "lacks its id, score"),
    ],
)
def test_candidates_and_masks_that_do_not_belong_together_are_refused(boxes, candidates, words):
    with pytest.raises(ValueError, match=words):
        match_candidates(mask_of(*boxes), GRID, candidates)


def test_a_candidate_is_described_by_its_stage_two_score_where_it_has_one():
    both = described({"id": 3, "score": 0.4, "stage_two_score": 0.9, "zone": "distal", "suv_max": None})

    assert both == Node(3, 0.9, "GLNet", "distal", None)
    assert described({"id": 3, "score": 0.4}).description == "stage one score 0.40"
    assert both.description == "GLNet score 0.90, distal to the primary tumor"


def test_labels_and_list_of_nodes_must_agree():
    with pytest.raises(ValueError, match=r"values \[1\], the list of nodes the numbers \[2\]"):
        NodeSet(mask_of(HEAD).astype(np.uint16), GRID, (Node(2),), PREDICTION)


def test_colors_depend_on_the_number_alone_and_neighbors_differ():
    assert Node(5, 0.9).color == Node(5).color == node_color(5)
    colors = np.array([node_color(number) for number in range(1, 9)], dtype=float)
    apart = np.abs(colors[:, None] - colors[None]).sum(axis=2) + 1000 * np.eye(8)
    assert apart.min() > 60


def test_a_node_named_after_nothing_is_not_numbered():
    assert (NOTHING.name, Node(1).name) == ("lymph node", "lymph node 1")


@pytest.mark.parametrize(
    ("color", "lab"),
    [((255, 255, 255), (100, 0, 0)), ((0, 0, 0), (0, 0, 0)), ((255, 0, 0), (53.24, 80.09, 67.20))],
)
def test_cielab_is_stored_as_the_standard_scales_it(color, lab):
    # Values of sRGB white, black and red under D65; 0..100 and -128..127 on 0..65535.
    expected = [lab[0] * 655.35, (lab[1] + 128) * 257, (lab[2] + 128) * 257]
    np.testing.assert_allclose(cielab(color), expected, atol=10)


def test_numbers_that_are_known_from_elsewhere_are_kept_and_never_given_again():
    known = mask_of(HEAD).astype(np.uint16) * 7

    labels = stable_numbers([known, mask_of(HEAD, FEET)], numbered_already=[0])
    assert sorted(set(labels.ravel())) == [0, 7, 8] and (labels[HEAD] == 7).all()
    np.testing.assert_array_equal(stable_numbers([known], numbered_already=[0]), known)
