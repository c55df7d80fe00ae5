"""Images in physical units become network input by the same numbers everywhere."""

import json

import numpy as np
import pytest

from osln.imaging.transforms import Scaling, network_input

SCALING = Scaling(pet_mean=1.5, pet_sd=2.0)


def column_of(*values):
    return np.array(values, dtype=np.float32).reshape(-1, 1, 1)


def test_ct_is_clipped_centered_and_amplified():
    ct = column_of(-1000, -200, -50, 50, 300, 2000)

    result = network_input({"ct": ct}, ("ct",), SCALING)

    # (HU + 200) / 500 is 0, 0, .3, .5, 1, 1; minus .3, times 5.
    np.testing.assert_allclose(result[0, :, 0, 0], [-1.5, -1.5, 0, 1, 3.5, 3.5], atol=1e-6)


def test_pet_is_scored_by_mean_and_sd_of_the_training_set_and_halved():
    result = network_input({"pet": column_of(0, 1.5, 3.5, 17.5)}, ("pet",), SCALING)

    np.testing.assert_allclose(result[0, :, 0, 0], [-0.375, 0, 0.5, 4], atol=1e-6)


def test_the_distance_is_in_units_of_100_mm_and_clipped():
    result = network_input({"distance": column_of(-130, -20, 0, 70, 100, 180)}, ("distance",), SCALING)

    np.testing.assert_allclose(result[0, :, 0, 0], [-1, -0.2, 0, 0.7, 1, 1], atol=1e-6)


def test_channels_come_in_the_order_that_the_network_names():
    images = {"ct": column_of(50), "pet": column_of(3.5), "distance": column_of(70)}

    result = network_input(images, ("ct", "pet", "distance"), SCALING)
    swapped = network_input(images, ("distance", "ct"), SCALING)

    np.testing.assert_allclose(result.ravel(), [1, 0.5, 0.7], atol=1e-6)
    np.testing.assert_allclose(swapped.ravel(), [0.7, 1], atol=1e-6)
    assert result.dtype == np.float32 and result.flags.c_contiguous


def test_input_of_a_crop_is_the_crop_of_the_whole_input():
    rng = np.random.default_rng(0)
    images = {
        "ct": rng.normal(0, 300, (7, 8, 9)).astype(np.int16),
        "pet": np.asfortranarray(rng.gamma(1, 2, (7, 8, 9)).astype(np.float32)),
        "distance": rng.uniform(-100, 100, (7, 8, 9)).astype(np.float32),
    }
    part = (slice(2, 6), slice(0, 5), slice(3, 9))

    whole = network_input(images, ("ct", "pet", "distance"), SCALING)
    crop = network_input({name: image[part] for name, image in images.items()}, tuple(images), SCALING)

    np.testing.assert_array_equal(crop, whole[(slice(None), *part)])


def test_the_patients_images_are_not_changed():
    ct = column_of(-1000, 50, 2000)

    network_input({"ct": ct}, ("ct",), SCALING)

    np.testing.assert_array_equal(ct.ravel(), [-1000, 50, 2000])


def test_missing_inputs_are_named():
    images = {"ct": column_of(1), "pet": None}

    with pytest.raises(ValueError, match="needs ct, pet, distance; this patient has no pet, distance"):
        network_input(images, ("ct", "pet", "distance"), SCALING)
    with pytest.raises(ValueError, match="unknown network input 'mr'"):
        network_input({"mr": column_of(1)}, ("mr",), SCALING)


def test_mean_and_sd_are_those_of_all_voxels_of_all_patients():
    rng = np.random.default_rng(0)
    pets = [rng.gamma(1, 2, shape).astype(np.float32) for shape in ((5, 6, 7), (3, 3, 3), (8, 1, 4))]
    everything = np.concatenate([pet.ravel() for pet in pets]).astype(np.float64)

    scaling = Scaling.fit(iter(pets))

    assert scaling.pet_mean == pytest.approx(everything.mean())
    assert scaling.pet_sd == pytest.approx(everything.std())


def test_a_cohort_without_pet_keeps_the_defaults_and_a_constant_pet_does_not_divide_by_zero():
    assert Scaling.fit([]) == Scaling()
    assert Scaling.fit([np.full((2, 2, 2), 3.0)]).pet_sd > 0


def test_scaling_survives_json():
    scaling = Scaling(pet_mean=0.7, pet_sd=1.9, ct_window_hu=(-150.0, 250.0), ct_gain=4.0)

    assert Scaling.from_dict(json.loads(json.dumps(scaling.to_dict()))) == scaling
    with pytest.raises(ValueError, match=r"not preprocessing numbers of this software: .*mr_mean"):
        Scaling.from_dict({"mr_mean": 1.0})
