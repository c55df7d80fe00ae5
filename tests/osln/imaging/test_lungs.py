"""The column's center is the lungs' center, and where no lung is seen the reader is told so."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from osln.imaging.grid import Grid, canonical, mask_box, read_volume
from osln.imaging.lungs import IN_SLICE, find_lung_center, lungs_in
from small.body import BODY_MM, LUNGS_MM, ball, body_hu, millimeters, on_file
from small.reference_data import reference_folder

SAMPLES = Path(__file__).resolve().parents[3] / "sample-datastore"
SHAPE = (64, 44, 30)
SPACING = np.diag([6.0, 6.0, 6.0])


def affine_of(axes, center_mm=(10.0, -20.0, 20.0), shape=SHAPE):
    """A grid whose middle lies at a point."""
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = np.asarray(center_mm) - axes @ ((np.array(shape) - 1) / 2)
    return affine


STRAIGHT = affine_of(SPACING)
CENTER = LUNGS_MM.mean(axis=0)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        (SHAPE, SPACING),
        (SHAPE, np.diag([-6.0, -6.0, 6.0])),
        ((30, 64, 44), np.array([[0, -6.0, 0], [0, 0, 6.0], [6.0, 0, 0]])),
        ((120, 84, 90), np.diag([3.0, 3.0, 2.0])),
    ],
    ids=["straight", "flipped", "permuted", "finer than the search"],
)
def test_it_is_the_middle_of_two_lungs_that_lie_off_center(shape, axes):
    volume = on_file(body_hu, shape, affine_of(axes, shape=shape))

    found = find_lung_center(volume)

    assert found.from_lungs
    np.testing.assert_allclose(found.center_mm, CENTER, atol=3)


def test_it_is_found_on_an_oblique_grid():
    c, s = np.cos(0.2), np.sin(0.2)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

    found = find_lung_center(on_file(body_hu, SHAPE, affine_of(turn @ SPACING, (25, -10, 20))))

    assert found.from_lungs
    np.testing.assert_allclose(found.center_mm, CENTER, atol=3)


def test_lungs_that_the_field_cuts_off_above_and_below_still_count():
    grid = Grid(SHAPE, STRAIGHT)
    middle = slice(12, 18)

    found = find_lung_center(canonical(body_hu(grid)[:, :, middle], grid.crop((0, 0, 12), (64, 44, 6))))

    assert found.from_lungs
    np.testing.assert_allclose(found.center_mm[:2], CENTER[:2], atol=3)


def test_air_outside_the_body_is_never_taken_for_lung():
    grid = Grid(SHAPE, STRAIGHT)

    found = find_lung_center(canonical(body_hu(grid, lungs=False), grid))

    assert not found.from_lungs
    np.testing.assert_allclose(found.center_mm[:2], BODY_MM, atol=3)


def test_small_air_inside_the_body_is_no_lung():
    grid = Grid(SHAPE, STRAIGHT)
    hu = body_hu(grid, lungs=False)
    hu[ball(grid, (80, 0, 20), 27)] = -900  # 82 ml of bowel gas.

    found = find_lung_center(canonical(hu, grid))

    assert not found.from_lungs
    hu[ball(grid, (80, 0, 20), 33)] = -900  # 150 ml.
    assert find_lung_center(canonical(hu, grid)).from_lungs


@pytest.mark.parametrize("radius_mm", [33, 40, 55])
def test_gas_in_the_bowel_is_no_lung_however_large(radius_mm):
    grid = Grid(SHAPE, STRAIGHT)
    hu = body_hu(grid, lungs=False)
    hu[ball(grid, (80, 0, 20), radius_mm)] = -700  # Where gas and wall share voxels.
    hu[ball(grid, (80, 0, 20), radius_mm - 6)] = -980

    found = find_lung_center(canonical(hu, grid))

    assert not found.from_lungs
    np.testing.assert_allclose(found.center_mm[:2], BODY_MM, atol=12)


def test_gas_beside_lungs_does_not_move_their_center():
    grid = Grid(SHAPE, STRAIGHT)
    hu = body_hu(grid)
    hu[ball(grid, (25, 40, -65), 33)] = -980

    found = find_lung_center(canonical(hu, grid))

    assert found.from_lungs
    np.testing.assert_allclose(found.center_mm, CENTER, atol=3)


@pytest.mark.parametrize(
    ("name", "from_lungs"),
    [
        ("totalsegmentator-ct/abdomen", False),
        ("totalsegmentator-ct/aorta_crop", True),
        ("crlm-ct/CRLM-CT-1004", True),
        ("crlm-ct/CRLM-CT-1006", True),
    ],
)
def test_in_real_abdomens_only_lungs_are_lungs(name, from_lungs):
    folder, case = name.split("/")
    ct = read_volume(reference_folder(folder) / f"{case}.nii.gz")
    found = find_lung_center(ct)

    assert found.from_lungs == from_lungs
    if not from_lungs:
        body = ct.grid.index_to_mm(np.array(ndimage.center_of_mass(ct.array > -400)))
        np.testing.assert_allclose(found.center_mm, body, atol=4)


@pytest.mark.parametrize("number", range(1, 5))
def test_lungs_of_the_sample_cases_are_found(number):
    assert find_lung_center(read_volume(SAMPLES / f"phantom-0{number}.nii.gz")).from_lungs


def test_lungs_that_are_open_to_the_outside_through_the_mouth_are_found():
    grid = Grid(SHAPE, STRAIGHT)
    hu = body_hu(grid)
    x, y, z = np.moveaxis(millimeters(grid), -1, 0)
    trachea = (np.abs(x - 25) < 12) & (np.abs(y + 5) < 12) & (z > 10)
    carina = (np.abs(z - 15) < 10) & (np.abs(y + 5) < 12) & (x > -40) & (x < 90)
    mouth = (z > 85) & (np.abs(x - 25) < 12) & (y > -5)
    hu[trachea | carina | mouth] = -1000

    found = find_lung_center(canonical(hu, grid))

    assert found.from_lungs
    np.testing.assert_allclose(found.center_mm[:2], CENTER[:2], atol=6)


@pytest.mark.parametrize("open_to_the_side", [False, True])
@pytest.mark.parametrize("outside", [0, 1, 7])
def test_however_much_air_lies_around_the_patient_lungs_are_what_a_flood_from_the_sides_leaves(
    outside, open_to_the_side
):
    hu = body_hu(Grid(SHAPE, STRAIGHT))
    if open_to_the_side:
        hu[:24, 20:24, 14:16] = -1000
    first, past = mask_box(hu > -400)
    body = hu[first[0] : past[0], first[1] : past[1]]
    field = np.pad(body, [(outside, outside), (outside, outside), (0, 0)], constant_values=-1000)

    found = lungs_in(field < -400, field, Grid(field.shape, STRAIGHT))

    assert found.any()
    np.testing.assert_array_equal(found, _by_flooding(field))


def _by_flooding(hu):
    """Large pieces of air that no flood from the sides reaches; where there are none, in the slices alone."""
    air = hu < -400
    for neighbors in (ndimage.generate_binary_structure(3, 1), IN_SLICE):
        sides = np.zeros(air.shape, dtype=bool)
        sides[[0, -1]] = sides[:, [0, -1]] = True
        left = air & ~ndimage.binary_propagation(sides & air, neighbors, mask=air)
        parts, count = ndimage.label(left)
        large = [n for n in range(1, count + 1) if (parts == n).sum() * 216 >= 1e5]
        if large:
            return np.isin(parts, large)
    return np.zeros(air.shape, dtype=bool)


def test_a_field_of_air_alone_gives_its_own_center():
    grid = Grid(SHAPE, STRAIGHT)

    found = find_lung_center(canonical(np.full(SHAPE, -1000, np.int16), grid))

    assert not found.from_lungs
    np.testing.assert_allclose(found.center_mm, (10, -20, 20), atol=1e-6)
