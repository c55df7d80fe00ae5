"""The numbers of a candidate: what they are of a patch that can be told by eye, and what they need."""

from dataclasses import replace

import numpy as np
import pytest

from osln.rows.experiments import CLASSIFIERS, NUMBER_INPUTS
from osln.stage_two.context import known_numbers
from osln.stage_two.numbers import RADII_MM, candidate_numbers, known_of
from osln.stage_two.patches import Patches

SPACING = (2.0, 2.0, 2.0)
SHAPE = (18, 18, 18)
CONTEXT = np.float32([[0.5, 30, 4, 0, 10, 20]])


def patch(size=4, ct=-100, pet=1.0) -> Patches:
    """A box of 40 HU and SUV 5 in the middle of even fat; its upper half along z has 60 HU."""
    low, past = 9 - size // 2, 9 + size // 2
    ct_hu, pet_suv = np.full((1, *SHAPE), ct, np.int16), np.full((1, *SHAPE), pet, np.float16)
    box = (0, *(slice(low, past),) * 3)
    ct_hu[box], pet_suv[box] = 40, 5.0
    ct_hu[0, low:past, low:past, 9:past] = 60
    return Patches(ct_hu, pet_suv, np.float32([[[low, past]] * 3]), CONTEXT)


def test_numbers_of_a_box_in_fat_are_those_counted_by_hand():
    (found,) = candidate_numbers(patch(), SPACING)
    assert found.shape == (NUMBER_INPUTS,) and found.dtype == np.float32
    np.testing.assert_allclose(found[:7], known_numbers(CLASSIFIERS["local-context"], None, CONTEXT)[0])
    ct, pet, (soft, fat, hottest, usual, slender, thinnest) = found[7:20], found[20:33], found[33:]
    # Of the box: mean, SD, largest and smallest; then what differs from outside, largest, median, SD outside.
    assert ct[5:9].tolist() == [50, 10, 60, 40] and ct[9] == pytest.approx(150)
    assert ct[10:].tolist() == [60, -100, 0]
    assert pet[5:9].tolist() == [5, 0, 5, 5] and pet[9] == pytest.approx(4) and pet[10:].tolist() == [5, 1, 0]
    # The innermost 8 voxel centers lie 1.7 mm away; the outermost shells are all fat.
    assert ct[0] == 50 and ct[4] == -100 and pet[0] == 5 and pet[4] == 1
    # Within 5.2 mm lie the 64 voxels of the box and 24 beside its faces, farther out none of it.
    assert soft == pytest.approx(64 / 88) and fat == 1
    assert hottest == pytest.approx(np.log2(6)) and usual == pytest.approx(1.0)
    assert slender == 1 and thinnest == 3  # 8 mm


def test_a_turned_patch_has_the_same_numbers():
    one = patch()
    turned = replace(one, ct_hu=one.ct_hu[:, ::-1].swapaxes(1, 2), pet_suv=one.pet_suv[:, ::-1])
    np.testing.assert_allclose(candidate_numbers(turned, SPACING), candidate_numbers(one, SPACING), rtol=1e-5)


def test_a_box_thinner_than_a_voxel_is_seen_by_its_middle():
    thin = replace(patch(), boxes=np.float32([[[8.6, 9.4]] * 3]))
    (found,) = candidate_numbers(thin, SPACING)
    assert np.isfinite(found).all() and found[7 + 5] == 50
    assert RADII_MM[-1] == 16


@pytest.mark.parametrize("size", [16, 18])
def test_a_bulky_candidate_has_numbers_when_it_fills_the_shells_and_when_it_fills_the_patch(size):
    bulky = patch(size)
    (found,) = known_of(CLASSIFIERS["numbers"], None, bulky, SPACING)
    ct = found[7:20]
    # 16 voxels are 32 mm: nothing of the 16 mm around the center lies outside, the rest of the patch does.
    assert ct[9] == (150 if size == 16 else 0) and ct[12] == (0 if size == 16 else 10)
    assert np.isfinite(found).all() and found[-1] == pytest.approx(np.log2(2 * size))


def test_an_image_that_holds_nan_is_refused():
    broken = patch()
    broken.pet_suv[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="check CT and PET for NaN"):
        known_of(CLASSIFIERS["numbers"], None, broken, SPACING)


def test_nobody_has_no_numbers_and_pet_and_place_are_asked_for():
    numbers = CLASSIFIERS["numbers"]
    assert numbers.needs_pet and numbers.context and not numbers.tags
    assert candidate_numbers(patch().first(0), SPACING).shape == (0, NUMBER_INPUTS)
    with pytest.raises(ValueError, match="of CT and PET: give a PET"):
        known_of(numbers, None, replace(patch(), pet_suv=None), SPACING)
    with pytest.raises(ValueError, match="with a tumor contour"):
        known_of(numbers, None, replace(patch(), context=np.full((1, 6), np.nan, np.float32)), SPACING)
    assert known_of(CLASSIFIERS["local-ct"], None, patch(), SPACING) is None
