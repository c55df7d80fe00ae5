"""Septa, strands and fat between bundles change their own tissue by what can be computed by hand."""

from dataclasses import replace

import numpy as np
import pytest

from osln.phantom import RealisticParameters
from osln.phantom.body.painting import Canvas, Warp
from osln.phantom.body.shapes import ellipsoid
from osln.phantom.realistic.look import draw
from osln.phantom.realistic.tissue import FAT, LUNG, MUSCLE, OTHER, STOOL, add_texture, tissue_map

LOOK = replace(
    draw(np.random.default_rng(1), RealisticParameters())[0],
    septum_hu=40.0, strand_hu=60.0, muscle_fat_hu=80.0, lung_texture_hu=30.0,
)  # fmt: skip


def textured(field_value: float, hu=(-100.0, 50.0, -840.0, 55.0), look=LOOK) -> np.ndarray:
    """One voxel each of fat, muscle, lung and other tissue, with every field at one value."""
    image = np.array(hu, np.float32).reshape(4, 1, 1)
    tissues = np.array([FAT, MUSCLE, LUNG, OTHER], np.uint8).reshape(4, 1, 1)
    add_texture(image, tissues, lambda step: np.full((4, 1, 1), field_value, np.float32), look, 5.0, 2.0)
    return image.ravel()


def test_on_a_septum_that_a_strand_crosses_fat_is_denser_and_muscle_is_fat():
    fat, muscle, lung, other = textured(0.0)
    assert fat == pytest.approx(-100 + np.exp(-0.3) * (40 + 60), abs=1e-3)
    assert muscle == pytest.approx(50 - 80)
    assert lung == -840.0 and other == 55.0


def test_away_from_septa_only_the_slow_variation_is_left():
    fat, muscle, lung, other = textured(1.0, look=replace(LOOK, strand_width=0.25))
    assert fat == pytest.approx(-100 + 5, abs=1e-3)
    assert muscle == pytest.approx(50 + 2, abs=1e-3)
    assert lung == pytest.approx(-840 + 30 * 1.4, abs=1e-3)
    assert other == 57.0


def test_stool_is_uneven():
    image = np.full((1, 1, 1), -60.0, np.float32)
    look = replace(LOOK, stool_hu=100.0)
    tissues = np.full((1, 1, 1), STOOL, np.uint8)
    add_texture(image, tissues, lambda step: np.full((1, 1, 1), -0.5, np.float32), look, 5.0, 0.0)
    assert image.item() == -110.0


def test_strands_are_never_denser_than_blood_without_contrast():
    fat = textured(0.0, look=replace(LOOK, septum_hu=400.0))[0]
    assert fat == 45.0


def test_a_voxel_belongs_to_the_last_shape_over_its_center():
    axes = [np.arange(5.0)] * 3
    still = Warp(
        np.ones(3), np.zeros(3), lambda a: np.zeros((3, 5, 5, 5), np.float32), lambda a: np.zeros((5, 5, 5))
    )
    shapes = [
        ellipsoid((2, 2, 2), (2.2, 2.2, 2.2), -100, 0.45).of("fat"),
        ellipsoid((2, 2, 2), (1.2, 1.2, 1.2), -840, 0.45),
        ellipsoid((2, 2, 2), (0.4, 0.4, 0.4), 50, 0.8).of("muscle"),
    ]
    codes = tissue_map(shapes, Canvas(axes, still, 2.5))
    assert codes[:, 2, 2].tolist() == [FAT, LUNG, MUSCLE, LUNG, FAT] and codes[0, 0, 0] == OTHER
