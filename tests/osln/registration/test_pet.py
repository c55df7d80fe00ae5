"""`register_pet`: what is recognized, aligned, kept and refused."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from osln.imaging.grid import Grid, Volume
from osln.registration import pet as pet_module
from osln.registration import register_pet
from osln.registration.frames import map_points
from osln.registration.rigid import translation
from small.body import ball, millimeters

BOX = ((-130.0, 130.0), (-100.0, 100.0), (-100.0, 100.0))
MARKS_MM = np.array([[0.0, 20.0, -40.0], [5.0, 25.0, 0.0], [-8.0, 18.0, 45.0], [0.0, -50.0, 10.0]])


def grid_of(spacing_mm: float) -> Grid:
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = [low for low, _ in BOX]
    return Grid(tuple(int((high - low) / spacing_mm) for low, high in BOX), affine)


def painted(places: np.ndarray) -> np.ndarray:
    """HU of a chest at (x, y, z, 3) points: skin, two unlike lungs, fat, spine and heart."""

    def inside(center, radii):
        return (((places - np.array(center)) / np.array(radii)) ** 2).sum(axis=-1) <= 1

    hu = np.full(places.shape[:-1], -1000.0)
    hu[((places[..., :2] / (110.0, 80.0)) ** 2).sum(axis=-1) <= 1] = -90
    hu[((places[..., :2] / (98.0, 68.0)) ** 2).sum(axis=-1) <= 1] = 40
    hu[inside((0, 0, 20), (45, 55, 200))] = -100
    hu[inside((-55, 0, 5), (30, 48, 70))] = -850
    hu[inside((60, 5, 10), (27, 45, 62))] = -850
    spine = ((places[..., :2] - (0, -50)) ** 2).sum(axis=-1) <= 18**2
    hu[spine] = np.where(np.sin(places[..., 2] / 8) > 0, 310, 60)[spine]
    hu[inside((15, 25, -30), (35, 25, 30))] = 50
    for mark in MARKS_MM[:3]:
        hu[inside(mark - (20, 0, 0), (9, 9, 9))] = 40
    return hu


def ct_shifted_by(displacement=None, *, spacing_mm: float = 4.0, noise_seed: int = 0) -> Volume:
    """A noisy CT that shows at p what the chest has at p + displacement(p)."""
    grid = grid_of(spacing_mm)
    places = millimeters(grid)
    noise = np.random.default_rng(noise_seed).normal(0, 8, grid.shape)
    hu = painted(places if displacement is None else places + displacement(places)) + noise
    return Volume(hu.astype(np.int16), grid, grid)


def pet_of(displacement=None) -> Volume:
    """SUV: lungs low, tissue 1, the marks hot."""
    grid = grid_of(5.0)
    places = millimeters(grid)
    places = places if displacement is None else places + displacement(places)
    suv = np.interp(painted(places), (-1000, -850, -100, 40), (0, 0.4, 0.5, 1.2))
    for mark in MARKS_MM:
        suv += 6.0 * np.exp(-((places - mark) ** 2).sum(axis=-1) / (2 * 6.0**2))
    return Volume(suv.astype(np.float32), grid, grid)


def by(shift_mm):
    return lambda places: np.broadcast_to(np.array(shift_mm), places.shape)


def breathing(places: np.ndarray) -> np.ndarray:
    """A smooth displacement of up to 10 mm, below the carina mostly along z, with an offset of (6, -4, 5)."""
    z, y = places[..., 2], places[..., 1]
    wave = np.stack([3 * np.sin(z / 60), 4 * np.cos(y / 50), 8 / (1 + np.exp(z / 30))], axis=-1)
    return wave + np.array([6.0, -4.0, 5.0])


def shown_at(points: np.ndarray, displacement) -> np.ndarray:
    """Where an image made with `displacement` shows points of the chest."""
    moved = points.copy()
    for _ in range(20):
        moved = points - displacement(moved)
    return moved


def filled(volume: Volume) -> Volume:
    """The CT with tissue instead of lung."""
    places = millimeters(volume.grid)
    body = ((places[..., :2] / (80.0, 55.0)) ** 2).sum(axis=-1) <= 1
    return replace(volume, array=np.where(body & (volume.array < -500), 40, volume.array).astype(np.int16))


def off_by_mm(transform: sitk.Transform, displacement) -> np.ndarray:
    return np.linalg.norm(map_points(transform, MARKS_MM) - shown_at(MARKS_MM, displacement), axis=1)


@pytest.fixture(scope="module")
def splined():
    told: list[tuple[float, str]] = []
    result = register_pet(
        ct_shifted_by(), pet_of(breathing), ct_shifted_by(breathing, noise_seed=1),
        on_progress=lambda share, words: told.append((share, words)),
    )  # fmt: skip
    return result, told


@pytest.mark.slow
def test_a_known_smooth_motion_is_found_at_the_marks(splined):
    result, _ = splined

    assert np.linalg.norm(shown_at(MARKS_MM, breathing) - MARKS_MM, axis=1).min() > 7
    assert off_by_mm(result.transform, breathing).mean() < 2.0
    assert result.quality.method == "spline"
    assert result.quality.folding == 0


def test_the_figures_of_quality_rise(splined):
    quality = splined[0].quality

    assert quality.lung_dice_after > 0.95 > quality.lung_dice_before
    assert quality.body_dice_after > quality.body_dice_before
    assert quality.mutual_information_after > quality.mutual_information_before


def test_the_pet_lies_over_the_field_of_the_ct_at_its_own_spacing_with_its_own_uptake(splined):
    pet = splined[0].pet
    ct_grid = ct_shifted_by().grid
    lows, highs = ([g.index_to_mm(np.full(3, -0.5)) for g in (pet.grid, ct_grid)],
                   [g.index_to_mm(np.array(g.shape) - 0.5) for g in (pet.grid, ct_grid)])  # fmt: skip

    assert np.allclose(pet.grid.spacing_mm, 5.0)
    assert (lows[0] <= lows[1] + 1e-6).all() and (highs[0] >= highs[1] - 1e-6).all()
    assert pet.array.max() == pytest.approx(pet_of().array.max(), rel=0.15)
    for mark in MARKS_MM[:3]:
        near = ball(pet.grid, mark, 10.0)
        hottest = millimeters(pet.grid)[near][pet.array[near].argmax()]
        assert np.linalg.norm(hottest - mark) < 5.0


def test_progress_goes_from_nothing_to_all_and_never_back(splined):
    shares = [share for share, _ in splined[1]]

    assert shares[0] == 0 and shares[-1] == 1
    assert shares == sorted(shares)


def test_the_transform_survives_its_file(splined, tmp_path):
    transform = splined[0].transform
    sitk.WriteTransform(transform, str(tmp_path / "pet.h5"))

    again = sitk.ReadTransform(str(tmp_path / "pet.h5"))

    assert np.allclose(map_points(again, MARKS_MM), map_points(transform, MARKS_MM))


@pytest.mark.slow
def test_a_repeated_run_gives_the_same_result_up_to_the_order_of_sums(splined):
    again = register_pet(ct_shifted_by(), pet_of(breathing), ct_shifted_by(breathing, noise_seed=1))

    # Several threads add in another order each time, and the steps of the optimizer carry it on.
    moved = map_points(again.transform, MARKS_MM) - map_points(splined[0].transform, MARKS_MM)
    assert np.abs(moved).max() < 1e-3
    assert again.quality.method == splined[0].quality.method
    assert np.abs(again.pet.array - splined[0].pet.array).max() < 1e-3


def test_a_pair_that_lies_right_is_left_alone():
    pet = pet_of()

    result = register_pet(ct_shifted_by(), pet, ct_shifted_by(noise_seed=1))

    assert result.quality.method == "already aligned"
    assert result.pet is pet
    assert np.array_equal(map_points(result.transform, MARKS_MM), MARKS_MM)
    assert result.warnings == []


@pytest.mark.slow
def test_a_spline_that_folds_is_dropped_for_the_rigid_transform(monkeypatch):
    monkeypatch.setattr(pet_module, "folding_share", lambda transform, grid: 0.01)
    shift = by((9.0, -6.0, 8.0))

    result = register_pet(ct_shifted_by(), pet_of(shift), ct_shifted_by(shift, noise_seed=1))

    assert result.quality.method == "rigid (spline was worse)"
    assert result.quality.folding == 0
    assert off_by_mm(result.transform, shift).max() < 1.5
    assert any("rigid alignment was kept" in sentence for sentence in result.warnings)


def test_without_lungs_in_view_only_a_rigid_motion_is_corrected():
    shift = by((9.0, -6.0, 8.0))
    ct, pet_ct = filled(ct_shifted_by()), filled(ct_shifted_by(shift, noise_seed=1))

    result = register_pet(ct, pet_of(shift), pet_ct)

    assert result.quality.method == "rigid"
    assert result.quality.lung_dice_before is None and result.quality.lung_dice_after is None
    assert off_by_mm(result.transform, shift).max() < 2.0
    assert any("no lungs" in sentence for sentence in result.warnings)


def test_a_pet_without_its_ct_is_moved_rigidly_with_a_warning():
    shift = by((14.0, -10.0, 12.0))

    result = register_pet(ct_shifted_by(), pet_of(shift), None)

    assert result.quality.method == "rigid PET to CT"
    assert off_by_mm(result.transform, shift).max() < 4.0
    assert result.quality.lung_dice_after is None
    assert any("without its own CT" in sentence for sentence in result.warnings)


def test_a_pet_without_its_ct_that_lies_right_is_left_alone():
    pet = pet_of()

    result = register_pet(ct_shifted_by(), pet, None)

    assert result.quality.method == "already aligned"
    assert result.pet is pet


def test_a_pet_of_a_part_of_the_body_says_so():
    pet = pet_of()
    half = Volume(pet.array[:, :, :20], pet.grid.crop((0, 0, 0), (*pet.grid.shape[:2], 20)), pet.file_grid)

    result = register_pet(ct_shifted_by(), half, ct_shifted_by(noise_seed=1))

    assert any("covers 50 % of the body" in sentence for sentence in result.warnings)


def test_a_pet_without_its_ct_on_a_ct_without_lungs_is_not_moved_and_says_why():
    pet = pet_of(by((9.0, -6.0, 8.0)))

    result = register_pet(filled(ct_shifted_by()), pet, None)

    assert result.quality.method == "left alone (no lungs in view)"
    assert result.pet is pet
    assert any("cannot be told without its own CT" in sentence for sentence in result.warnings)


@pytest.mark.parametrize("shift", [(0.0, 0.0, -60.0), (70.0, 0.0, 50.0), (0.0, 80.0, 60.0)])
def test_a_pet_without_its_ct_is_found_also_from_far_away(shift):
    result = register_pet(ct_shifted_by(), pet_of(by(shift)), None)

    assert result.quality.method == "rigid PET to CT"
    assert off_by_mm(result.transform, by(shift)).max() < 4.0
    assert not any("may lie wrong" in sentence for sentence in result.warnings)


def test_cts_without_lungs_are_aligned_also_from_far_away():
    shift = by((0.0, 0.0, 70.0))
    ct, pet_ct = filled(ct_shifted_by()), filled(ct_shifted_by(shift, noise_seed=1))

    result = register_pet(ct, pet_of(shift), pet_ct)

    assert result.quality.method == "rigid"
    assert off_by_mm(result.transform, shift).max() < 4.0


def test_a_pet_that_fits_nowhere_says_that_it_may_lie_wrong():
    pet = pet_of()
    turned = replace(pet, array=np.ascontiguousarray(np.random.default_rng(3).permutation(pet.array)))

    result = register_pet(ct_shifted_by(), turned, None)

    assert result.quality.doubt.startswith("the PET may lie wrong: it fits the CT by 0.")
    assert result.quality.doubt in result.warnings
    assert not any("may lie wrong" in one for one in register_pet(ct_shifted_by(), pet, None).warnings)


@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0])
def test_a_pet_that_lies_right_is_not_carried_off_to_where_it_fits_by_chance(noise):
    pet, half = pet_of(), pet_of().array.shape[2] // 2
    noisy = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=pet.array.shape), 1) * 4.6 * noise
    affine = pet.grid.affine.copy()
    affine[:3, 3] = pet.grid.index_to_mm(np.array([0.0, 0.0, half]))
    upper = np.maximum(pet.array + noisy, 0)[:, :, half:].astype(np.float32)
    grid = Grid(upper.shape, affine)

    result = register_pet(ct_shifted_by(), Volume(upper, grid, grid), None)

    assert off_by_mm(result.transform, by((0.0, 0.0, 0.0))).max() < 10.0


@pytest.mark.parametrize("pet_ct", [None, "its own, without lungs"])
def test_a_pet_that_no_motion_makes_fit_better_is_not_resampled_and_says_so(pet_ct, monkeypatch):
    worse = translation(np.array([0.0, 40.0, 0.0]))
    monkeypatch.setattr(pet_module, "align_rigid", lambda fixed, moving, start: worse)
    shift = by((9.0, -6.0, 8.0))
    pet = pet_of(shift)
    if pet_ct is None:
        result = register_pet(ct_shifted_by(), pet, None)
    else:
        result = register_pet(filled(ct_shifted_by()), pet, filled(ct_shifted_by(shift, noise_seed=1)))

    assert result.quality.method == "left alone (no motion fits better)"
    assert result.pet is pet
    assert any("no rigid motion made the images fit better" in sentence for sentence in result.warnings)
