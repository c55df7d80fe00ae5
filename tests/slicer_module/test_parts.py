"""Which node a drawn voxel belongs to, in the module for 3D Slicer."""

import numpy as np

from slicer_module.oslnlib.parts import owners, parts_of, places_of
from small.slicer_nodes import AFFINE, FAR, LEFT, RIGHT, SHAPE, drawn, found


def test_parts_touch_at_corners_and_are_of_one_value():
    array = np.zeros((4, 4, 4), int)
    array[0, 0, 0] = array[1, 1, 1] = array[3, 3, 3] = 1
    array[1, 1, 2] = 2
    voxels, part = parts_of(array)
    assert voxels.tolist() == [[0, 0, 0], [1, 1, 1], [1, 1, 2], [3, 3, 3]]
    assert part[0] == part[1] and len(set(part)) == 3
    assert len(parts_of(np.zeros((2, 2, 2), int))[1]) == 0


def test_a_snake_of_voxels_is_one_part():
    array = np.zeros((9, 9, 1), int)
    array[::2] = 1
    array[1, 8] = array[3, 0] = array[5, 8] = array[7, 0] = 1
    assert set(parts_of(array)[1]) == {0}


def test_a_part_of_two_candidates_is_split_between_them_and_a_drawn_one_is_nobodys():
    voxels, node = owners(drawn(LEFT, RIGHT, FAR), AFFINE, [found(1, LEFT), found(2, RIGHT)])
    of = {tuple(voxel): number for voxel, number in zip(voxels.tolist(), node, strict=True)}
    assert [of[i, 4, 4] for i in (2, 3, 4, 5, 6, 7)] == [0, 0, 0, 1, 1, 1]
    assert of[15, 15, 2] >= 2


def test_a_candidate_far_from_all_that_is_drawn_owns_nothing():
    _, node = owners(drawn(FAR), AFFINE, [found(1, LEFT)])
    assert (node >= 1).all()


def test_a_candidate_owns_what_holds_its_center_or_has_voxels_of_its_outline():
    now, one = drawn(FAR), found(1, LEFT, radius_mm=90.0)
    assert (owners(now, AFFINE, [one])[1] >= 1).all()
    outline = places_of(np.array([[15, 15, 2], [3, 4, 4]]), SHAPE)
    assert (owners(now, AFFINE, [one], {1: outline})[1] == 0).all()
    assert (owners(now, AFFINE, [found(2, FAR)])[1] == 0).all()


def test_of_two_parts_of_an_outline_it_owns_the_one_that_is_nearest_to_its_center():
    now = drawn(LEFT, FAR)
    voxels, node = owners(now, AFFINE, [found(1, LEFT)], {1: places_of(np.argwhere(now), SHAPE)})
    np.testing.assert_array_equal(node == 0, (drawn(LEFT) > 0)[tuple(voxels.T)])


def test_what_is_known_to_be_drawn_owns_what_is_near():
    one = found(1, LEFT, radius_mm=90.0)
    assert (owners(drawn(FAR), AFFINE, [one], near={1})[1] == 0).all()
    assert (owners(drawn(FAR), AFFINE, [found(1, LEFT)], near={1})[1] >= 1).all()
