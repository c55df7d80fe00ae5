from dataclasses import replace

import numpy as np
import pytest

from osln.imaging.distance import zone_mask
from osln.imaging.lung_column import compact, reason_not_usable, zone_of
from osln.imaging.transforms import Scaling, network_input
from osln.imaging.turns import augment
from osln.rows.experiments import SEGMENTERS
from osln.stage_one.sampling import PatchSampler
from small.columns import small_column, tiny_preset

SCALING = Scaling(pet_mean=1.0, pet_sd=2.0)


def sampler(name: str, columns=None, seed: int = 0, **changes) -> PatchSampler:
    columns = [small_column(0), small_column(1)] if columns is None else columns
    return PatchSampler(columns, SEGMENTERS[name], tiny_preset(**changes), SCALING, seed)


def test_a_compact_column_takes_8_bytes_a_voxel_and_keeps_the_values():
    column = small_column(0)
    arrays = (column.ct_hu, column.pet_suv, column.distance_mm, column.nodes, column.body)
    assert sum(array.itemsize for array in arrays) == 8
    assert column.ct_hu.dtype == np.int16 and column.ct_hu.max() == 60
    assert column.nodes.max() == 4 and column.tumor is None
    many = replace(column, nodes=column.nodes.astype(np.int32) * 100)
    assert compact(many).nodes.max() == 400


def test_a_column_without_a_label_is_refused_one_with_an_empty_label_is_not():
    column = small_column(0)
    with pytest.raises(ValueError, match="case0 has no approved nodes"):
        compact(replace(column, nodes=None))
    assert compact(replace(column, nodes=np.zeros_like(column.nodes))).nodes.max() == 0


def test_a_batch_has_channels_target_and_zone_of_the_network():
    inputs, target, mask = sampler("ef").batch(0)
    assert inputs.shape == (4, 3, 16, 16, 16) and target.shape == mask.shape == (4, 1, 16, 16, 16)
    assert inputs.dtype == target.dtype == mask.dtype == np.float32
    assert (mask == 1).all() and set(np.unique(target)) == {0.0, 1.0}


def test_the_first_half_of_a_batch_holds_nodes_of_the_zone():
    for number in range(10):
        _, target, mask = sampler("ct-distal").batch(number)
        assert (target[:2] * mask[:2]).reshape(2, -1).any(axis=1).all()


def test_every_patch_of_a_zone_network_holds_voxels_of_its_zone():
    for name in ("ct-proximal", "ct-distal"):
        for number in range(10):
            assert sampler(name).batch(number)[2].reshape(4, -1).any(axis=1).all()


def test_the_other_half_comes_from_all_of_the_zones_body():
    column = small_column(0)
    ramp = replace(column, ct_hu=np.broadcast_to(np.arange(72, dtype=np.int16), column.ct_hu.shape).copy())
    supply = sampler("ct", [ramp], batch=2)
    undo = 5.0 / 500.0
    means = [float(supply.batch(i)[0][1, 0].mean()) / undo + 500 * 0.3 - 200 for i in range(60)]
    assert min(means) < 15 and max(means) > 55


def test_patches_are_scaled_as_at_inference():
    column = small_column(0)
    whole = network_input(column.images, SEGMENTERS["ef"].inputs, SCALING)
    inputs, _, _ = sampler("ef", [column], patch=(24, 24, 72), batch=1).batch(0)
    # The patch is the column, turned or mirrored in the axial plane.
    assert np.sort(inputs[0], axis=None) == pytest.approx(np.sort(whole, axis=None))
    assert inputs[0].sum(axis=(1, 2)) == pytest.approx(whole.sum(axis=(1, 2)), rel=1e-4)


def test_image_target_and_zone_are_turned_together():
    column = small_column(0)
    for number in range(12):
        inputs, target, mask = sampler("ef-proximal", [column]).batch(number)
        assert ((inputs[:, 0] > 1.0) == (target[:, 0] == 1)).all()
        assert ((inputs[:, 2] * 100 <= 70.0) == (mask[:, 0] == 1)).all()


def test_a_batch_depends_on_seed_and_number_alone():
    first, again = sampler("ct").batch(7), sampler("ct").batch(7)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], sampler("ct").batch(8)[0])
    assert not np.array_equal(first[0], sampler("ct", seed=1).batch(7)[0])


@pytest.mark.parametrize("name", ["ef", "ct-distal", "ef-proximal"])
def test_a_part_of_a_batch_is_that_of_the_whole_one(name):
    patches = sampler(name, batch=5)
    for number in range(3):
        whole = patches.batch(number)
        for part in (slice(0, 2), slice(2, 5), slice(4, 5)):
            for array, of_part in zip(whole, patches.batch(number, part), strict=True):
                np.testing.assert_array_equal(of_part, array[part])


def test_augmentation_turns_half_of_the_patches_and_mirrors_each_axis_in_a_quarter():
    patch = np.arange(8.0).reshape(1, 2, 2, 2)
    rng = np.random.default_rng(0)
    results = [augment((patch,), rng)[0] for _ in range(4000)]
    untouched = np.mean([np.array_equal(result, patch) for result in results])
    # Unturned and unmirrored: .5 * .5625. Half a turn and both mirrors give it back: .5 / 3 * .0625.
    assert untouched == pytest.approx(0.5 * 0.5625 + 0.5 / 3 * 0.0625, abs=0.03)
    assert all(np.array_equal(result.sum(axis=(1, 2)), patch.sum(axis=(1, 2))) for result in results)


def test_a_patch_that_is_not_square_keeps_its_shape():
    rng = np.random.default_rng(1)
    patch = np.zeros((1, 4, 2, 3))
    assert {augment((patch,), rng)[0].shape for _ in range(50)} == {(1, 4, 2, 3)}


def test_a_column_smaller_than_a_patch_is_extended_by_air_outside_the_zone():
    inputs, _target, mask = sampler("ct-proximal", patch=(32, 32, 80)).batch(0)
    assert inputs.shape == (4, 1, 32, 32, 80) and inputs.min() == pytest.approx(-1.5)
    assert mask.reshape(4, -1).mean(axis=1).max() < 1


def test_zones_are_those_of_the_distance_map():
    column = small_column(0)
    assert np.array_equal(zone_of(column, "distal"), zone_mask(column.distance_mm, "distal"))
    assert zone_of(small_column(0, tumor=False), "all").all()
    with pytest.raises(ValueError, match="no tumor contour"):
        zone_of(small_column(0, tumor=False), "proximal")


def test_what_a_patient_lacks_is_named():
    assert reason_not_usable(small_column(0), SEGMENTERS["ef"]) is None
    assert reason_not_usable(small_column(0, pet=False), SEGMENTERS["ef"]) == "no PET"
    assert reason_not_usable(small_column(0, pet=False), SEGMENTERS["ct-distal"]) is None
    assert reason_not_usable(small_column(0, tumor=False), SEGMENTERS["ct-distal"]) == "no tumor contour"


def test_what_cannot_be_learned_from_is_refused_in_words():
    with pytest.raises(ValueError, match="approve at least one case"):
        sampler("ct", [])
    with pytest.raises(ValueError, match="case0: no PET"):
        sampler("ef", [small_column(0, pet=False)])
    with pytest.raises(ValueError, match="no approved node lies in the zone of ct-distal"):
        sampler("ct-distal", [small_column(0, nodes=0)])
