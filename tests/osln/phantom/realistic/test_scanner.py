"""Slice thickness, noise, streaks and the field of view do what they say."""

from dataclasses import replace

import numpy as np
import pytest

from osln.phantom import RealisticParameters
from osln.phantom.body.painting import Canvas, Warp
from osln.phantom.realistic.look import draw
from osln.phantom.realistic.scanner import PADDING_HU, Scanner, metal_streaks, thick_slices

LOW, HIGH = (-60.0, -60.0, 0.0), (60.0, 60.0, 60.0)
AXES = [np.arange(-50.0, 51.0, 2.5), np.arange(-50.0, 51.0, 2.5), np.arange(0.0, 60.0, 3.0)]
SHAPE = tuple(len(axis) for axis in AXES)


def still(axes):
    return np.zeros((3, *(len(axis) for axis in axes)), np.float32)


def scanner(**changes) -> Scanner:
    look, own = draw(np.random.default_rng(1), RealisticParameters())
    own = replace(own, ct_noise_hu=changes.pop("noise", 0.0), ct_noise_step_mm=1.2)
    quiet = {"metal_mm": None, "slice_mm": 1.0, "shoulder_noise_hu": 0.0, "field_radius_mm": 200.0}
    return Scanner(replace(look, **{**quiet, **changes}), own, LOW, HIGH)


def scan(one: Scanner, hu: float = 40.0, level: float = 1.0) -> np.ndarray:
    canvas = Canvas(AXES, Warp(np.ones(3), np.zeros(3), still, lambda axes: still(axes)[0]), 2.5)
    clean = np.full(SHAPE, hu, np.float32)
    return one.scanned(clean, canvas, np.full(SHAPE, level), np.random.default_rng(2))


def test_a_quiet_scanner_shows_what_is_there():
    assert (scan(scanner()) == 40).all()


def test_thick_slices_spread_a_point_by_half_their_thickness_and_lose_nothing():
    image = np.zeros((1, 1, 41), np.float32)
    image[0, 0, 20] = 1000.0
    z = np.arange(41.0)
    blurred = thick_slices(image, [np.arange(1.0), np.arange(1.0), z], 5.0, 1.2)[0, 0]
    assert blurred.sum() == pytest.approx(1000.0, rel=1e-4)
    assert ((z - 20) ** 2 * blurred).sum() / 1000 == pytest.approx(2.5**2 - 1.2**2 / 12, rel=0.02)


def test_slices_no_thicker_than_what_is_painted_change_nothing():
    image = np.random.default_rng(1).normal(size=(2, 2, 9)).astype(np.float32)
    assert np.array_equal(
        thick_slices(image, [np.arange(2.0), np.arange(2.0), np.arange(9.0)], 1.0, 2.5), image
    )


@pytest.mark.parametrize(("level", "factor"), [(1.0, 0.75), (0.0, 1.2)])
def test_noise_has_its_level_at_the_skin_and_more_in_the_middle(level, factor):
    noise = scan(scanner(noise=20.0), level=level) - 40.0
    assert noise.std() == pytest.approx(20.0 * factor, rel=0.05) and abs(noise.mean()) < 1.0


def test_arms_beside_the_body_add_horizontal_streaks():
    streaks = {
        down: scan(scanner(noise=1.0, shoulder_noise_hu=16.0, arms_down=down)) for down in (False, True)
    }
    along, across = (np.diff(streaks[True].astype(float), axis=axis).std() for axis in (0, 1))
    assert streaks[True].std() > 4 * streaks[False].std() and across > 3 * along


def test_air_around_the_patient_stays_free_of_noise():
    assert (scan(scanner(noise=20.0), hu=-1000.0) == -1000).all()


def test_outside_the_field_of_view_is_padding():
    shown = scan(scanner(field_radius_mm=30.0))
    outside = np.hypot(AXES[0][:, None], AXES[1][None, :]) > 30.0
    assert (shown[outside] == PADDING_HU).all() and (shown[~outside] == 40).all()


def test_metal_throws_rays_in_its_own_slices_that_fade():
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(720)]).reshape(3, 720, 1, 1)

    def strength(radius, height):
        at = radius * ring + np.array([5.0, 6.0, 7.0 + height]).reshape(3, 1, 1, 1)
        return float(np.sqrt((metal_streaks(np.random.default_rng(3), at, (5, 6, 7), 100.0) ** 2).mean()))

    assert 60.0 < strength(10.0, 0.0) < 160.0
    assert strength(70.0, 0.0) == pytest.approx(0.25 * strength(10.0, 0.0), rel=1e-3)
    assert strength(10.0, 40.0) < 1e-6
