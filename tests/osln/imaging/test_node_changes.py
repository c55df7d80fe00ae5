"""Counting what an annotator changed."""

import numpy as np
import pytest

from osln.imaging.node_changes import NodeChanges, NodePair, compare_nodes, compare_values, crumbs, pair_nodes
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


def test_what_an_eraser_leaves_of_a_node_is_a_crumb_and_a_small_node_is_none():
    large, small = np.s_[1:4, 1:4, 1:4], np.s_[6:8, 6:8, 5:6]
    before = mask(large, small).astype(int)
    before[small] = 2
    left = np.zeros_like(before)
    left[1:3, 1:2, 1:3] = 1
    assert crumbs(before, left) == 1
    left[small] = 2
    assert crumbs(before, left) == 1 and crumbs(before, before) == 0
    # Six voxels are a node, and so is a new one beside it.
    left[1:4, 1:2, 1:3], left[10:12, 0:2, 0:1] = 1, 3
    assert crumbs(before, left) == 0
    # Four of twelve voxels are a redrawn node, no crumb.
    before[large] = 0
    before[1:4, 1:3, 1:3] = 1
    left[1:4, 1:2, 1:3] = 0
    left[1:3, 1:2, 1:3] = 1
    assert crumbs(before, left) == 0


def test_values_of_instances_do_not_matter():
    former = mask(A, B).astype(np.uint16) * 7
    assert compare_nodes(former, mask(A, B)) == NodeChanges(0, 0, 0, 2)
    assert single_nodes(former)[1] == 2


def values(**boxes):
    filled = np.zeros((12, 10, 8), dtype=np.uint8)
    for name, box in boxes.items():
        filled[box] = int(name.removeprefix("v"))
    return filled


def test_a_value_of_two_parts_is_one_node_where_values_are_nodes():
    two_parts = values(v3=A) + values(v3=C)
    assert compare_values(two_parts, two_parts) == NodeChanges(0, 0, 0, 1)
    assert compare_values(values(v3=A), two_parts) == NodeChanges(0, 0, 1, 0)
    assert compare_values(values(v1=A, v2=C), two_parts) == NodeChanges(0, 0, 1, 0)
    assert compare_values(values(), values()).nothing
    assert compare_values(values(v1=A, v2=C), values(v9=A, v4=C)).nothing


def test_each_node_is_paired_with_the_one_it_is_most_like():
    before = values(v4=A, v7=B)
    after = values(v1=B_GROWN, v2=C)
    # 8 and 12 voxels that share 8; the others stand alone.
    grown, new, gone = pair_nodes(before, after)
    assert (grown.before, grown.after, grown.voxels_before, grown.voxels_after) == (7, 1, 8, 12)
    assert grown.dice == pytest.approx(0.8) and grown.center == pytest.approx((7.0, 6.5, 5.5))
    assert new == NodePair(None, 2, 0, 8, 0.0, (10.5, 0.5, 0.5))
    assert gone == NodePair(4, None, 8, 0, 0.0, (1.5, 1.5, 1.5))


def test_of_a_node_that_was_divided_the_larger_part_is_the_node():
    before = values(v1=np.s_[0:5, 0:2, 0:2])
    larger, smaller = pair_nodes(before, values(v1=np.s_[0:2, 0:2, 0:2], v2=np.s_[2:5, 0:2, 0:2]))
    assert (larger.before, larger.after) == (None, 1)
    assert (smaller.before, smaller.after) == (1, 2)
    assert pair_nodes(values(), values()) == []
