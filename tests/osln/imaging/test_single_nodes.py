"""Nodes that touch, told apart by what is stored about them."""

import numpy as np
import pytest

from osln.imaging.node_changes import NodeChanges, compare_nodes
from osln.imaging.single_nodes import keep_apart, nodes_of, single_nodes, told_apart

LEFT, RIGHT, ALONE = np.s_[1:4, 2:5, 2:4], np.s_[4:7, 2:5, 2:4], np.s_[10:12, 7:9, 5:7]
"""Two boxes that share a face, and one that lies alone."""


def labels(**boxes):
    """Boxes by their value: `labels(v1=LEFT)`."""
    filled = np.zeros((14, 10, 8), dtype=np.uint16)
    for value, box in boxes.items():
        filled[box] = int(value[1:])
    return filled


def test_parts_of_a_value_that_lie_apart_are_nodes_and_values_that_touch_too():
    found, count = single_nodes(labels(v9=LEFT, v3=RIGHT) + labels(v3=ALONE))
    assert count == 3
    assert [int(found[box].min()) for box in (RIGHT, ALONE, LEFT)] == [1, 2, 3]
    assert single_nodes(labels() > 0)[1] == 0


def test_a_mask_says_no_more_than_its_gaps():
    assert single_nodes(labels(v1=LEFT, v2=RIGHT, v3=ALONE) > 0)[1] == 2


def test_an_unchanged_mask_keeps_the_nodes_that_touch():
    former = labels(v5=LEFT, v2=RIGHT, v7=ALONE)
    kept, redrawn = keep_apart(former, former > 0)
    assert compare_nodes(former, kept) == NodeChanges(0, 0, 0, 3) and redrawn == 0


def test_new_voxels_go_to_the_nearest_node_of_their_part():
    former = labels(v5=LEFT, v2=RIGHT)
    mask = former > 0
    mask[0, 3, 3] = mask[7:9, 3, 3] = True
    kept, redrawn = keep_apart(former, mask)
    assert kept[0, 3, 3] == 5 and (kept[7:9, 3, 3] == 2).all() and redrawn == 2
    assert (kept[LEFT] == 5).all() and (kept[RIGHT] == 2).all()


def test_no_voxel_goes_to_a_node_across_a_gap():
    # An arm of the right node runs back beside the left one, a voxel away from it.
    former = labels(v1=LEFT, v2=RIGHT)
    mask = former > 0
    mask[6, 5:7, 2] = mask[1:7, 6, 2] = True
    kept, _ = keep_apart(former, mask)
    assert (kept[1:7, 6, 2] == 2).all()
    assert compare_nodes(former, kept) == NodeChanges(0, 0, 1, 1)


def test_a_node_that_is_erased_or_new_changes_no_other():
    former = labels(v1=LEFT, v2=RIGHT)
    assert compare_nodes(former, keep_apart(former, labels(v1=LEFT) > 0)[0]) == NodeChanges(0, 1, 0, 1)
    added = keep_apart(former, labels(v1=LEFT, v2=RIGHT, v3=ALONE) > 0)[0]
    assert compare_nodes(former, added) == NodeChanges(1, 0, 0, 2)
    assert not keep_apart(former, labels() > 0)[0].any()


def test_only_values_that_say_nothing_about_single_nodes_are_divided():
    former = labels(v1=LEFT, v2=RIGHT, v3=ALONE)
    sent = labels(v1=LEFT) | labels(v1=RIGHT) | labels(v2=ALONE)
    joined, _ = told_apart(sent, (), former)
    assert compare_nodes(former, joined) == NodeChanges(0, 0, 1, 1)
    divided, _ = told_apart(sent, (1,), former)
    assert compare_nodes(former, divided) == NodeChanges(0, 0, 0, 3)
    assert told_apart(sent, (1,), None)[0].max() == 2


@pytest.mark.parametrize("turned", [np.asfortranarray, np.ascontiguousarray])
def test_a_map_counts_for_the_label_that_it_covers_and_for_no_other(turned):
    kept = turned(labels(v4=LEFT, v2=RIGHT))
    mask = turned(labels(v1=LEFT) | labels(v1=RIGHT))
    assert nodes_of(mask, kept) is kept
    assert nodes_of(mask, None) is mask
    other = labels(v1=LEFT)
    assert nodes_of(other, kept) is other
    values = labels(v1=LEFT, v3=RIGHT)
    assert nodes_of(values, kept) is values
