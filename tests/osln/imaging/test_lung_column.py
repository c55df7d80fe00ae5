"""Everything a network sees lies where it lay in the patient, whatever grids the files are on."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from osln.imaging.distance import tumor_distance_mm
from osln.imaging.grid import Grid, Volume, canonical
from osln.imaging.lung_column import LungColumn, compact, prepare
from osln.imaging.resampling import resample
from osln.imaging.study import Study
from osln.rows.experiments import PRESETS
from small.body import LUNGS_MM, ball, body_hu, millimeters, on_file

PRESET = replace(PRESETS["demo"], spacing_mm=(4.0, 4.0, 5.0), window=(50, 40, 16))
MARKER, HOT, TUMOR = (
    np.array([45.0, -40.0, 60.0]),
    np.array([-5.0, 30.0, -25.0]),
    np.array([30.0, 10.0, 35.0]),
)
TUMOR_RADIUS = 14.0
SHAPE = (76, 60, 40)


def turned(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def affine_of(axes, shape, center_mm=(15.0, -10.0, 15.0)):
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = np.asarray(center_mm) - axes @ ((np.array(shape) - 1) / 2)
    return affine


FILES = {
    "straight": (SHAPE, np.diag([4.4, 4.4, 5.0])),
    "flipped": (SHAPE, np.diag([-4.4, -4.4, 5.0])),
    "permuted": ((40, 76, 60), np.array([[0, -4.4, 0], [0, 0, 4.4], [5.0, 0, 0]])),
    "oblique and flipped": (SHAPE, turned(12) @ np.diag([-4.4, -4.4, 5.0])),
}
PET_SHAPE = (64, 56, 36)
PET_AFFINE = affine_of(turned(-8) @ np.diag([-6.0, -6.0, 7.0]), PET_SHAPE)


def ct_of(grid: Grid) -> np.ndarray:
    hu = body_hu(grid)
    hu[ball(grid, MARKER, 12)] = 400
    return hu


def pet_of(grid: Grid) -> np.ndarray:
    return np.where(ball(grid, HOT, 15), 9.0, 1.0).astype(np.float32)


@cache
def whole_study(name: str) -> Study:
    shape, axes = FILES[name]
    affine = affine_of(axes, shape)
    return Study(
        "p1",
        ct=on_file(ct_of, shape, affine),
        pet=on_file(pet_of, PET_SHAPE, PET_AFFINE),
        tumor=on_file(lambda grid: ball(grid, TUMOR, TUMOR_RADIUS), shape, affine),
        nodes=on_file(lambda grid: 7 * ball(grid, HOT, 12).astype(np.uint16), shape, affine),
    )


@cache
def whole_column(name: str) -> LungColumn:
    return prepare(whole_study(name), PRESET)


def center_mm(mask, grid):
    return grid.index_to_mm(np.argwhere(mask)).mean(axis=0)


@pytest.mark.parametrize("name", FILES)
def test_known_points_end_in_the_right_voxels(name):
    column = whole_column(name)

    np.testing.assert_allclose(column.grid.spacing_mm, (4, 4, 5))
    np.testing.assert_allclose(center_mm(column.ct_hu > 220, column.grid), MARKER, atol=1)
    np.testing.assert_allclose(center_mm(column.pet_suv > 5, column.grid), HOT, atol=1.5)
    np.testing.assert_allclose(center_mm(column.nodes == 7, column.grid), HOT, atol=1)
    np.testing.assert_allclose(center_mm(column.tumor, column.grid), TUMOR, atol=1)
    assert set(np.unique(column.nodes)) == {0, 7}
    shapes = {a.shape for a in (column.ct_hu, column.pet_suv, column.distance_mm, column.tumor, column.body)}
    assert shapes == {column.grid.shape}
    assert {column.ct_hu.dtype, column.pet_suv.dtype, column.distance_mm.dtype} == {np.dtype("f4")}
    assert column.warnings == ()


@pytest.mark.parametrize("name", FILES)
def test_the_distance_is_that_to_the_tumors_surface(name):
    column = whole_column(name)

    to_center = np.linalg.norm(millimeters(column.grid) - TUMOR, axis=-1)
    expected = np.clip(to_center - TUMOR_RADIUS, -100, 100)
    apart = column.distance_mm - expected
    # The boundary are voxel centers inside the ball: up to about a voxel further in.
    assert np.abs(apart).max() < 7 and np.abs(apart).mean() < 3.5
    assert column.distance_mm[column.tumor].max() == 0 and column.distance_mm[~column.tumor].min() > 0


def test_the_column_is_as_wide_as_the_window_centered_on_the_lungs_and_as_long_as_the_ct():
    column = whole_column("flipped")

    middle = column.grid.index_to_mm((np.array(column.grid.shape) - 1) / 2)
    assert column.grid.shape == (50, 40, 40)
    np.testing.assert_allclose(middle[:2], LUNGS_MM.mean(axis=0)[:2], atol=4)


def test_a_field_narrower_than_the_window_is_taken_whole():
    study = whole_study("straight")
    column = prepare(study, replace(PRESET, window=(500, 500, 16)))

    # Centers span 75 * 4.4, 59 * 4.4 and 39 * 5 mm.
    assert column.grid.shape == (83, 65, 40)
    np.testing.assert_allclose(column.grid.affine[:3, 3], study.ct.grid.affine[:3, 3])


def test_cropping_first_gives_what_resampling_the_whole_patient_gives():
    study = whole_study("oblique and flipped")
    whole = study.ct.grid.resampled(PRESET.spacing_mm)

    column = prepare(study, PRESET)

    start = np.round(whole.mm_to_index(column.grid.affine[:3, 3])).astype(int)
    part = tuple(slice(a, a + n) for a, n in zip(start, column.grid.shape, strict=True))
    ct = resample(study.ct.array, study.ct.grid, whole, fill=-1000.0)[part]
    np.testing.assert_allclose(column.ct_hu, ct, atol=0.05)
    pet = resample(study.pet.array, study.pet.grid, whole)[part]
    np.testing.assert_allclose(column.pet_suv, pet, atol=1e-3)
    tumor = resample(study.tumor.array, study.tumor.grid, whole, nearest=True)
    np.testing.assert_allclose(
        column.distance_mm, tumor_distance_mm(tumor, whole.spacing_mm)[part], atol=1e-3
    )


@pytest.mark.parametrize("x_mm", [130.0, 160.0], ids=["partly outside", "wholly outside"])
def test_a_tumor_beyond_the_column_is_measured_whole(x_mm):
    shape, axes = FILES["flipped"]
    place = np.array([x_mm, 10.0, 35.0])
    tumor = on_file(lambda grid: ball(grid, place, 18), shape, affine_of(axes, shape))

    column = prepare(replace(whole_study("flipped"), tumor=tumor), PRESET)

    edge = column.grid.index_to_mm(np.array(column.grid.shape) - 1)[0]
    assert place[0] - 18 < edge < place[0] + 18 if x_mm == 130 else edge < place[0] - 18
    to_center = np.linalg.norm(millimeters(column.grid) - place, axis=-1)
    expected = np.clip(to_center - 18, -100, 100)
    assert np.abs(column.distance_mm - expected).max() < 7


def test_a_tumor_of_one_voxel_is_kept_where_it_is():
    shape = (90, 80, 20)
    affine = affine_of(np.diag([-1.6, -1.6, 5.0]), shape)
    index = (61, 31, 12)
    mask = np.zeros(shape, dtype=bool)
    mask[index] = True
    place = Grid(shape, affine).index_to_mm(index)
    ct = on_file(ct_of, shape, affine)
    preset = replace(PRESET, spacing_mm=(5.0, 5.0, 5.0))

    tumor = canonical(mask, Grid(shape, affine))
    moved = [Volume(np.roll(tumor.array, k, axis=0), tumor.grid, tumor.file_grid) for k in range(4)]
    columns = [prepare(Study("p1", ct, tumor=each), preset) for each in moved]

    for k, column in enumerate(columns):
        assert column.tumor.sum() == 1
        offset = center_mm(column.tumor, column.grid) - place - (1.6 * k, 0, 0)
        assert (np.abs(offset) <= 2.51).all()
        assert (column.distance_mm == 0).sum() == 1


def test_what_a_study_does_not_have_the_column_does_not_have():
    study = replace(whole_study("straight"), pet=None, tumor=None, nodes=None)

    column = prepare(study, PRESET)

    assert column.pet_suv is None and column.distance_mm is None and column.tumor is None
    assert column.nodes is None
    assert column.images["ct"] is column.ct_hu and column.images["pet"] is None


def test_lung_and_air_are_no_body():
    column = whole_column("straight")

    lung = ball(column.grid, LUNGS_MM[0], (27, 37, 52))
    assert lung.sum() > 100 and not column.body[lung].any()
    assert column.body[ball(column.grid, MARKER, 10)].all()


def test_negative_pet_values_become_zero():
    pet = on_file(lambda grid: pet_of(grid) - 3, PET_SHAPE, PET_AFFINE)

    column = prepare(replace(whole_study("straight"), pet=pet), PRESET)

    assert column.pet_suv.min() == 0 and column.pet_suv.max() == pytest.approx(6, abs=0.01)


def test_a_short_pet_is_told_and_counts_as_zero_outside():
    shape = (64, 56, 12)
    pet = on_file(pet_of, shape, affine_of(np.diag([-6.0, -6.0, 7.0]), shape))

    column = prepare(replace(whole_study("straight"), pet=pet), PRESET)

    assert column.warnings == ("the PET does not cover the whole column: outside it counts as SUV 0",)
    assert (column.pet_suv[:, :, [0, -1]] == 0).all() and (column.pet_suv[:, :, 20] > 0).all()


def test_a_pet_beside_the_column_is_refused():
    shape = (10, 56, 36)
    pet = on_file(pet_of, shape, affine_of(np.diag([-6.0, -6.0, 7.0]), shape, (-150, -10, 15)))

    with pytest.raises(ValueError, match="case p1: the PET covers nothing of the searched column"):
        prepare(replace(whole_study("straight"), pet=pet), PRESET)


def test_without_lungs_the_column_is_centered_on_the_body_and_says_so():
    shape, axes = FILES["straight"]
    ct = on_file(lambda grid: body_hu(grid, lungs=False), shape, affine_of(axes, shape))
    study = replace(whole_study("straight"), ct=ct)

    narrow = prepare(study, PRESET)
    whole = prepare(study, replace(PRESET, window=(500, 500, 16)))

    assert narrow.warnings == ("no lung was found: the searched column is centered on the body",)
    assert whole.warnings == ()


def test_a_tumor_mask_whose_voxels_lie_far_apart_is_refused_with_the_number(monkeypatch):
    grid = Grid((30, 30, 30), np.diag([4.0, 4.0, 5.0, 1.0]))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[0, 0, 0] = mask[-1, -1, -1] = True
    ct = Volume(np.where(np.indices(grid.shape)[2] > 3, 0.0, -900.0).astype(np.float32), grid, grid)
    study = Study("p1", ct, tumor=Volume(mask, grid, grid))
    column = prepare(study, replace(PRESET, window=(10, 10, 16)))
    assert column.grid.shape == (10, 10, 30)
    monkeypatch.setattr("osln.imaging.lung_column.MOST_VOXELS", 26_999)
    with pytest.raises(
        ValueError, match=r"with the whole tumor mask has 2\.70e\+04 voxels, at most 3e\+04 fit"
    ):
        prepare(study, replace(PRESET, window=(10, 10, 16)))
    monkeypatch.setattr("osln.imaging.lung_column.MOST_VOXELS", 2999)
    with pytest.raises(ValueError, match=r"the searched column has 3\.00e\+03 voxels, at most 3e\+03 fit"):
        prepare(study, replace(PRESET, window=(10, 10, 16)))


def with_voxels(study: Study, *places_mm) -> Study:
    """The study with nodes of one voxel of the CT each, labeled 1, 2, ... at these points."""
    nodes = np.zeros(study.ct.grid.shape, dtype=np.uint16)
    for label, place in enumerate(places_mm, start=1):
        nodes[tuple(np.round(study.ct.grid.mm_to_index(np.array(place))).astype(int))] = label
    return replace(study, nodes=Volume(nodes, study.ct.grid, study.ct.file_grid))


def test_no_node_is_lost_for_being_smaller_than_a_working_voxel():
    coarse = replace(PRESET, spacing_mm=(9.0, 9.0, 10.0), window=(22, 18, 8))
    rng = np.random.default_rng(0)
    places = rng.uniform((-60, -60, -60), (80, 40, 80), size=(20, 3))
    column = prepare(with_voxels(whole_study("straight"), *places), coarse)
    assert sorted(set(np.unique(column.nodes)) - {0}) == list(range(1, 21)) and column.outside_mm == ()
    for label, place in enumerate(places, start=1):
        assert np.linalg.norm(center_mm(column.nodes == label, column.grid) - place) < 12


def test_nodes_outside_the_column_are_counted_with_their_distance_to_the_tumor():
    narrow = replace(PRESET, window=(24, 20, 16))
    inside, beside, far = (TUMOR + np.array(step) for step in ((0, 20, 0), (0, -70, 0), (100, 0, 0)))
    study = with_voxels(whole_study("straight"), inside, beside, far)
    column = prepare(study, narrow)
    assert set(np.unique(column.nodes)) == {0, 1}
    # To the surface of the tumor, whose radius is 14 mm; up to a voxel more or less.
    assert sorted(column.outside_mm) == pytest.approx([70 - 14, 100 - 14], abs=6)
    assert (column.nodes_outside(), column.nodes_outside("proximal"), column.nodes_outside("distal")) == (
        2,
        1,
        1,
    )
    assert compact(column).outside_mm == column.outside_mm
    unknown = prepare(replace(study, tumor=None), narrow)
    assert np.isnan(unknown.outside_mm).all() and unknown.nodes_outside("distal") == 2
