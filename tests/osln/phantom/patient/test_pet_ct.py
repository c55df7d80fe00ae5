"""The PET's own CT shows what the planning CT shows, where the PET shows it."""

import numpy as np
import pytest

from osln.imaging.grid import Grid, Volume
from osln.phantom import make_phantom
from osln.phantom.patient.fields import random_field
from osln.phantom.patient.pet import shown_at
from osln.phantom.patient.pet_ct import pet_ct, second_ct
from osln.phantom.planted.planting import plant
from osln.phantom.planted.real_ct import survey
from small.planting import given_ct


def still(low, high):
    return random_field(np.random.default_rng(0), low, high, 50.0, sd=(0.0, 0.0, 0.0))


def test_a_patient_who_did_not_move_differs_by_noise_only():
    axes = [np.arange(0.0, 40.0, 2.0)] * 3
    hu = np.where(np.indices((20, 20, 20))[0] < 8, 40, 400).astype(np.int16)
    grid = Grid(hu.shape, np.diag([2.0, 2.0, 2.0, 1.0]))

    second = second_ct(Volume(hu, grid, grid), still((0,) * 3, (40,) * 3), axes, np.random.default_rng(1))

    difference = second.array.astype(float) - hu
    assert second.grid.matches(grid)
    assert abs(difference.mean()) < 3 and 15 < difference.std() < 25


def test_air_around_the_patient_stays_without_noise():
    grid = Grid((20, 20, 20), np.diag([2.0, 2.0, 2.0, 1.0]))
    air = Volume(np.full(grid.shape, -1000, np.int16), grid, grid)

    second = second_ct(
        air, still((0,) * 3, (40,) * 3), [np.arange(0.0, 40.0, 2.0)] * 3, np.random.default_rng(1)
    )

    assert (second.array == -1000).all()


@pytest.mark.slow
@pytest.mark.parametrize("made", ["built in", "planted"])
def test_lungs_lie_where_the_pet_shows_them(made):
    phantom = (
        make_phantom(3, spacing_mm=(4.0, 4.0, 5.0)) if made == "built in" else plant(survey(given_ct()), 1)
    )

    own = pet_ct(phantom)

    pet = Grid(phantom.pet_suv.shape, phantom.pet_affine)
    low, high = pet.index_to_mm(np.zeros(3) - 0.5), pet.index_to_mm(np.array(pet.shape) - 0.5)
    start, stop = own.grid.index_to_mm(np.zeros(3)), own.grid.index_to_mm(np.array(own.grid.shape) - 1)
    assert (start > low).all() and (stop < high).all() and (stop - start > high - low - 5).all()
    lung = np.argwhere(phantom.ct_hu < -750)
    points = Grid(phantom.ct_hu.shape, phantom.affine).index_to_mm(lung[:: len(lung) // 500])
    local = np.linalg.inv(phantom.motion_to_ras)
    moved = shown_at(points @ local[:3, :3].T + local[:3, 3], phantom.motion)
    moved = moved @ phantom.motion_to_ras[:3, :3].T + phantom.motion_to_ras[:3, 3]
    hu = [
        own.array[tuple(np.clip(np.rint(own.grid.mm_to_index(at)).astype(int).T, 0, None))]
        for at in (moved, points)
    ]
    assert np.mean(hu[0] < -600) > np.mean(hu[1] < -600) and np.mean(hu[0] < -600) > 0.95


def test_a_pet_that_is_aligned_has_no_ct_of_its_own():
    with pytest.raises(ValueError, match="has no CT of its own"):
        pet_ct(make_phantom(3, spacing_mm=(5.0, 5.0, 5.0), misregistered=False))
