import numpy as np
import pytest

from osln.clicks.clicks import MOST_CLICKS, checked_clicks, from_indices, points_of
from osln.imaging.grid import Grid, canonical
from small.clicks import AFFINE_LPS, CENTER, SHAPE, beside, clicks, ct, ct_array, mm


def test_points_are_three_finite_numbers_each():
    np.testing.assert_array_equal(points_of([[1, 2, 3.5]], "foreground"), [[1, 2, 3.5]])
    assert points_of(None, "background").shape == points_of([], "background").shape == (0, 3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("[[1, 2, 3]]", "foreground is a list of points [x, y, z], not str"),
        ({"x": 1}, "not dict"),
        ([[1, 2]], "of three numbers, not [1, 2]"),
        ([1, 2, 3], "of three numbers, not 1"),
        ([[1, 2, True]], "of three numbers"),
        ([[1, 2, "3"]], "of three numbers"),
        ([[1, 2, float("nan")]], "lies in no image"),
        ([[1, 2, float("inf")]], "lies in no image"),
        ([[1, 2, 10**400]], "lies in no image"),
        ([[1, 2, 3]] * (MOST_CLICKS + 1), "has 101 clicks, at most 100"),
    ],
)
def test_other_points_are_refused_in_words(given, told):
    with pytest.raises(ValueError, match=r".") as refused:
        points_of(given, "foreground")
    assert told in str(refused.value)


def test_indices_are_those_of_the_file():
    # x and y of the file run against RAS: voxel (20, 22, 10) lies at 100 - 40, 60 - 44, -300 + 40.
    np.testing.assert_allclose(from_indices(np.array([CENTER]), ct()), [[60.0, 16.0, -260.0]])


def test_indices_along_the_third_axis_of_a_left_handed_file_are_slicers():
    # Slicer shows the 21 slices of this file in reverse: its slice 20 is the file's first one, at z -300.
    left = canonical(ct_array(), Grid(SHAPE, AFFINE_LPS @ np.diag([1.0, -1.0, 1.0, 1.0])))
    np.testing.assert_allclose(from_indices(np.array([[0, 0, 20]]), left), [[100.0, 60.0, -300.0]])


def test_clicks_of_one_node_are_taken():
    made = clicks([CENTER, beside(1, 0, 0)], [(5, 5, 5)])
    taken = checked_clicks(made.foreground, made.background, ct())
    np.testing.assert_allclose(taken.center_mm, mm(beside(0.5, 0, 0)))


@pytest.mark.parametrize(
    ("inside", "outside", "told"),
    [
        ([], [], "no click inside a node"),
        ([], [(5, 5, 5)], "no click inside a node"),
        ([(48, 5, 5)], [], "lies outside the CT, which covers x 6 to 100, y -26 to 60, z -300 to -220"),
        ([CENTER], [(5, 5, -1)], "the background click"),
        ([CENTER], [CENTER], "inside and outside the node at once"),
        ([(1, 5, 5), (47, 5, 5)], [], "up to 92 mm apart"),
        ([(20, 41, 10)], [], "lies in air (-1000 HU)"),
    ],
)
def test_clicks_that_cannot_be_are_refused_in_words(inside, outside, told):
    made = clicks(np.array(inside).reshape(-1, 3), outside)
    with pytest.raises(ValueError, match=r".") as refused:
        checked_clicks(made.foreground, made.background, ct())
    assert told in str(refused.value)
