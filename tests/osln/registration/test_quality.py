"""Figures of quality, by hand."""

import numpy as np
import pytest
import SimpleITK as sitk

from osln.imaging.grid import Grid
from osln.registration.quality import Agreement, dice, folding_share, mutual_information

OBLIQUE = np.array([[0.0, -4.0, 0.0, 5.0], [4.0, 0.0, 0.0, 7.0], [0.0, 0.0, 4.0, -9.0], [0, 0, 0, 1.0]])


def test_dice_of_two_of_three_voxels_shared():
    one, other = np.array([1, 1, 1, 0], bool), np.array([0, 1, 1, 1], bool)

    assert dice(one, other) == pytest.approx(2 * 2 / 6)
    assert dice(~np.ones(4, bool), ~np.ones(4, bool)) == 0.0


def test_mutual_information_of_equal_halves_is_one_bit_and_of_unrelated_ones_none():
    halves = np.tile([0.0, 1.0], 2000)
    unrelated = np.repeat(np.tile([0.0, 1.0], 1000), 2)

    assert mutual_information(halves, 5 - 3 * halves) == pytest.approx(1.0)
    assert mutual_information(halves, unrelated) == pytest.approx(0.0, abs=1e-12)


def test_mutual_information_of_few_or_constant_values_is_none():
    assert mutual_information(np.arange(999.0), np.arange(999.0)) == 0.0
    assert mutual_information(np.arange(2000.0), np.ones(2000)) == 0.0


@pytest.mark.parametrize("affine", [np.diag([4.0, 4.0, 4.0, 1.0]), OBLIQUE])
def test_a_mirrored_axis_folds_everywhere_and_a_stretched_one_nowhere(affine):
    grid = Grid((20, 20, 20), affine)
    mirror, stretch = sitk.AffineTransform(3), sitk.AffineTransform(3)
    mirror.SetMatrix(np.diag([1.0, 1.0, -1.0]).ravel().tolist())
    stretch.SetMatrix(np.diag([1.0, 1.0, 1.8]).ravel().tolist())

    assert folding_share(mirror, grid) == 1.0
    assert folding_share(stretch, grid) == 0.0


def test_a_displacement_that_overtakes_itself_folds_where_its_slope_is_below_minus_one():
    grid = Grid((16, 4, 4), np.diag([8.0, 8.0, 8.0, 1.0]))
    shift = np.zeros((4, 4, 16, 3))
    # LPS x falls along the voxel axis: between voxels 5 and 10 the points run 12 mm back for every 8 mm.
    shift[..., 0] = 12.0 * np.clip(np.arange(16) - 5, 0, 5)
    field = sitk.GetImageFromArray(shift, isVector=True)
    field.SetSpacing((8.0, 8.0, 8.0))
    field.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))

    # Central differences see it from voxel 6 to voxel 9; at 5 and 10 half of it is left.
    assert folding_share(sitk.DisplacementFieldTransform(field), grid) == pytest.approx(4 / 16)


def test_one_lower_figure_makes_a_result_worse_but_noise_does_not():
    rigid = Agreement(0.90, 0.97, 1.0)

    assert Agreement(0.95, 0.98, 0.99).worse_than(rigid)
    assert Agreement(0.89, 0.98, 1.10).worse_than(rigid)
    assert not Agreement(0.897, 0.968, 1.10).worse_than(rigid)
    assert not Agreement(None, 0.97, 1.10).worse_than(rigid)
