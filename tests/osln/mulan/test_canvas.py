"""Slices are drawn where they lie, neighbors are those of the column, and boxes find their way back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from osln.imaging.transforms import Scaling
from osln.mulan.canvas import SliceCanvas, as_images, canvas_size, image_triples, key_slices, read_slices
from small.columns import SHAPE, small_column

PLAIN = Scaling(ct_window_hu=(0.0, 1000.0), ct_center=0.0, ct_gain=1000.0)
"""Leaves HU from 0 to 1000 as they are."""


@pytest.fixture
def column():
    """HU = 100 + slice, so that each slice tells its number."""
    ct_hu = np.broadcast_to(100 + np.arange(SHAPE[2]), SHAPE).astype(np.float32)
    return replace(small_column(0), ct_hu=ct_hu, pet_suv=np.broadcast_to(ct_hu - 100, SHAPE))


def test_a_canvas_holds_the_whole_slice_in_a_multiple_of_16_pixels(column):
    # 24 voxels of 2.5 mm are 60 mm, 48 pixels of 1.25 mm or 75 pixels of 0.8 mm.
    assert SliceCanvas.whole(column, 1.25) == SliceCanvas((48, 48), (2.0, 2.0), (0.0, 0.0))
    assert SliceCanvas.whole(column, 0.8) == SliceCanvas((80, 80), (3.125, 3.125), (0.0, 0.0))


def test_the_canvas_of_a_preset_is_that_of_its_window():
    assert canvas_size((88, 80, 64), (2.5, 2.5, 3.0), 1.25) == (160, 176)


def test_drawing_at_the_same_resolution_changes_nothing():
    slices = torch.randn(2, 1, 3, 5)

    torch.testing.assert_close(SliceCanvas((3, 5), (1.0, 1.0), (0.0, 0.0)).draw(slices), slices)


def test_drawing_at_twice_the_resolution_repeats_labels_and_interpolates_images():
    slices = torch.tensor([[[[0.0, 4.0]]]])
    canvas = SliceCanvas((2, 4), (2.0, 2.0), (0.0, 0.0))

    assert canvas.draw(slices, "nearest")[0, 0].tolist() == [[0, 0, 4, 4]] * 2
    # Centers of pixels at -.25, .25, .75 and 1.25 voxels.
    torch.testing.assert_close(canvas.draw(slices)[0, 0], torch.tensor([[0.0, 1.0, 3.0, 4.0]] * 2))


def test_a_shifted_canvas_repeats_the_border_of_images_and_leaves_labels_empty():
    slices = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    canvas = SliceCanvas((2, 4), (1.0, 1.0), (-1.0, 1.0))  # one row up, one column to the right

    assert canvas.draw(slices)[0, 0].tolist() == [[3, 3, 4, 4]] * 2
    assert canvas.draw(slices, "nearest")[0, 0].tolist() == [[0, 3, 4, 0], [0, 0, 0, 0]]


def test_a_moved_canvas_keeps_the_center_of_the_slice(column):
    moved = SliceCanvas.whole(column, 2.5).moved((48, 32), 0.5, (3, -2), column)

    # 24 voxels of half a pixel are 12 pixels; of 48 rows 18 are left on each side, of 32 columns 10.
    assert moved == SliceCanvas((48, 32), (0.5, 0.5), (21.0, 8.0))


def test_boxes_come_back_to_voxels():
    canvas = SliceCanvas((48, 48), (2.0, 4.0), (10.0, 20.0))

    assert canvas.to_voxels(np.array([[24.0, 14.0, 28.0, 20.0]])).tolist() == [[1.0, 2.0, 2.0, 5.0]]


def test_rows_run_along_y_and_columns_along_x():
    column = small_column(0)
    ct_hu = column.ct_hu.astype(np.float32)
    ct_hu[5, 9, 20] = 900

    slices = read_slices(replace(column, ct_hu=ct_hu), ("ct",), PLAIN, 20, 21)
    assert np.unravel_index(int(slices[0, 0].argmax()), (24, 24)) == (9, 5)


def test_nine_slices_are_seen_around_a_key_slice_and_the_end_is_repeated(column):
    inner = key_slices(column, ("ct",), PLAIN, 30)[:, 0, 0, 0] - 100
    first = key_slices(column, ("ct",), PLAIN, 1)[:, 0, 0, 0] - 100
    last = key_slices(column, ("ct",), PLAIN, SHAPE[2] - 1)[:, 0, 0, 0] - 100

    torch.testing.assert_close(inner, torch.arange(26.0, 35.0))
    torch.testing.assert_close(first, torch.tensor([0.0, 0, 0, 0, 1, 2, 3, 4, 5]))
    torch.testing.assert_close(last, torch.tensor([67.0, 68, 69, 70, 71, 71, 71, 71, 71]))


def test_an_image_has_three_slices_of_each_modality(column):
    slices = read_slices(column, ("ct", "pet"), replace(PLAIN, pet_gain=1.0), 10, 14)
    images = as_images(slices)[:, :, 0, 0]

    torch.testing.assert_close(
        images, torch.tensor([[110.0, 111, 112, 10, 11, 12], [111.0, 112, 113, 11, 12, 13]])
    )


def test_the_three_images_of_a_key_slice_share_no_slice(column):
    images = as_images(read_slices(column, ("ct",), PLAIN, 20 - 4, 22 + 4))
    first, second = images[image_triples(2)][:, :, :, 0, 0] - 100

    torch.testing.assert_close(first, torch.tensor([[16.0, 17, 18], [19, 20, 21], [22, 23, 24]]))
    torch.testing.assert_close(second, first + 1)
