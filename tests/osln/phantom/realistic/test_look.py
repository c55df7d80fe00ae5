"""A patient's look comes from the ranges, and colors tissues and findings by its contrast phase."""

from dataclasses import asdict, fields, replace

import numpy as np
import pytest

from osln.phantom import PhantomParameters, RealisticParameters
from osln.phantom.body.shapes import ellipsoid
from osln.phantom.findings.findings import Deposit
from osln.phantom.realistic.look import _DRAWN, draw

OWN = [
    f.name
    for f in fields(RealisticParameters)
    if f.name not in {*asdict(PhantomParameters()), "look_version"}
]


def drawn(seed: int = 1, **changes):
    return draw(np.random.default_rng(seed), replace(RealisticParameters(), **changes))


@pytest.mark.parametrize("name", OWN)
def test_ranges_begin_below_their_ends(name):
    value = getattr(RealisticParameters(), name)
    assert 0.0 <= value <= 1.0 if isinstance(value, float) else name == "phase_share" or value[0] < value[1]


def test_shares_of_the_phases_are_a_whole():
    assert sum(RealisticParameters().phase_share) == pytest.approx(1.0)


def test_what_is_drawn_lies_in_its_range():
    ranges = RealisticParameters()
    for seed in range(30):
        look, own = drawn(seed)
        for name in _DRAWN:
            low, high = getattr(ranges, name)
            assert low <= getattr(look, name) <= high
        assert ranges.noise_hu[0] <= own.ct_noise_hu <= ranges.noise_hu[1]
        assert ranges.in_plane_mm[0] <= own.partial_volume_mm <= ranges.in_plane_mm[1]
        assert ranges.pet_fwhm_mm[0] <= own.pet_blur_fwhm_mm <= ranges.pet_fwhm_mm[1]
        assert all(ranges.pet_voxel_mm[0] <= step <= ranges.pet_voxel_mm[1] for step in own.pet_spacing_mm)
        assert own.misregistration_p95_mm == ranges.moved_mm
        assert own.node_mean == PhantomParameters().node_mean


def test_native_tissue_is_shifted_from_what_is_painted_to_the_drawn_value():
    look, _ = drawn(
        phase_share=(1.0, 0.0, 0.0), fat_hu=(-90.0, -90.0), liver_hu=(60.0, 60.0), gut_hu=(3.0, 3.0)
    )
    assert look.phase == "native"
    assert look.shift_hu["fat"] == 10.0 and look.shift_hu["liver"] == 8.0 and look.shift_hu["gut"] == 3.0
    assert "node" not in look.shift_hu and "kidney" not in look.shift_hu


@pytest.mark.parametrize(("share", "low", "high"), [((0.0, 1.0, 0.0), 70, 130), ((0.0, 0.0, 1.0), 150, 280)])
def test_contrast_medium_adds_to_native_blood(share, low, high):
    look, _ = drawn(phase_share=share, blood_hu=(40.0, 40.0))
    assert low <= look.shift_hu["blood"] <= high and look.shift_hu["node"] > 0


def test_a_node_is_enhanced_but_for_its_fatty_hilum_and_a_cyst_not_at_all():
    look, _ = drawn(phase_share=(0.0, 1.0, 0.0))
    shape = ellipsoid((0, 0, 0), (3, 3, 3), 36.0, 1.0)
    core = ellipsoid((0, 0, 0), (1, 1, 1), -40.0, np.nan)
    node = Deposit("node", np.zeros(3), 6.0, 6.0, 113.0, (shape,), (core,), osln=True)
    colored = look.colored_deposit(node)
    assert colored.outline[0].hu == 36.0 + look.shift_hu["node"]
    assert colored.extra[0].hu == -40.0 and colored.osln
    assert look.colored_deposit(replace(node, kind="cyst")).outline[0].hu == 36.0
    assert look.colored_deposit(replace(node, kind="vessel")).outline[0].hu == 36.0 + look.shift_hu["blood"]
