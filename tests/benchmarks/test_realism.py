"""Figures of images whose histogram, local SD and roughness are known."""

import numpy as np
import pytest

from benchmarks.realism import NAMES, cells, flat, name_of, summary, table
from benchmarks.realism_figures import Figures, figures, local_sd, on_demo_grid, roughness
from osln.imaging.grid import Grid, Volume
from small.planting import given_ct


def halves(noise: float = 0.0) -> np.ndarray:
    """One half fat at -100 HU, the other soft tissue at 50 HU."""
    hu = np.where(np.arange(40)[:, None, None] < 20, -100.0, 50.0) * np.ones((40, 30, 30))
    return hu + np.random.default_rng(1).normal(0, noise, hu.shape)


def of(hu: np.ndarray) -> Figures:
    return figures(hu, np.ones(hu.shape, bool))


def test_shares_and_modes_of_two_tissues():
    found = of(halves())
    assert found.shares == (0.0, 0.5, 0.0, 0.5, 0.0, 0.0)
    assert found.mode["fat"] == pytest.approx(-100, abs=1) and found.mode["soft"] == pytest.approx(50, abs=1)
    assert found.local_sd == {"fat": 0.0, "soft": 0.0}
    assert found.histogram.sum() * 5.0 == pytest.approx(1.0)


def test_lungs_and_what_lies_outside_the_body_are_not_counted():
    hu, body = halves(), np.ones((40, 30, 30), bool)
    hu[:5] = -850.0
    body[20:] = False
    assert figures(hu, body).shares == (0.0, 1.0, 0.0, 0.0, 0.0, 0.0)


def test_noise_without_correlation_is_as_rough_at_every_distance():
    found = of(halves(noise=8.0))
    for tissue in ("fat", "soft"):
        assert found.local_sd[tissue] == pytest.approx(8.0, rel=0.05)
        assert found.roughness[tissue] == pytest.approx((8.0,) * 3, rel=0.05)
        assert found.roughness_z[tissue] == pytest.approx(8.0, rel=0.05)


def test_a_checkerboard_is_rough_from_voxel_to_voxel_and_smooth_two_voxels_on():
    hu = np.where(np.indices((9, 9, 9)).sum(axis=0) % 2, 1.0, -1.0)
    everywhere = np.ones(hu.shape, bool)
    assert local_sd(hu)[4, 4, 4] == pytest.approx(np.sqrt(1 - 1 / 27**2))
    assert roughness(hu, everywhere, 1, (0, 1)) == pytest.approx(np.sqrt(2.0))
    assert roughness(hu, everywhere, 2, (0, 1)) == 0.0
    assert np.isnan(roughness(hu, ~everywhere, 1, (0,)))


def test_a_ct_is_measured_on_the_demo_grid_in_the_middle_of_the_body():
    hu, body = on_demo_grid(given_ct())
    assert hu.shape[:2] == (88, 64) and body.mean() > 0.8


def test_air_alone_is_refused_in_words():
    with pytest.raises(ValueError, match="expected a CT in HU"):
        of(np.full((4, 4, 4), -1000.0))


def test_the_tables_have_each_real_ct_and_mean_and_range_of_each_group():
    one, other = of(halves()), of(halves(noise=8.0))
    rows = {"real CTs": [("a", one)], "realistic phantoms": [("700", one), ("701", other)]}
    each = table(rows).splitlines()
    assert [line.split(" | ")[0] for line in each] == ["| CT", "| ---", "| a"]
    assert cells(flat(one))[:6] == [".00", ".50", ".00", ".50", ".00", ".00"]
    short = summary(rows).splitlines()
    assert short[0] == "|  | real CTs (1) | realistic phantoms (2) |"
    sd = other.local_sd["fat"]
    line = short[2 + NAMES.index("fat local SD")]
    assert line == f"| fat local SD | 0.0 | {sd / 2:.1f} (0.0 to {sd:.1f}) |"


def test_files_of_one_name_are_told_apart_by_their_folder(tmp_path):
    assert name_of(tmp_path / "STS_002" / "CT_image.nii.gz") == "STS_002"
    assert name_of(tmp_path / "abdomen.nii.gz") == "abdomen"


def test_a_volume_with_padding_is_measured_without_it():
    grid = Grid((40, 40, 20), np.diag([2.5, 2.5, 3.0, 1.0]))
    hu = np.full(grid.shape, -3024, np.int16)
    hu[10:30, 10:30] = 50
    found = figures(*on_demo_grid(Volume(hu, grid, grid)))
    assert found.shares[3] == 1.0
