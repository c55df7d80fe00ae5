"""Candidates are connected voxels above the operating point, with hand-computed features."""

import numpy as np
import pytest

from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn
from osln.stage_one.candidates import find_candidates

SHAPE = (10, 12, 9)
AFFINE = np.array([[1.0, 0, 0, -20.0], [0, 2.0, 0, 30.0], [0, 0, 2.5, 5.0], [0, 0, 0, 1.0]])


def column(pet=None, distance=None, affine=AFFINE) -> LungColumn:
    ct = np.zeros(SHAPE, np.float32)
    return LungColumn("p1", Grid(SHAPE, affine), ct, pet, distance, None, None, ct == 0)


def probability(**voxels) -> np.ndarray:
    """A map of zeros with "x_y_z" voxels set."""
    prob = np.zeros(SHAPE, np.float32)
    for index, value in voxels.items():
        prob[tuple(int(i) for i in index[1:].split("_"))] = value
    return prob


def test_features_of_one_candidate_by_hand():
    prob = probability(v2_3_4=0.5, v3_3_4=0.7, v3_4_4=0.9)
    pet = np.ones(SHAPE, np.float32)
    pet[3, 3, 4], pet[3, 4, 4], pet[9, 9, 8] = 4.0, 7.0, 50.0
    distance = np.full(SHAPE, 80.0, np.float32)
    distance[3, 3, 4] = 42.5

    (found,), labels = find_candidates(prob, 0.5, column(pet, distance))

    # Center of mass at index (8/3, 10/3, 4); the voxel nearest to it is (3, 3, 4).
    np.testing.assert_allclose(found.center_mm, (-20 + 8 / 3, 30 + 20 / 3, 15))
    assert found.volume_mm3 == pytest.approx(3 * 5.0)
    assert found.radius_mm == pytest.approx((3 * 15 / (4 * np.pi)) ** (1 / 3))
    assert found.box == ((2, 4), (3, 5), (4, 5))
    assert found.score == pytest.approx(0.7)
    assert (found.suv_max, found.suv_mean) == (7.0, 4.0)
    assert (found.zone, found.distance_mm) == ("proximal", 42.5)
    assert found.id == 1
    assert np.argwhere(labels == 1).tolist() == [[2, 3, 4], [3, 3, 4], [3, 4, 4]]
    assert labels.dtype == np.int32


def test_voxels_that_touch_by_a_corner_are_one_candidate():
    prob = probability(v2_3_4=0.6, v3_4_5=0.6, v4_5_4=0.6)

    found, _ = find_candidates(prob, 0.5, column())

    assert len(found) == 1 and found[0].box == ((2, 5), (3, 6), (4, 6))


def test_voxels_two_apart_are_two_candidates_however_small():
    prob = probability(v2_3_4=0.6, v4_3_4=0.6)

    found, labels = find_candidates(prob, 0.5, column())

    assert [c.volume_mm3 for c in found] == [5.0, 5.0]
    assert (labels[2, 3, 4], labels[4, 3, 4]) == (1, 2)


def test_candidates_are_numbered_by_falling_mean_probability():
    prob = probability(v0_0_0=0.6, v5_5_5=0.9, v6_5_5=0.5, v9_11_8=0.8)

    found, labels = find_candidates(prob, 0.5, column())

    np.testing.assert_allclose([c.score for c in found], [0.8, 0.7, 0.6], rtol=1e-6)
    assert [c.id for c in found] == [1, 2, 3]
    assert (labels[9, 11, 8], labels[5, 5, 5], labels[6, 5, 5], labels[0, 0, 0]) == (1, 2, 2, 3)


def test_the_operating_point_itself_counts_and_zero_never_does():
    prob = probability(v1_1_1=0.25, v5_5_5=np.nextafter(np.float32(0.25), np.float32(0)))

    assert len(find_candidates(prob, 0.25, column())[0]) == 1
    assert len(find_candidates(prob, 0.0, column())[0]) == 2


def test_nothing_above_the_operating_point_gives_an_empty_list_and_map():
    found, labels = find_candidates(probability(v1_1_1=0.4), 0.5, column())

    assert found == [] and labels.shape == SHAPE and labels.dtype == np.int32 and not labels.any()


def test_without_pet_or_tumor_their_features_are_absent():
    (found,), _ = find_candidates(probability(v1_1_1=0.6), 0.5, column())

    assert (found.suv_max, found.suv_mean, found.zone, found.distance_mm) == (None, None, None, None)


def test_the_zone_is_that_of_the_center():
    distance = np.full(SHAPE, 71.0, np.float32)
    distance[4, 5, 5] = 70.0

    (found,), _ = find_candidates(
        probability(v3_5_5=0.6, v4_5_5=0.6, v5_5_5=0.6), 0.5, column(distance=distance)
    )
    assert found.zone == "proximal"
    (found,), _ = find_candidates(
        probability(v4_5_5=0.6, v5_5_5=0.6, v6_5_5=0.6), 0.5, column(None, distance)
    )
    assert found.zone == "distal"


def test_centers_are_in_patient_space_on_an_oblique_grid():
    c, s = np.cos(0.3), np.sin(0.3)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([1, 2, 2.5])
    affine[:3, 3] = (10, 20, 30)

    (found,), _ = find_candidates(probability(v4_5_6=0.6), 0.5, column(affine=affine))

    np.testing.assert_allclose(found.center_mm, (10 + 4 * c - 10 * s, 20 + 4 * s + 10 * c, 45))
    assert found.volume_mm3 == pytest.approx(5.0)


def test_a_candidate_centered_in_the_tumor_or_on_its_boundary_can_be_left_out():
    distance = np.full(SHAPE, 5.0, np.float32)
    distance[1, 1, 1], distance[5, 5, 5] = -2.0, 0.0
    # One reaches into the tumor from outside: its center (8, 8, 6) is 5 mm away.
    distance[8, 8, 7] = -1.0
    prob = probability(v1_1_1=0.9, v5_5_5=0.8, v8_8_5=0.6, v8_8_6=0.6, v8_8_7=0.6)

    kept, labels = find_candidates(prob, 0.5, column(distance=distance), in_tumor=False)

    assert [one.box for one in kept] == [((8, 9), (8, 9), (5, 8))]
    assert labels.sum() == 3 and labels[8, 8, 7] == 1
    assert len(find_candidates(prob, 0.5, column(distance=distance))[0]) == 3
