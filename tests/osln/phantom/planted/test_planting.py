"""Planting: only mediastinal fat changes, and everything comes back in the CT's own coordinates."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.archives import unpack
from osln.__main__ import main
from osln.imaging.grid import Grid, Volume
from osln.phantom import Phantom
from osln.phantom.planted.planting import plant, roomy
from osln.phantom.planted.real_ct import block_means, find_lungs, mediastinum, noise_sd_hu, survey
from osln.store.layout import companions, load_study
from small.planting import given_ct
from small.reference_data import reference_folder


@cache
def planted() -> Phantom:
    return plant(survey(given_ct()), 1)


def test_the_planted_case_lies_on_the_given_grid() -> None:
    case = planted()
    assert case.ct_hu.shape == given_ct().array.shape
    assert np.allclose(case.affine, given_ct().grid.affine)
    assert case.anatomy == "real CT" and case.tumor.any()


def test_voxels_far_from_the_mediastinum_stay_as_they_are() -> None:
    changed = planted().ct_hu != given_ct().array
    assert 0.0 < changed.mean() < 0.1
    assert not changed[:5].any() and not changed[-5:].any()


def test_findings_are_in_the_cts_coordinates() -> None:
    case = planted()
    oslns = [f for f in case.findings if f.osln]
    for finding in oslns:
        index = np.argwhere(case.nodes == finding.label).mean(0)
        center = case.affine[:3, :3] @ index + case.affine[:3, 3]
        assert np.linalg.norm(center - finding.center_mm) < 4.0


def test_uptake_that_falls_beside_the_ct_or_into_its_air_is_not_listed() -> None:
    # The vocal cords of this patient lie above a CT that ends below the neck.
    whole, height = given_ct(), given_ct().array.shape[2] - 6
    grid = whole.grid.crop((0, 0, 0), (*whole.array.shape[:2], height))
    case = plant(survey(Volume(whole.array[:, :, :height].copy(), grid, grid)), 5)

    assert [spot.kind for spot in case.patient.spots] == ["bowel", "bowel", "vocal cord", "vocal cord"]
    assert [finding.kind for finding in case.findings[-2:]] == ["bowel", "bowel"]
    # Everything else is listed, nodes and what looks like them on the CT.
    assert len(case.findings) == len(case.patient.nodes) + len(case.patient.mimics) + 2
    for finding in planted().findings:
        index = np.rint(planted_grid().mm_to_index(np.array(finding.center_mm))).astype(int)
        assert (index >= 0).all() and (index < planted().ct_hu.shape).all()
        if finding.kind in ("hot spot", "bowel", "brown fat", "vocal cord"):
            assert planted().ct_hu[tuple(index)] > -400


def planted_grid() -> Grid:
    return Grid(planted().ct_hu.shape, planted().affine)


def test_the_pet_covers_the_ct() -> None:
    case = planted()
    for corner in (np.zeros(3), np.array(case.ct_hu.shape) - 1.0):
        mm = case.affine[:3, :3] @ corner + case.affine[:3, 3]
        index = np.linalg.inv(case.pet_affine) @ np.array([*mm, 1.0])
        assert (index[:3] >= 0).all() and (index[:3] <= np.array(case.pet_suv.shape) - 1).all()


def test_a_given_tumor_is_kept_and_lights_up() -> None:
    ct = given_ct()
    tumor = np.zeros(ct.array.shape, bool)
    tumor[44:48, 28:32, 30:34] = True
    case = plant(survey(ct, tumor), 1, misregistered=False)
    assert np.array_equal(case.tumor, tumor & (case.nodes == 0))
    center = ct.grid.index_to_mm(np.argwhere(tumor).mean(0))
    where = (np.linalg.inv(case.pet_affine) @ np.array([*center, 1.0]))[:3].round().astype(int)
    assert case.pet_suv[tuple(where)] > 3.0


def test_a_tumor_on_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="must lie on the CT's grid"):
        survey(given_ct(), np.ones((2, 2, 2), bool))


def test_a_ct_without_lungs_is_refused() -> None:
    grid = Grid((20, 20, 20), np.diag([4.0, 4.0, 4.0, 1.0]))
    with pytest.raises(ValueError, match="no lungs found"):
        survey(Volume(np.zeros((20, 20, 20), np.int16), grid, grid))


def test_lungs_are_air_that_does_not_reach_the_sides() -> None:
    hu = np.full((40, 30, 30), 40.0, np.float32)
    hu[:3] = -1000.0
    hu[6:16, 5:25, 5:25], hu[24:34, 5:25, 5:25] = -850.0, -850.0
    lungs = find_lungs(hu, Grid(hu.shape, np.diag([5.0, 5.0, 5.0, 1.0])))
    assert lungs.sum() == 2 * 10 * 20 * 20
    assert mediastinum(lungs).sum() == 8 * 20 * 20


def test_gas_in_the_bowel_is_no_lung() -> None:
    hu = np.full((40, 30, 30), 40.0, np.float32)
    hu[6:16, 5:25, 5:25] = -850.0
    hu[24:34, 5:25, 5:25] = -1000.0
    grid = Grid(hu.shape, np.diag([5.0, 5.0, 5.0, 1.0]))
    assert find_lungs(hu, grid).sum() == 10 * 20 * 20
    hu[6:16] = 40.0
    with pytest.raises(ValueError, match="no lungs found"):
        find_lungs(hu, grid)


def test_a_narrow_field_cuts_the_lungs_and_has_them_still() -> None:
    hu = np.full((40, 30, 30), 40.0, np.float32)
    hu[6:16, 5:25, 5:25], hu[24:34, 5:25, 5:25] = -850.0, -850.0
    hu[:, :2] = -1000.0
    grid = Grid((20, 30, 30), np.diag([5.0, 5.0, 5.0, 1.0]))
    # Both are cut: neither is whole. The room's air in front reaches the sides, too.
    assert find_lungs(hu[10:30], grid).sum() == (6 + 6) * 20 * 20
    # A whole one is found alone, as what reaches the sides may be anything.
    assert find_lungs(hu[10:36], Grid((26, 30, 30), grid.affine)).sum() == 10 * 20 * 20


def test_noise_is_measured_in_soft_tissue() -> None:
    rng = np.random.default_rng(0)
    assert noise_sd_hu(rng.normal(50, 12, (60, 60, 20)).astype(np.float32)) == pytest.approx(12, rel=0.05)


def test_block_means_leave_out_what_fills_no_block() -> None:
    hu = np.array([2, 4, 6, 8, 50], np.int16).reshape(5, 1, 1)
    assert block_means(hu, (2, 1, 1)).ravel().tolist() == [3.0, 7.0]
    assert block_means(hu > 4, (2, 1, 1)).ravel().tolist() == [0.0, 1.0]


def thin_slices() -> Volume:
    """Two lungs of 80 x 100 x 60 mm, 30 mm apart, in tissue, on voxels of 1 x 1 x 1 mm, with noise."""
    hu = np.full((230, 140, 66), 40.0, np.float32)
    hu[20:100, 20:120, 3:63], hu[130:210, 20:120, 3:63] = -850.0, -850.0
    hu[101:129, 20:120, 3:63] = -100.0
    hu += np.random.default_rng(0).normal(0, 15, hu.shape).astype(np.float32)
    hu[:4], hu[-4:], hu[:, :4], hu[:, -4:] = -1000.0, -1000.0, -1000.0, -1000.0
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = -90.0
    grid = Grid(hu.shape, affine)
    return Volume(np.rint(hu).astype(np.int16), grid, grid)


def test_thin_slices_are_surveyed_on_blocks_whose_noise_is_lower() -> None:
    real = survey(thin_slices())
    assert real.coarse.array.shape == (115, 70, 22)
    # Blocks of 2 x 2 x 3 voxels begin at the first voxel's center and have theirs at (0.5, 0.5, 1) mm.
    assert real.coarse.grid.affine[:3, 3].tolist() == [0.5, 0.5, 1.0]
    fat = real.coarse.array[52:64, 12:58, 3:20]
    assert fat.std() == pytest.approx(15 / np.sqrt(12), rel=0.05)
    assert real.noise_hu == pytest.approx(15, rel=0.05)
    assert np.allclose(real.lung_box_mm, [[20.5, 20.5, 4.0], [208.5, 118.5, 61.0]])


def test_a_grid_that_is_a_part_of_the_ct_gets_its_own_voxels_and_a_coarser_one_means() -> None:
    real = survey(thin_slices())
    part = [axis[10:30] for axis in real.axes_mm]
    assert np.array_equal(real.hu_on(part), real.ct.array[10:30, 10:30, 10:30])
    coarse = [
        axis[2:6] for axis in (0.5 + 2.0 * np.arange(70), 0.5 + 2.0 * np.arange(70), 1 + 3.0 * np.arange(22))
    ]
    assert np.allclose(real.hu_on(coarse), real.coarse.array[2:6, 2:6, 2:6], atol=1e-2)
    outside = [axis - 500.0 for axis in part]
    assert (real.hu_on(outside) == -1000.0).all()


def test_one_survey_serves_every_seed_and_a_seed_is_one_patient() -> None:
    real = survey(thin_slices())
    first, again, other = plant(real, 4), plant(real, 4), plant(real, 5)
    assert np.array_equal(first.ct_hu, again.ct_hu) and np.array_equal(first.pet_suv, again.pet_suv)
    assert not np.array_equal(first.ct_hu, other.ct_hu)
    assert first.patient.nodes and {d.kind for d in first.patient.nodes} == {"node"}


def test_room_is_fat_with_fat_around_it() -> None:
    fat = np.zeros((21, 21, 15), bool)
    fat[5:16, 5:16, 3:12] = True
    fat[:, :, 0] = True  # A sheet of one voxel, too thin for a node.
    room = roomy(fat, (2.0, 2.0, 3.0), 0.99)
    # A sphere of 3.5 mm reaches one voxel along each axis of this grid.
    expected = np.zeros_like(fat)
    expected[6:15, 6:15, 4:11] = True
    assert np.array_equal(room, expected)
    assert np.array_equal(roomy(fat, (8.0, 8.0, 8.0), 0.99), fat)


def test_a_ct_with_hardly_any_fat_is_refused_with_the_number_of_places() -> None:
    ct = thin_slices()
    muscle = np.where((ct.array > -400) & (ct.array < 0), 40, ct.array)
    with pytest.raises(
        ValueError, match="0 places of 12 mm3 have room for a node of 7 mm, expected at least"
    ):
        plant(survey(Volume(muscle, ct.grid, ct.grid)), 1)


@pytest.mark.slow
def test_the_command_line_plants_into_a_real_planning_ct_with_its_contour(tmp_path: Path) -> None:
    unpack(next(reference_folder("lung1-001").glob("*.tar.xz")), tmp_path / "in")
    ct = next((tmp_path / "in").rglob("image"))
    structures = next(next((tmp_path / "in").rglob("mask_rtstruct")).glob("*.dcm"))
    arguments = ["--cases", "1", "--ct", str(ct), "--ct-tumor", f"{structures}:GTV-1", "--no-misregistration"]
    assert main(["phantoms", "--out", str(tmp_path / "out"), *arguments]) == 0
    study = load_study(companions(tmp_path / "out", "phantom-01"))
    assert study.ct.array.shape == (512, 512, 134)
    assert study.tumor is not None
    # The data's README: 156.3 ml; nodes that were planted into the tumor's border are cut out of it.
    assert study.tumor.array.sum() * study.tumor.grid.voxel_mm3 / 1000 == pytest.approx(156.3, abs=1.0)


def test_a_ct_whose_lungs_lie_in_no_common_slice_is_refused():
    grid = Grid((80, 60, 60), np.diag([5.0, 5.0, 5.0, 1.0]))
    hu = np.full(grid.shape, -1000, dtype=np.int16)
    hu[5:75, 5:55] = 40
    hu[10:35, 15:45, 2:26] = hu[45:70, 15:45, 34:58] = -800
    with pytest.raises(ValueError, match="nothing lies between the lungs in the CT"):
        survey(Volume(hu, grid, grid))
