"""The tumor distance is ITK's Maurer distance in millimeters, clipped, and 70 mm divides the zones."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from osln.imaging.distance import tumor_distance_mm, zone_mask


def with_itk(tumor, spacing_mm):
    """The whole field by SimpleITK, not clipped."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(tumor.T).astype(np.uint8))
    image.SetSpacing([float(s) for s in spacing_mm])
    return sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, False, False, True)).T


def by_definition(tumor, spacing_mm):
    """Distance to the nearest voxel center of the 26-connected inner boundary, every pair compared."""
    # Voxels beyond the field count like their nearest voxel inside it.
    eroded = ndimage.binary_erosion(np.pad(tumor, 1, mode="edge"), np.ones((3, 3, 3)))[1:-1, 1:-1, 1:-1]
    boundary = np.argwhere(tumor & ~eroded) * spacing_mm
    every = np.argwhere(np.ones(tumor.shape)) * spacing_mm
    nearest = np.sqrt(((every[:, None] - boundary[None]) ** 2).sum(axis=-1)).min(axis=1)
    return nearest.reshape(tumor.shape) * np.where(tumor, -1, 1)


def blobs(seed, shape):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.2)
    return noise > np.quantile(noise, 0.9)


def box(shape, *ranges):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(*r) for r in ranges)] = True
    return mask


CASES = {
    "random blobs": (blobs(0, (17, 13, 11)), (1.0, 1.0, 2.5)),
    "random blobs, tall voxels": (blobs(1, (14, 15, 9)), (0.7, 1.3, 4.0)),
    "at a face": (box((14, 12, 10), (0, 4), (3, 8), (2, 6)), (2.0, 1.0, 3.0)),
    "in a corner": (box((14, 12, 10), (10, 14), (9, 12), (5, 10)), (1.0, 2.0, 3.0)),
    "through the whole field": (box((12, 11, 9), (0, 12), (4, 8), (3, 7)), (1.0, 1.0, 2.5)),
    "one voxel": (box((9, 8, 7), (3, 4), (5, 6), (1, 2)), (1.5, 2.5, 3.5)),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_distance_to_the_nearest_inner_boundary_voxel_and_negative_inside(name):
    tumor, spacing_mm = CASES[name]

    distance = tumor_distance_mm(tumor, spacing_mm)

    assert distance.dtype == np.float32
    np.testing.assert_allclose(distance, by_definition(tumor, spacing_mm), atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_itk_gives_for_the_whole_field(name):
    tumor, spacing_mm = CASES[name]

    np.testing.assert_allclose(tumor_distance_mm(tumor, spacing_mm), with_itk(tumor, spacing_mm), atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clipping_computes_a_part_of_the_field_and_changes_nothing_nearer(seed):
    rng = np.random.default_rng(seed)
    tumor = np.zeros((60, 50, 40), dtype=bool)
    for _ in range(3):
        start = rng.integers(0, (50, 40, 30)) if seed else rng.integers(20, (30, 25, 22))
        size = rng.integers(2, 9, 3)
        tumor[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
    spacing_mm = (5.0, 4.0, 6.0)

    distance = tumor_distance_mm(tumor, spacing_mm)

    whole = with_itk(tumor, spacing_mm)
    assert whole.max() > 120
    np.testing.assert_allclose(distance, np.clip(whole, -100, 100), atol=1e-4)


def test_hand_computed_distances_of_a_brick():
    tumor = box((20, 20, 20), (5, 10), (5, 10), (5, 10))

    distance = tumor_distance_mm(tumor, (1.0, 2.0, 3.0))

    assert distance[5, 7, 7] == 0
    assert distance[7, 7, 7] == -2  # Two voxels of 1 mm to the layer at x = 5.
    assert distance[15, 7, 7] == 6
    assert distance[7, 12, 7] == 3 * 2
    assert distance[7, 7, 2] == 3 * 3
    assert distance[12, 11, 13] == pytest.approx((3**2 + 4**2 + 12**2) ** 0.5)


def test_a_voxel_that_touches_the_outside_by_a_corner_only_is_boundary():
    tumor = box((9, 9, 9), (2, 7), (2, 7), (2, 7))
    tumor[2, 2, 2] = False

    distance = tumor_distance_mm(tumor, (1, 1, 1))

    assert distance[3, 3, 3] == 0
    assert distance[4, 4, 4] == pytest.approx(-(3**0.5))


def test_large_distances_are_clipped_on_both_sides():
    tumor = box((40, 3, 3), (0, 12), (0, 3), (0, 3))

    distance = tumor_distance_mm(tumor, (20.0, 5.0, 5.0))[:, 1, 1]

    np.testing.assert_allclose(
        distance[[0, 6, 10, 11, 12, 16, 17, 39]], [-100, -100, -20, 0, 20, 100, 100, 100]
    )


def test_a_field_that_is_all_tumor_is_inside_everywhere():
    distance = tumor_distance_mm(np.ones((4, 5, 6), dtype=bool), (1, 1, 1))

    assert (distance == -100).all()


def test_voxels_in_any_memory_order_are_understood():
    tumor = blobs(3, (12, 11, 10))

    expected = tumor_distance_mm(tumor, (1, 2, 3))

    np.testing.assert_array_equal(tumor_distance_mm(np.asfortranarray(tumor), (1, 2, 3)), expected)
    turned = tumor[::-1, :, ::-1]
    np.testing.assert_allclose(tumor_distance_mm(turned, (1, 2, 3))[::-1, :, ::-1], expected, atol=1e-4)


def test_an_empty_tumor_is_refused():
    with pytest.raises(ValueError, match="tumor mask is empty: contour the primary tumor"):
        tumor_distance_mm(np.zeros((4, 5, 6), dtype=bool), (1, 1, 1))


def test_exactly_70_mm_is_proximal_and_anything_more_is_distal():
    distance = np.array([-100, 0, 70, np.nextafter(np.float32(70), np.float32(71)), 100], dtype=np.float32)

    assert zone_mask(distance, "proximal").tolist() == [True, True, True, False, False]
    assert zone_mask(distance, "distal").tolist() == [False, False, False, True, True]
    assert zone_mask(distance, "all").all()


def test_the_border_of_the_zones_lies_70_mm_from_the_boundary():
    tumor = box((40, 3, 3), (2, 5), (1, 2), (1, 2))

    proximal = zone_mask(tumor_distance_mm(tumor, (5.0, 5.0, 5.0)), "proximal")[:, 1, 1]

    # The boundary's last voxel is number 4; 14 voxels of 5 mm further is 70 mm.
    assert np.flatnonzero(proximal).tolist() == list(range(19))


def test_unknown_zones_are_refused():
    with pytest.raises(ValueError, match="unknown zone 'middle': expected proximal, distal or all"):
        zone_mask(np.zeros((2, 2, 2)), "middle")
