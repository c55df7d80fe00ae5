"""Outlines: the same voxels come back, the area is kept, and stairs become curves."""

import numpy as np
import pytest
from scipy import ndimage

from osln.dicom.writing.contours import outlines
from small.contours import area, filled


def disk(radius, size=30, center=(14.2, 13.7)):
    i, j = np.indices((size, size))
    return (i - center[0]) ** 2 + (j - center[1]) ** 2 <= radius**2


def blobs(seed, size=24):
    """Irregular shapes with holes, bays, bridges and single voxels."""
    random = np.random.default_rng(seed)
    return ndimage.gaussian_filter(random.random((size, size + 5)), 0.6 + seed % 4 * 0.5) > 0.5


@pytest.mark.parametrize("seed", range(12))
def test_the_voxels_with_their_centers_inside_are_the_mask(seed):
    mask = blobs(seed)

    np.testing.assert_array_equal(filled(outlines(mask), mask.shape), mask)


def test_scattered_voxels_that_touch_at_corners_come_back_too():
    mask = np.random.default_rng(3).random((14, 17)) < 0.4

    np.testing.assert_array_equal(filled(outlines(mask), mask.shape), mask)


def test_an_empty_mask_has_no_outline():
    assert outlines(np.zeros((4, 5), dtype=bool)) == []


def test_a_mask_at_the_border_of_the_image_is_outlined():
    mask = np.ones((4, 5), dtype=bool)
    (ring,) = outlines(mask)

    np.testing.assert_array_equal(filled([ring], mask.shape), mask)
    # The sides bulge a little for the area that the round corners lose.
    np.testing.assert_allclose(ring.min(axis=0), -0.5, atol=0.15)
    np.testing.assert_allclose(ring.max(axis=0), [3.5, 4.5], atol=0.15)
    assert area(ring) == pytest.approx(20, rel=0.03)


def test_a_single_voxel_has_its_area_around_its_center():
    mask = np.zeros((5, 6), dtype=bool)
    mask[2, 3] = True
    (ring,) = outlines(mask)

    np.testing.assert_allclose((ring.min(axis=0) + ring.max(axis=0)) / 2, [2, 3], atol=0.02)
    assert area(ring) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("radius", [2.0, 3.5, 6.0, 10.0])
def test_the_outline_of_a_disk_is_a_circle_without_stairs(radius):
    mask = disk(radius)
    (ring,) = outlines(mask)

    away = np.linalg.norm(ring - [14.2, 13.7], axis=1)
    assert np.abs(away - np.sqrt(mask.sum() / np.pi)).max() < 0.45
    # Along the voxels' edges the way around is 8 radii, along the circle 6.28.
    length = np.linalg.norm(ring - np.roll(ring, 1, axis=0), axis=1).sum()
    assert length < 1.08 * 2 * np.sqrt(np.pi * mask.sum())
    assert area(ring) == pytest.approx(mask.sum(), rel=0.03)


def test_a_slanted_edge_is_nearly_straight():
    i, j = np.indices((40, 40))
    (ring,) = outlines(j < 0.5 * i + 5)
    # Away from the border of the image.
    edge = ring[(ring[:, 0] > 8) & (ring[:, 0] < 32) & (ring[:, 1] > 5)]

    # The stairs of the voxels leave the line by up to half a voxel.
    off = (edge[:, 1] - 0.5 * edge[:, 0]) / np.hypot(1, 0.5)
    assert np.ptp(off) < 0.25


def test_holes_and_an_island_in_a_hole_are_in_one_polygon_each():
    mask = disk(12, 30) & ~disk(8, 30) | disk(3, 30)
    mask[3:5, 13:15] = False
    rings = outlines(mask)

    # The ring with its big hole, and the island.
    assert len(rings) == 2
    for ring in rings:
        alone = filled([ring], mask.shape)
        assert (alone & ~mask).sum() == 0
    np.testing.assert_array_equal(filled(rings, mask.shape), mask)


def test_two_holes_are_joined_by_channels_that_cross_nothing():
    mask = np.ones((20, 9), dtype=bool)
    mask[3:6, 3:6] = mask[12:16, 2:7] = False
    (ring,) = outlines(mask)

    np.testing.assert_array_equal(filled([ring], mask.shape), mask)
    # Outer ring and both holes; the channels, walked both ways, add nothing.
    assert area(ring) == pytest.approx(mask.sum(), rel=0.02)


def test_the_outline_has_few_points():
    (ring,) = outlines(disk(10))

    assert 16 <= len(ring) <= 80
