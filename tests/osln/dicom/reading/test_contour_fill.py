"""Closed contours become exactly the voxels whose centers they enclose; gaps are filled or told."""

import numpy as np
import pytest

from osln.dicom.reading import contour_fill
from osln.dicom.reading.contour_fill import fill_even_odd, fill_region

SPACING = np.array([1.0, 1.0, 1.0])


def square(low, high, k):
    return np.array([(low, low, k), (high, low, k), (high, high, k), (low, high, k)], float)


def filled(contours, shape=(12, 12, 12), spacing=SPACING, **options):
    region = fill_region(contours, shape, np.asarray(spacing, float), **options)
    mask = np.zeros(shape, bool)
    region.paste(mask, True)
    return mask, region.notes


def test_square_holds_the_centers_inside_it():
    mask = fill_even_odd([np.array([(1.5, 0.5), (4.5, 0.5), (4.5, 2.5), (1.5, 2.5)])], (6, 4))

    expected = np.zeros((6, 4), bool)
    expected[2:5, 1:3] = True
    np.testing.assert_array_equal(mask, expected)


def test_outline_through_centers_takes_the_lower_side_and_not_the_upper():
    mask = fill_even_odd([np.array([(1, 1), (3, 1), (3, 3), (1, 3)])], (5, 5))

    assert np.argwhere(mask).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_neighbors_that_share_an_outline_share_no_voxel_and_leave_none_out():
    left = np.array([(0, 0), (2, 0), (3.3, 4), (0, 4)])
    right = np.array([(2, 0), (5, 0), (5, 4), (3.3, 4)])

    both = fill_even_odd([left], (6, 5)).astype(int) + fill_even_odd([right], (6, 5))
    np.testing.assert_array_equal(both, fill_even_odd([np.array([(0, 0), (5, 0), (5, 4), (0, 4)])], (6, 5)))


def test_every_center_agrees_with_the_crossing_rule_on_random_polygons():
    random = np.random.default_rng(5)
    for _ in range(20):
        corners = random.uniform(-2, 14, (random.integers(3, 12), 2))
        mask = fill_even_odd([corners], (12, 10))
        for i, j in np.ndindex(12, 10):
            crossings = 0
            for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
                if (y0 <= j) != (y1 <= j) and x0 + (j - y0) * (x1 - x0) / (y1 - y0) <= i:
                    crossings += 1
            assert mask[i, j] == bool(crossings % 2)


def test_nested_contour_is_a_hole_and_a_third_one_an_island():
    squares = [square(0.5, 10.5, 0)[:, :2], square(2.5, 8.5, 0)[:, :2], square(4.5, 6.5, 0)[:, :2]]

    assert fill_even_odd(squares, (12, 12)).sum() == 100 - 36 + 4


def test_keyhole_is_the_same_as_a_hole():
    outer, inner = square(0.5, 10.5, 0)[:, :2], square(3.5, 7.5, 0)[:, :2]
    keyhole = np.concatenate([outer, outer[:1], inner[::-1], inner[-1:]])

    np.testing.assert_array_equal(fill_even_odd([keyhole], (12, 12)), fill_even_odd([outer, inner], (12, 12)))


def test_contour_that_is_there_twice_counts_once():
    one = square(1.5, 4.5, 0)
    closed, turned = np.concatenate([one, one[:1]]), np.roll(one, 1, axis=0)
    again = [one.copy(), closed, turned, one + np.array([0.01, 0, 0]), one * 1.0001]
    for other in again:
        mask, notes = filled([one, other])
        assert mask.sum() == 9
        assert notes == ("1 contours are there twice, the same or nearly the same: they count once",)
        region = fill_region([one, other], (12, 12, 12), SPACING, even_odd=True)
        assert region.mask.sum() == 9


def test_a_copy_that_takes_one_more_row_of_voxels_erases_nothing_and_a_closed_wall_stays_one():
    larger = square(1.5, 4.5, 0)
    larger[1:3, 0] = 5.2
    mask, notes = filled([square(1.5, 4.5, 0), larger])
    assert mask.sum() == 9 and "there twice" in notes[0]

    assert filled([square(1.5, 7.5, 0), square(2.5, 6.5, 0)])[0].sum() == 36 - 16


def test_every_thing_of_a_region_is_drawn_also_where_its_planes_lie_off_those_of_another():
    node = [square(0.5, 3.5, k) for k in (2, 3, 4)]
    beside = [square(6.5, 9.5, k) for k in (2.4, 3.4)]

    mask, notes = filled([*node, *beside])

    assert mask.sum(axis=(0, 1)).tolist()[2:5] == [18, 18, 9] and notes == ()
    assert filled([*node, square(6.5, 9.5, 3.4)])[0].sum() == 27 + 9


