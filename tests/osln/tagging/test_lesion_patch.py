"""LesaNet's input, by hand: CT values are linear in x, y and z, so that interpolated ones are known."""

import numpy as np
import pytest

from osln.imaging.grid import Grid, Volume
from osln.tagging.lesion_patch import instance_box, lesion_patch, lesion_places, slices_patch
from small.geometry import turned


def linear_ct(shape, spacing_mm, slopes, axes=None, origin=(0.0, 0.0, 0.0), dtype=np.float32) -> Volume:
    """HU = slopes . (x, y, z) with x, y, z in mm along the CT's own axes from its first voxel."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if axes is None else axes) * np.asarray(spacing_mm)
    affine[:3, 3] = origin
    grid = Grid(shape, affine)
    index = np.indices(shape)
    hu = sum(index[axis] * spacing_mm[axis] * slopes[axis] for axis in range(3))
    return Volume(hu.astype(dtype), grid, grid)


def gray_of(hu):
    """Window -1024..3071 to 0..255, minus 50, divided by 255."""
    return (np.asarray(hu, dtype=np.float64) + 1024) / 4095 - 50 / 255


def test_columns_run_from_right_to_left_and_rows_from_front_to_back():
    # 200 x 200 mm of 1 mm voxels; the box center is voxel (100, 90): column 199 - 100, row 199 - 90.
    box_mm = ((95.0, 105.0), (86.0, 94.0))
    along_x, box = lesion_patch(linear_ct((200, 200, 9), (1, 1, 1), (2, 0, 0)), box_mm, 4.0)
    along_y, _ = lesion_patch(linear_ct((200, 200, 9), (1, 1, 1), (0, 2, 0)), box_mm, 4.0)

    # Pixel 60 is the center, pixel 0 lies 60 mm further to the right or to the front.
    x_mm = 100 + 60 - np.arange(120)
    y_mm = 90 + 60 - np.arange(120)
    assert along_x.shape == (3, 120, 120)
    np.testing.assert_allclose(along_x, np.broadcast_to(gray_of(2 * x_mm), (3, 120, 120)), atol=1e-5)
    np.testing.assert_allclose(along_y, np.broadcast_to(gray_of(2 * y_mm)[:, None], (3, 120, 120)), atol=1e-5)
    np.testing.assert_allclose(box, [55, 56, 65, 64])


def test_a_bright_voxel_at_the_patient_s_right_front_is_at_the_upper_left():
    ct = linear_ct((200, 200, 3), (1, 1, 2), (0, 0, 0))
    ct.array[130, 120, 1] = 1000.0
    image, _ = lesion_patch(ct, ((100.0, 100.0), (100.0, 100.0)), 2.0)

    # 30 mm to the right and 20 mm to the front of the center.
    assert np.argwhere(image > gray_of(500.0)).tolist() == [[1, 60 - 20, 60 - 30]]


def test_the_channels_are_slices_two_millimeters_below_at_and_above():
    ct = linear_ct((130, 130, 20), (1, 1, 2.5), (0, 0, 4))
    image, _ = lesion_patch(ct, ((60.0, 70.0), (60.0, 70.0)), 20.0)

    np.testing.assert_allclose(image[:, 30, 30], gray_of([4 * 18, 4 * 20, 4 * 22]), atol=1e-5)


def test_between_stored_slices_values_are_interpolated_linearly():
    # Slices of 5 mm hold 0, 100, 0 HU: at 6.5 mm the share of the second is .7, 2 mm below .9, above .3.
    ct = linear_ct((130, 130, 3), (1, 1, 5), (0, 0, 0))
    ct.array[:, :, 1] = 100.0
    image, _ = lesion_patch(ct, ((60.0, 70.0), (60.0, 70.0)), 6.5)

    np.testing.assert_allclose(image[:, 60, 60], gray_of([90, 70, 30]), atol=1e-6)


def test_slices_beyond_the_ends_repeat_the_last_one():
    ct = linear_ct((130, 130, 4), (1, 1, 3), (0, 0, 10))
    box_mm = ((60.0, 70.0), (60.0, 70.0))
    lowest, _ = lesion_patch(ct, box_mm, 0.0)
    highest, _ = lesion_patch(ct, box_mm, 9.0)
    single, _ = lesion_patch(linear_ct((130, 130, 1), (1, 1, 3), (1, 0, 0)), box_mm, 0.0)

    np.testing.assert_allclose(lowest[:, 60, 60], gray_of([0, 0, 20]), atol=1e-6)
    np.testing.assert_allclose(highest[:, 60, 60], gray_of([70, 90, 90]), atol=1e-6)
    np.testing.assert_array_equal(single[0], single[2])


@pytest.mark.parametrize("spacing_mm", [0.5, 0.8, 1.25, 2.0, 5.0])
def test_resizing_to_one_millimeter_keeps_the_outer_edges_of_the_image(spacing_mm):
    # Pixel c covers c..c+1 mm from the image's left edge, the first voxel's center lies half a voxel in.
    count = round(300 / spacing_mm)
    ct = linear_ct((count, count, 3), (spacing_mm, spacing_mm, 2), (3, 0, 0))
    middle = (count - 1) / 2 * spacing_mm
    image, box = lesion_patch(ct, ((middle - 9, middle + 9), (middle - 6, middle + 6)), 2.0)

    # The box center in scaled voxel positions of the screen is the same, (count - 1) / 2 * spacing.
    first = round(middle) - 60
    x_mm = (count - 1) * spacing_mm - (np.arange(first, first + 120) + 0.5 - spacing_mm / 2)
    np.testing.assert_allclose(image[1, 0], gray_of(3 * x_mm), atol=1e-5)
    middle_in_patch = middle - round(middle) + 60
    np.testing.assert_allclose(
        box, [middle_in_patch - 9, middle_in_patch - 6, middle_in_patch + 9, middle_in_patch + 6], atol=1e-4
    )


def test_voxels_need_not_be_square():
    # 150 mm along both axes; the box center is at 74.5 and 74 mm, at the screen's columns 74.5 and rows 74.
    ct = linear_ct((150, 75, 3), (1, 2, 2), (1, 0, 0))
    along_y = linear_ct((150, 75, 3), (1, 2, 2), (0, 1, 0))
    box_mm = ((70.0, 79.0), (70.0, 78.0))
    image, box = lesion_patch(ct, box_mm, 2.0)
    rows, _ = lesion_patch(along_y, box_mm, 2.0)

    # 74.5 rounds to the even 74: columns 14 and on are x = 149 - 14 and below.
    np.testing.assert_allclose(image[1, 0, :3], gray_of([135, 134, 133]), atol=1e-6)
    # Row 14 of 1 mm has its center 14.5 mm from the front edge, which is at 149 mm.
    np.testing.assert_allclose(rows[1, :3, 0], gray_of([134.5, 133.5, 132.5]), atol=1e-6)
    np.testing.assert_allclose(box, [56, 56, 65, 64])


def test_beyond_the_field_the_outermost_voxels_are_repeated_and_the_box_is_not_below_zero():
    ct = linear_ct((200, 200, 3), (1, 1, 2), (1, 1, 0))
    # 10 mm from the left and 5 mm from the back of the field, 150 mm wide.
    image, box = lesion_patch(ct, ((-65.0, 85.0), (1.0, 9.0)), 2.0)

    assert image[1, 60, 60] == pytest.approx(gray_of(10 + 5), abs=1e-6)
    np.testing.assert_allclose(image[1, 60, 70:], gray_of(0 + 5), atol=1e-6)
    np.testing.assert_allclose(image[1, 65:, 60], gray_of(10 + 0), atol=1e-6)
    np.testing.assert_allclose(box, [0, 56, 135, 64])


def test_a_field_smaller_than_the_patch_is_continued_on_all_sides():
    ct = linear_ct((3, 3, 1), (1, 1, 5), (100, 0, 0))
    image, _ = lesion_patch(ct, ((1.0, 1.0), (1.0, 1.0)), 0.0)

    np.testing.assert_allclose(image[:, :, :60], gray_of(200), atol=1e-6)
    np.testing.assert_allclose(image[:, :, 60], gray_of(100), atol=1e-6)
    np.testing.assert_allclose(image[:, :, 61:], gray_of(0), atol=1e-6)


def test_values_outside_the_window_count_as_its_ends_before_the_image_is_resized():
    # Voxels of 2 mm with -3024 and 976 HU by turns: windowed first, a pixel between them is
    # 3/4 * -1024 + 1/4 * 976; interpolated first it would be clipped.
    ct = linear_ct((150, 150, 1), (2, 2, 5), (0, 0, 0))
    ct.array[::2] = -3024.0
    ct.array[1::2] = 976.0
    image, _ = lesion_patch(ct, ((149.0, 149.0), (149.0, 149.0)), 0.0)

    assert np.unique(image.round(5)).tolist() == pytest.approx([gray_of(-524), gray_of(476)], abs=2e-5)
    assert lesion_patch(linear_ct((9, 9, 1), (1, 1, 1), (9e4, 0, 0)), ((1, 1), (1, 1)), 0)[0].max() == (
        pytest.approx(205 / 255)
    )


def test_integers_give_the_same_as_floats():
    box_mm = ((60.0, 70.0), (60.0, 70.0))
    floats, _ = lesion_patch(linear_ct((130, 130, 5), (0.5, 0.5, 2), (6, 4, 2)), box_mm, 3.0)
    integers, _ = lesion_patch(
        linear_ct((130, 130, 5), (0.5, 0.5, 2), (6, 4, 2), dtype=np.int16), box_mm, 3.0
    )

    assert integers.dtype == np.float32
    np.testing.assert_array_equal(integers, floats)


def test_an_oblique_ct_is_cut_along_its_own_axes():
    axes = turned(20, 12)
    straight = linear_ct((160, 160, 9), (1, 1, 2), (3, 2, 5))
    oblique = linear_ct((160, 160, 9), (1, 1, 2), (3, 2, 5), axes=axes, origin=(7.0, -8.0, 9.0))
    center = np.array([80.0, 70.0, 8.0])
    x, y, z = axes @ center + (7.0, -8.0, 9.0)

    wanted = lesion_patch(straight, ((75.0, 85.0), (67.0, 73.0)), 8.0)
    found = lesion_patch(oblique, ((x - 5, x + 5), (y - 3, y + 3)), z)

    np.testing.assert_allclose(found[0], wanted[0], atol=1e-5)
    np.testing.assert_allclose(found[1], wanted[1], atol=1e-4)


def test_slices_of_the_screen_are_taken_as_they_lie():
    slices = np.zeros((3, 200, 150), dtype=np.int16)
    slices[0, 90, 80], slices[2, 95, 70] = 1000, 500
    image, box = slices_patch(slices, 1.0, (2.0, 1.0, 1.0), np.array([70.0, 85.0, 90.0, 96.0]))

    # The center (80, 90.5) rounds to the even 90.
    bright = np.argwhere(image > gray_of(100))
    assert bright.tolist() == [[0, 60, 60], [2, 65, 50]]
    np.testing.assert_allclose(box, [50, 55, 70, 66])


@pytest.mark.parametrize("box_mm", [((5.0, 4.0), (0.0, 1.0)), ((0.0, np.nan), (0.0, 1.0))])
def test_a_reversed_or_undefined_box_is_refused(box_mm):
    with pytest.raises(ValueError, match="expected a box"):
        lesion_patch(linear_ct((9, 9, 3), (1, 1, 1), (1, 1, 1)), box_mm, 1.0)


def test_the_box_of_an_object_is_that_of_its_largest_slice_with_a_margin():
    grid = Grid((20, 20, 6), np.array([[2, 0, 0, 10], [0, 1, 0, 0], [0, 0, 3, -6], [0, 0, 0, 1.0]]))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[0:9, 5, 2] = True
    mask[4:8, 10:13, 3] = True
    mask[4:8, 10:13, 4] = True

    # Voxels 4..7 of 2 mm reach from 10 + 8 - 1 to 10 + 14 + 1 mm, voxels 10..12 of 1 mm from 9.5 to 12.5.
    box_mm, z_mm = instance_box(mask, grid)
    assert box_mm == ((17.0 - 5, 25.0 + 5), (9.5 - 5, 12.5 + 5))
    assert z_mm == -6 + 3 * 3
    assert instance_box(mask, grid, margin_mm=0.0)[0] == ((17.0, 25.0), (9.5, 12.5))


def test_an_empty_mask_has_no_box():
    with pytest.raises(ValueError, match="empty mask"):
        instance_box(np.zeros((3, 3, 3), dtype=bool), Grid((3, 3, 3), np.eye(4)))


def test_places_of_all_objects_of_a_label_map_in_ascending_order():
    grid = Grid((20, 20, 6), np.array([[2, 0, 0, 10], [0, 1, 0, 0], [0, 0, 3, -6], [0, 0, 0, 1.0]]))
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[4:8, 10:13, 3] = 7
    labels[0, 5, 2] = 2

    # The single voxel reaches from 9 to 11 mm and from 4.5 to 5.5 mm; 5 mm of margin.
    assert lesion_places(labels, grid).tolist() == [[4, 16, -0.5, 10.5, 0], [12, 30, 4.5, 17.5, 3]]
    assert lesion_places(np.zeros_like(labels), grid).shape == (0, 5)
