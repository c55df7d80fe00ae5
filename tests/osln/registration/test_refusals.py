"""Images that cannot be registered are refused in words."""

import numpy as np
import pytest

from osln.imaging.grid import Grid, Volume
from osln.registration import register_pet
from small.body import body_hu

AFFINE = np.array([[8.0, 0, 0, -150], [0, 8.0, 0, -120], [0, 0, 8.0, -60], [0, 0, 0, 1]])


def volume(array: np.ndarray, affine: np.ndarray = AFFINE) -> Volume:
    grid = Grid(array.shape, affine)
    return Volume(array, grid, grid)


def body(affine: np.ndarray = AFFINE) -> Volume:
    return volume(body_hu(Grid((44, 28, 18), AFFINE)), affine)


def pet(affine: np.ndarray = AFFINE) -> Volume:
    return volume(np.where(body().array > -500, 1.0, 0.1).astype(np.float32), affine)


def moved(mm: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[2, 3] += mm
    return affine


def with_nan(of: Volume) -> Volume:
    array = of.array.astype(np.float32)
    array[3, 4, 5] = np.nan
    return volume(array)


@pytest.mark.parametrize(
    ("ct", "uptake", "pet_ct", "words"),
    [
        (with_nan(body()), pet(), body(), "the planning CT holds 1 values that are not finite"),
        (body(), with_nan(pet()), body(), "the PET holds 1 values that are not finite"),
        (body(), pet(), with_nan(body()), "the PET's CT holds 1 values that are not finite"),
        (volume(np.full((44, 28, 18), 40)), pet(), body(), "the planning CT is constant"),
        (body(), volume(np.zeros((44, 28, 18))), None, "the PET is constant"),
        (volume(body().array[:3]), pet(), body(), "the planning CT is too small"),
        (body(), volume(pet().array[:, :4]), body(), "the PET is too small"),
        (volume(np.where(body().array > 0, -900, -1000)), pet(), body(), "shows no tissue"),
        (body(), pet(moved(900.0)), body(), "the PET and its own CT do not overlap"),
        (body(), pet(moved(900.0)), None, "wholly outside the planning CT"),
    ],
)
def test_the_sentence_names_the_image_and_what_is_wrong(ct, uptake, pet_ct, words):
    with pytest.raises(ValueError, match=words):
        register_pet(ct, uptake, pet_ct)


def test_cts_without_lungs_and_without_a_common_part_are_refused():
    ct = volume(np.where(body().array == -800, 40, body().array))
    far = volume(ct.array, moved(900.0))

    with pytest.raises(ValueError, match="no part in common"):
        register_pet(ct, pet(moved(900.0)), far)


def test_a_pet_in_becquerels_is_refused_before_it_is_moved_by_chance():
    with pytest.raises(ValueError, match="is it in Bq/ml or counts"):
        register_pet(body(), volume(pet().array * 5000), None)