def test_planes_half_way_between_slices_give_as_many_slices():
    mask, _ = filled([square(1.5, 4.5, k) for k in (2.5, 3.5, 4.5)])

    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [3, 4, 5]


def test_planes_finer_than_the_slices_are_passed_over_and_told():
    mask, notes = filled([square(1.5, 4.5, k / 3) for k in range(6, 13)])

    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [2, 3, 4] and mask.sum() == 27
    assert "4 parts drawn between two slices were left out" in notes[0]


@pytest.mark.parametrize(("outline", "hole"), [(0, 0), (0, 0.13), (0.13, 0), (0, -0.13)])
def test_a_hole_a_bit_off_the_plane_of_its_outline_stays_a_hole(outline, hole):
    contours = [square(0.5, 10.5, k + outline) for k in (3, 4, 5)]
    contours += [square(3.5, 7.5, k + hole) for k in (3, 4, 5)]

    mask, notes = filled(contours)

    assert mask.sum(axis=(0, 1)).tolist()[3:6] == [84, 84, 84] and mask.sum() == 3 * 84
    assert bool(notes) == (outline != hole)


def test_separate_contours_of_a_slice_are_separate_parts():
    mask, notes = filled([square(0.5, 2.5, 3), square(5.5, 8.5, 3)])

    assert mask.sum() == 4 + 9 and mask[:, :, 3].sum() == 13 and notes == ()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_contours_may_lie_in_any_plane_of_the_grid(axis):
    contours = [np.moveaxis(np.roll(square(2.5, 5.5, k), 0), 1, 1) for k in (4, 5)]
    order = [a for a in range(3) if a != axis]
    turned = []
    for points in contours:
        other = np.zeros_like(points)
        other[:, order], other[:, axis] = points[:, :2], points[:, 2]
        turned.append(other)

    mask, _ = filled(turned)

    assert np.ptp(np.argwhere(mask), axis=0).tolist() == [1 if a == axis else 2 for a in range(3)]


def test_one_skipped_slice_is_interpolated_between_its_neighbors():
    mask, notes = filled([square(3.5, 7.5, 2), square(3.5, 7.5, 3), square(1.5, 9.5, 5), square(1.5, 9.5, 6)])

    # Half-way between squares of 4 and of 8 voxels around one center lies one of 6.
    expected = np.zeros((12, 12), bool)
    expected[3:9, 3:9] = True
    np.testing.assert_array_equal(mask[:, :, 4], expected)
    assert notes == ("1 slices without a contour were interpolated",)


def test_two_nodes_of_one_region_stay_two():
    mask, notes = filled([square(1.5, 4.5, k) for k in (0, 1, 2, 8, 9)])

    assert not mask[:, :, 3:8].any()
    assert "gaps of 5 slices" in notes[0]


def test_neighboring_parts_that_do_not_overlap_are_not_joined():
    mask, notes = filled([square(0.5, 3.5, 2), square(6.5, 9.5, 4)])

    assert not mask[:, :, 3].any() and notes == ()


def test_contours_on_every_third_slice_fill_the_slices_between():
    mask, notes = filled([square(1.5, 6.5, k) for k in (0, 3, 6, 9)])

    assert mask.sum() == 10 * 25 and "6 slices" in notes[0]


def test_slices_further_apart_than_ten_mm_are_not_joined():
    mask, notes = filled([square(1.5, 6.5, k) for k in (0, 3, 6)], spacing=(1, 1, 5))

    assert mask.sum() == 3 * 25 and "gaps of 2, 2 slices" in notes[0]


EVERY = np.arange(12.0)
UNEVEN = np.array([0, 1, 2, 3, 7, 11.0])


def images_at(places, axis=2):
    return [places if a == axis else EVERY for a in range(3)]


def test_contours_on_every_image_of_an_uneven_ct_skip_nothing():
    contours = [square(1.5, 4.5, k) for k in (1, 2, 3, 7, 11)]
    mask, notes = filled(contours, images=images_at(UNEVEN))

    assert mask.sum(axis=(0, 1)).tolist() == [0] + 11 * [9] and notes == ()
    # In planes across the images every voxel is one.
    turned = [np.roll(points, 1, axis=1) for points in contours]
    assert "gaps of 3, 3 slices" in filled(turned, images=images_at(UNEVEN))[1][0]


