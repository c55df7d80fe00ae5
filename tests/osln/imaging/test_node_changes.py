"""Counting what an annotator changed."""

import numpy as np
import pytest

from osln.imaging.node_changes import NodeChanges, compare_nodes
from osln.imaging.single_nodes import single_nodes


def mask(*boxes):
    filled = np.zeros((12, 10, 8), dtype=bool)
    for box in boxes:
        filled[box] = True
    return filled


A = np.s_[1:3, 1:3, 1:3]
B = np.s_[6:8, 6:8, 5:7]
B_GROWN = np.s_[6:9, 6:8, 5:7]
C = np.s_[10:12, 0:2, 0:2]


def test_each_node_is_counted_once_in_the_group_it_belongs_to():
    assert compare_nodes(mask(A, B, C), mask(A, B_GROWN, np.s_[0:2, 8:10, 6:8])) == NodeChanges(
        added=1, removed=1, changed=1, unchanged=1
    )


def test_the_same_mask_has_only_unchanged_nodes():
    assert compare_nodes(mask(A, B), mask(A, B)) == NodeChanges(0, 0, 0, 2)


def test_empty_masks_have_no_changes():
    assert compare_nodes(mask(), mask()) == NodeChanges(0, 0, 0, 0)
    assert compare_nodes(mask(), mask(A)) == NodeChanges(1, 0, 0, 0)
    assert compare_nodes(mask(A), mask()) == NodeChanges(0, 1, 0, 0)


def test_a_node_split_in_two_counts_as_two_changed_ones_and_two_merged_as_one():
    whole, halves = mask(np.s_[2:7, 2:4, 2:4]), mask(np.s_[2:4, 2:4, 2:4], np.s_[5:7, 2:4, 2:4])
    assert compare_nodes(whole, halves) == NodeChanges(0, 0, 2, 0)
    assert compare_nodes(halves, whole) == NodeChanges(0, 0, 1, 0)


def test_a_node_that_moved_away_entirely_is_removed_and_added():
    assert compare_nodes(mask(A), mask(B)) == NodeChanges(1, 1, 0, 0)


@pytest.mark.parametrize(("second", "expected"), [((2, 2, 2), 1), ((3, 3, 3), 2)])
def test_voxels_that_touch_at_a_corner_are_one_node(second, expected):
    nodes = mask()
    nodes[1, 1, 1] = nodes[second] = True
    assert single_nodes(nodes)[1] == expected


def test_values_of_instances_do_not_matter():
    former = mask(A, B).astype(np.uint16) * 7
    assert compare_nodes(former, mask(A, B)) == NodeChanges(0, 0, 0, 2)
    assert single_nodes(former)[1] == 2
