"""The picture of a registration."""

import numpy as np
import SimpleITK as sitk

from osln.imaging.grid import Grid, Volume
from osln.registration.overlay import draw_registration
from osln.registration.rigid import translation
from small.body import body_hu

GRID = Grid((44, 28, 18), np.array([[8.0, 0, 0, -150], [0, 8.0, 0, -120], [0, 0, 8.0, -60], [0, 0, 0, 1]]))


def shown(transform: sitk.Transform) -> list[np.ndarray]:
    """The planes in the order axial before, axial after, coronal before, coronal after."""
    ct = Volume(body_hu(GRID), GRID, GRID)
    moved = GRID.affine.copy()
    moved[:3, 3] += (16.0, -8.0, 8.0)
    pet_ct = Volume(ct.array, Grid(GRID.shape, moved), GRID)
    figure = draw_registration(ct, pet_ct, transform, "a body of ellipses")
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def test_after_a_true_transform_every_square_continues_its_neighbors():
    axial, axial_after, coronal, coronal_after = shown(translation(np.array([16.0, -8.0, 8.0])))
    in_ct_alone = shown(sitk.Transform(3, sitk.sitkIdentity))

    # Red is left as it is by the tint: of a true transform it is the planning CT everywhere.
    for before, after in ((axial, axial_after), (coronal, coronal_after)):
        red = after[..., 0]
        assert np.abs(np.diff(red, axis=1)).sum() < np.abs(np.diff(before[..., 0], axis=1)).sum()
    assert np.array_equal(in_ct_alone[0], in_ct_alone[1])
    assert np.array_equal(axial, in_ct_alone[0])


def test_squares_of_the_pets_ct_are_tinted():
    axial = shown(translation(np.zeros(3)))[0]
    bright = axial[..., 0] > 0.4

    assert (axial[..., 2] < axial[..., 0])[bright].mean() > 0.3
    assert (axial[..., 2] == axial[..., 0])[bright].mean() > 0.3
