"""The spline lattice and its optimizer."""

import numpy as np
import pytest
from scipy import ndimage

from osln.imaging.grid import Grid
from osln.registration.frames import displacement_mm
from osln.registration.spline import Lattice, Level, _bent, _carried_over, _expand, _gather, align_splines

OBLIQUE = np.array([[0.0, -4.0, 0.0, 5.0], [4.0, 0.0, 0.0, 7.0], [0.0, 0.0, 4.0, -9.0], [0, 0, 0, 1.0]])
GRID = Grid((14, 11, 9), OBLIQUE)


@pytest.fixture
def coefficients():
    return np.random.default_rng(0).normal(0, 3, (3, *Lattice(GRID, 25.0).shape)).astype(np.float32)


def test_simpleitk_moves_voxels_of_an_oblique_grid_by_what_the_lattice_says(coefficients):
    lattice = Lattice(GRID, 25.0)
    along_axes = _expand(coefficients, lattice.matrices())

    moved = displacement_mm(lattice.transform(coefficients), GRID)

    assert np.allclose(moved, np.tensordot(GRID.direction, along_axes, 1), atol=1e-4)


def test_gathering_is_the_transpose_of_expanding(coefficients):
    matrices = Lattice(GRID, 25.0).matrices()
    values = np.random.default_rng(1).normal(size=(3, *GRID.shape)).astype(np.float32)

    there = float(np.vdot(_expand(coefficients, matrices), values))
    back = float(np.vdot(coefficients, _gather(values, matrices)))

    assert there == pytest.approx(back, rel=1e-4)


def test_bending_is_nothing_for_linear_coefficients_and_known_for_a_single_one():
    linear = np.broadcast_to(np.arange(6.0), (3, 6, 6, 6)) * 2 + 1
    single = np.zeros((3, 7, 7, 7))
    single[0, 3, 3, 3] = 1

    assert np.allclose(_bent(linear), 0)
    # 6 for each second difference (1, -2, 1), twice 4 for each of the three mixed ones.
    assert _bent(single)[0, 3, 3, 3] == pytest.approx(3 * 6 + 3 * 2 * 4)


def test_a_finer_lattice_takes_over_the_displacement(coefficients):
    coarse, fine = Lattice(GRID, 25.0), Lattice(GRID, 12.5)

    carried = _carried_over(coefficients, coarse, fine)

    before, after = (
        _expand(c, lattice.matrices()) for c, lattice in ((coefficients, coarse), (carried, fine))
    )
    assert np.abs(after - before).mean() < 0.1


def test_a_bump_is_followed_and_without_any_motion_nothing_moves():
    grid = Grid((40, 40, 40), np.diag([4.0, 4.0, 4.0, 1.0]))
    image = ndimage.gaussian_filter(np.random.default_rng(2).normal(0, 1, grid.shape), 2.5).astype(np.float32)
    image *= 100 / image.std()
    everywhere = np.ones(grid.shape, bool)
    levels = (Level(2, 60.0, 5), Level(1, 60.0, 4))
    shifted = ndimage.shift(image, (1.5, 0, -1.0), order=1, mode="nearest")

    still = align_splines(image, image, everywhere, everywhere, grid, levels=levels)
    moved = align_splines(image, shifted, everywhere, everywhere, grid, levels=levels)

    inner = (slice(None), *(slice(8, 32),) * 3)
    assert np.abs(displacement_mm(still, grid)).max() < 1e-3
    error = displacement_mm(moved, grid)[inner] - np.array([6.0, 0.0, -4.0])[:, None, None, None]
    assert np.linalg.norm(error, axis=0).mean() < 0.4