def test_a_contour_reaches_half_way_to_the_next_image():
    mask, notes = filled([square(1.5, 4.5, 7)], images=images_at(UNEVEN))

    # Half-way between two images a slice belongs to the upper one, as everywhere.
    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [5, 6, 7, 8] and notes == ()


def test_skipped_images_are_counted_and_not_the_slices_of_the_grid():
    one = [square(1.5, 4.5, k) for k in (1, 2, 3, 11)]
    mask, notes = filled(one, images=images_at(UNEVEN))
    assert mask.sum() == 11 * 9 and notes == ("1 slices without a contour were interpolated",)

    mask, notes = filled(one, images=images_at(UNEVEN), spacing=(1, 1, 1.3))
    assert not mask[:, :, 5:9].any() and "gaps of 1 slices without a contour were left open" in notes[0]


BRANCHES = [square(0.5, 10.5, 2), *[square(1.5, 4.5, k) for k in (3, 4, 5, 6)]]


@pytest.mark.parametrize("lacking", [3, 4, 5])
@pytest.mark.parametrize("upside_down", [False, True])
def test_a_slice_that_one_of_two_joined_nodes_skips_is_interpolated_and_told(lacking, upside_down):
    contours = BRANCHES + [square(6.5, 9.5, k) for k in (3, 4, 5, 6) if k != lacking]
    if upside_down:
        contours = [points * [1, 1, -1] + [0, 0, 11] for points in contours]
    mask, notes = filled(contours)

    sizes = mask.sum(axis=(0, 1))[:: -1 if upside_down else 1]
    assert sizes.tolist() == [0, 0, 100, 18, 18, 18, 18, 0, 0, 0, 0, 0]
    assert notes == ("1 slices without a contour were interpolated",)


def test_a_wider_gap_of_one_of_two_joined_nodes_stays_open_and_is_told():
    mask, notes = filled(BRANCHES + [square(6.5, 9.5, k) for k in (3, 6)])

    assert mask.sum(axis=(0, 1)).tolist()[2:7] == [100, 18, 9, 9, 18]
    assert "gaps of 2 slices without a contour were left open" in notes[0]


def test_contours_that_alternate_around_their_slices_skip_none():
    mask, notes = filled([square(1.5, 4.5, k + (0.3 if k % 2 else -0.3)) for k in range(2, 9)])

    assert mask.sum(axis=(0, 1)).tolist() == [0, 0] + 7 * [9] + [0, 0, 0]
    assert len(notes) == 1 and "7 of 7 slices lie 0.3 mm off" in notes[0]


@pytest.mark.parametrize("off", [0.1, 0.2, 0.25, 0.3, 0.4, 0.45, -0.3, -0.45])
@pytest.mark.parametrize("upside_down", [False, True])
def test_contours_that_all_lie_off_their_slices_are_those_of_the_nearest_slices(off, upside_down):
    sizes = [(4.5, 7.5), (3.5, 10.5), (7.5, 10.5)]
    order = sizes[::-1] if upside_down else sizes
    mask, notes = filled([square(*size, k + off) for size, k in zip(order, (2, 3, 4), strict=True)])

    assert mask.sum(axis=(0, 1)).tolist()[2:5] == [(high - low) ** 2 for low, high in order]
    assert mask.sum() == 9 + 49 + 9
    assert [f"3 of 3 slices lie {abs(off):.1f} mm off" in note for note in notes] == (
        [True] if abs(off) > 0.25 else []
    )


@pytest.mark.parametrize(
    ("off", "slices", "moved"),
    [(0.25, (2, 3, 4), -0.75), (0.45, (2, 3, 4), -1.35), (0.5, (3, 4, 5), 1.5), (0.55, (3, 4, 5), 1.35)],
)
def test_that_contours_half_way_between_slices_move_the_region_is_told(off, slices, moved):
    """Drawn on the slices of another series, 3 mm apart: three planes around the middle one, at 3 + `off`."""
    mask, notes = filled([square(1.5, 4.5, k + off) for k in (2, 3, 4)], spacing=(1, 1, 3))

    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == list(slices)
    # Its middle should lie at 3 * (3 + off) mm.
    assert 3 * np.argwhere(mask)[:, 2].mean() - 3 * (3 + off) == pytest.approx(moved)
    told = f"3 of 3 slices lie {abs(moved):.1f} mm off them, so that the region may be moved by so much"
    assert [told in note for note in notes] == ([True] if off > 0.25 else [])


