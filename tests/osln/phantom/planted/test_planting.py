"""Planting: only mediastinal fat changes, and everything comes back in the CT's own coordinates."""

import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from osln.__main__ import main
from osln.imaging.grid import Grid, Volume
from osln.phantom import Phantom
from osln.phantom.planted.planting import plant
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


def test_noise_is_measured_in_soft_tissue() -> None:
    rng = np.random.default_rng(0)
    assert noise_sd_hu(rng.normal(50, 12, (60, 60, 20)).astype(np.float32)) == pytest.approx(12, rel=0.05)


@pytest.mark.slow
def test_the_command_line_plants_into_a_real_planning_ct_with_its_contour(tmp_path: Path) -> None:
    with tarfile.open(next(reference_folder("lung1-001").glob("*.tar.xz"))) as archive:
        archive.extractall(tmp_path / "in", filter="data")
    ct = next((tmp_path / "in").rglob("image"))
    structures = next(next((tmp_path / "in").rglob("mask_rtstruct")).glob("*.dcm"))
    arguments = ["--cases", "1", "--ct", str(ct), "--ct-tumor", f"{structures}:GTV-1", "--no-misregistration"]
    assert main(["phantoms", "--out", str(tmp_path / "out"), *arguments]) == 0
    study = load_study(companions(tmp_path / "out", "phantom-01"))
    assert study.ct.array.shape == (512, 512, 134)
    assert study.tumor is not None
    # The data's README: 156.3 ml; nodes that were planted into the tumor's border are cut out of it.
    assert study.tumor.array.sum() * study.tumor.grid.voxel_mm3 / 1000 == pytest.approx(156.3, abs=1.0)