def test_a_few_contours_between_the_slices_are_no_reason_to_warn_of_all():
    assert filled([square(1.5, 4.5, k) for k in (2, 3, 4.4, 5.4)])[1] == ()
    assert (
        "3 of 5 slices lie 0.4 mm off" in filled([square(1.5, 4.5, k) for k in (2, 3, 4.4, 5.4, 6.4)])[1][0]
    )


def test_a_slice_that_no_contour_is_nearest_to_is_interpolated_and_told_also_off_the_slices():
    mask, notes = filled([square(3.5, 7.5, 2.3), square(1.5, 9.5, 4.3)])

    # .35 of the way: a voxel beside the small square is .65 * -1 + .35 * 2 > 0, its corners are not.
    assert mask.sum(axis=(0, 1)).tolist()[2:5] == [16, 32, 64]
    assert notes[1:] == ("1 slices without a contour were interpolated",)
    mask, notes = filled([square(1.5, 4.5, 2.45), square(1.5, 4.5, 3.55)])
    assert mask.sum(axis=(0, 1)).tolist()[2:5] == [9, 9, 9]
    assert notes[1:] == ("1 slices without a contour were interpolated",)


def test_a_part_that_lacks_on_one_slice_changes_nothing_on_those_where_it_is_drawn():
    two = [square(0.5, 3.5, 2.3), square(0.5, 3.5, 3.3), square(0.5, 3.5, 4.3)]
    base = [square(0.5, 10.5, 1.3)]
    part = [square(5.5, 10.5, 2.3), square(6.5, 8.5, 4.3)]

    mask, notes = filled(base + two + part)

    # .35 of the way from 5 x 5 to 2 x 2 voxels are 4 x 4.
    assert mask.sum(axis=(0, 1)).tolist()[1:5] == [100, 9 + 25, 9 + 16, 9 + 4]
    assert notes[1:] == ("1 slices without a contour were interpolated",)


def test_a_region_that_is_complete_has_nothing_where_it_has_no_contour():
    contours = BRANCHES + [square(6.5, 9.5, k) for k in (3, 5, 6)]

    mask, notes = filled(contours, complete=True)

    assert mask.sum(axis=(0, 1)).tolist()[2:7] == [100, 18, 9, 18, 18] and notes == ()
    assert filled([square(1.5, 4.5, 2), square(1.5, 4.5, 4)], complete=True)[0].sum() == 2 * 9


def test_what_is_interpolated_is_told_apart_from_what_is_drawn():
    region = fill_region([square(3.5, 7.5, 2), square(3.5, 7.5, 4)], (12, 12, 12), SPACING)

    assert region.mask.sum(axis=(0, 1)).tolist() == [16, 16, 16]
    assert region.drawn.sum(axis=(0, 1)).tolist() == [16, 0, 16]


def test_contours_between_the_slices_reach_the_slices_within_half_a_step():
    mask, _ = filled([square(1.5, 4.5, 3.4), square(1.5, 4.5, 4.4)])

    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [3, 4]


def test_contour_beyond_the_border_is_cut_and_told():
    mask, notes = filled([square(-3.5, 2.5, 0), square(-3.5, 2.5, 1)])

    assert mask.sum() == 2 * 9 and "cut at its border" in notes[0]


def test_contours_outside_are_left_out_or_refused():
    mask, notes = filled([square(1.5, 4.5, 11), square(1.5, 4.5, 14)])
    assert mask.sum() == 9 and "1 of 2 contours lie outside" in notes[0]

    with pytest.raises(ValueError, match="its contours lie outside the image"):
        filled([square(1.5, 4.5, 20)])


def test_slanted_contours_are_refused():
    points = square(1.5, 6.5, 3)
    points[:, 2] += [0, 2, 2, 0]

    with pytest.raises(ValueError, match="not parallel to the image's slices"):
        filled([points])


def test_regions_without_an_inside_hold_nothing_and_say_so():
    assert filled([])[1] == ("it has no closed contour",)
    mask, notes = filled([square(1.1, 1.4, 0)])
    assert not mask.any() and notes == ("it holds no voxel center",)


def test_more_contours_than_memory_has_room_for_are_refused(monkeypatch):
    monkeypatch.setattr(contour_fill, "MOST_PIXELS", 3 * 6 * 6)
    some = [square(3, 6, k) for k in (1, 2, 3)]
    assert filled(some)[0].any()

    with pytest.raises(ValueError, match="4 contours over 6 x 6 voxels, more than can be filled"):
        filled([*some, square(3, 6, 4)])
