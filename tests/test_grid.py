"""Geometry: where voxels lie, whatever order a file keeps them in, and what lies there on another grid."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from osln.grid import (
    Grid,
    canonical,
    in_file_order,
    mask_box,
    paste_labels,
    read_volume,
    resample,
    write_volume,
)


def turned(degrees_z: float, degrees_x: float) -> np.ndarray:
    """Rotation about x, then about z."""
    (cz, sz), (cx, sx) = ((np.cos(a), np.sin(a)) for a in np.deg2rad([degrees_z, degrees_x]))
    return np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])


def affine_of(axes, origin):
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = origin
    return affine


ORIGIN = (20.0, 30.0, -40.0)
RAS = affine_of(np.diag([1.5, 2.0, 3.0]), ORIGIN)
LPS = affine_of(np.diag([-1.5, -2.0, 3.0]), ORIGIN)
OBLIQUE = affine_of(turned(20, 12) @ np.diag([-1.5, -2.0, 3.0]), ORIGIN)
# The file's axes run to superior, to the left and to anterior.
PERMUTED = affine_of([[0, -1.5, 0], [0, 0, 2.0], [3.0, 0, 0]], ORIGIN)
FILES = {"ras": RAS, "lps": LPS, "oblique": OBLIQUE, "permuted": PERMUTED}


def voxels(shape=(2, 3, 4)):
    """Values that are all different."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def saved(path, array, affine):
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.mark.parametrize("name", FILES)
def test_reading_and_writing_back_changes_no_voxel(tmp_path, name):
    path = saved(tmp_path / "a.nii.gz", voxels(), FILES[name])

    volume = read_volume(path)
    write_volume(tmp_path / "b.nii.gz", volume.array, volume.grid, volume.file_grid)

    back = nib.load(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(np.asarray(back.dataobj), voxels())
    np.testing.assert_allclose(back.affine, FILES[name], atol=1e-5)
    assert back.get_data_dtype() == np.int16


def test_a_file_of_a_scanner_is_turned_to_run_right_anterior_superior(tmp_path):
    volume = read_volume(saved(tmp_path / "a.nii", voxels(), LPS))

    np.testing.assert_array_equal(volume.array, voxels()[::-1, ::-1, :])
    # The last stored voxel of x and y becomes the first one: 20 - 1.5 * 1 and 30 - 2 * 2.
    np.testing.assert_allclose(volume.grid.affine, affine_of(np.diag([1.5, 2, 3]), (18.5, 26, -40)))
    np.testing.assert_allclose(volume.file_grid.affine, LPS)


def test_axes_in_another_order_are_permuted(tmp_path):
    stored = voxels((4, 2, 3))

    volume = read_volume(saved(tmp_path / "a.nii", stored, PERMUTED))

    assert volume.array.shape == (2, 3, 4)
    for x, y, z in ((0, 0, 0), (1, 0, 0), (0, 2, 1), (1, 2, 3)):
        assert volume.array[x, y, z] == stored[z, 1 - x, y]


@pytest.mark.parametrize("name", FILES)
def test_an_independent_reader_agrees_where_a_marked_voxel_lies(tmp_path, name):
    array = np.zeros((5, 6, 7), dtype=np.uint8)
    array[1, 4, 5] = 9
    path = saved(tmp_path / "a.nii.gz", array, FILES[name])

    volume = read_volume(path)
    image = sitk.ReadImage(str(path))

    index = np.argwhere(volume.array == 9)[0]
    left, posterior, superior = image.TransformIndexToPhysicalPoint((1, 4, 5))
    assert image[1, 4, 5] == 9
    np.testing.assert_allclose(volume.grid.index_to_mm(index), (-left, -posterior, superior), atol=1e-4)
    assert tuple(np.abs(np.linalg.inv(volume.grid.direction)).argmax(axis=0)) == (0, 1, 2)


def test_voxels_that_are_written_are_found_by_an_independent_reader_at_the_same_place(tmp_path):
    grid = canonical(np.zeros((5, 6, 7), np.uint8), Grid((5, 6, 7), OBLIQUE)).grid
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[3, 1, 6] = True

    write_volume(tmp_path / "a.nii.gz", mask, grid, Grid((5, 6, 7), OBLIQUE))

    image = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    x, y, z = grid.index_to_mm((3, 1, 6))
    assert image[image.TransformPhysicalPointToIndex((-x, -y, z))] == 1
    assert sitk.GetArrayViewFromImage(image).sum() == 1
    assert image.GetPixelIDTypeAsString() == "8-bit unsigned integer"


def test_sheared_files_are_refused_with_their_name(tmp_path):
    sheared = RAS.copy()
    sheared[1, 2] = 0.5  # A gantry tilt of 9.5 degrees.
    image = nib.Nifti1Image(voxels(), sheared)
    image.set_qform(None, code=0)
    nib.save(image, tmp_path / "tilted.nii")

    with pytest.raises(ValueError, match=r"tilted\.nii: the image axes are sheared .*resample"):
        read_volume(tmp_path / "tilted.nii")


@pytest.mark.parametrize(
    ("shape", "affine", "words"),
    [
        ((2, 3), np.eye(4), "three axes"),
        ((2, 0, 4), np.eye(4), "at least one voxel"),
        ((2, 3, 4), np.diag([1.0, 0, 1, 1]), "voxel sizes must be positive"),
        ((2, 3, 4), np.diag([1.0, np.nan, 1, 1]), "voxel sizes must be positive and finite"),
    ],
)
def test_grids_that_are_none_are_refused(shape, affine, words):
    with pytest.raises(ValueError, match=words):
        Grid(shape, affine)


def test_only_nifti_is_written_and_only_on_its_own_grid(tmp_path):
    grid = Grid((2, 3, 4), RAS)

    with pytest.raises(ValueError, match="expected a path that ends with"):
        write_volume(tmp_path / "a.nrrd", voxels(), grid)
    with pytest.raises(
        ValueError, match=r"shape \(2, 3, 4\), spacing \[1.5 2.  3. \] mm\) is not the file's"
    ):
        in_file_order(voxels(), grid, Grid((2, 3, 4), affine_of(RAS[:3, :3], (20, 30, -41))))
    assert not list(tmp_path.iterdir())


def test_indices_and_millimeters_are_converted_both_ways():
    grid = Grid((4, 5, 6), LPS)

    np.testing.assert_allclose(grid.index_to_mm((1, 2, 3)), (20 - 1.5, 30 - 4, -40 + 9))
    np.testing.assert_allclose(grid.mm_to_index([[20, 30, -40], [17, 29, -34]]), [[0, 0, 0], [2, 0.5, 2]])
    oblique = Grid((4, 5, 6), OBLIQUE)
    np.testing.assert_allclose(oblique.mm_to_index(oblique.index_to_mm((1.5, 2, -3))), (1.5, 2, -3))
    np.testing.assert_allclose(oblique.spacing_mm, (1.5, 2, 3))
    assert oblique.voxel_mm3 == pytest.approx(9)


def test_a_crop_keeps_every_voxel_where_it_was():
    grid = Grid((9, 9, 9), OBLIQUE)

    part = grid.crop((2, -1, 4), (3, 4, 5))

    assert part.shape == (3, 4, 5)
    np.testing.assert_allclose(part.index_to_mm((1, 2, 3)), grid.index_to_mm((3, 1, 7)))


def test_another_spacing_keeps_the_first_voxel_and_ends_within_the_field():
    grid = Grid((5, 7, 4), affine_of(turned(20, 12) @ np.diag([2.0, 1.0, 3.0]), ORIGIN))

    working = grid.resampled((1.0, 1.0, 2.5))

    # The centers span 8, 6 and 9 mm.
    assert working.shape == (9, 7, 4)
    np.testing.assert_allclose(working.spacing_mm, (1, 1, 2.5))
    np.testing.assert_allclose(working.affine[:3, 3], ORIGIN)
    np.testing.assert_allclose(working.index_to_mm((8, 6, 0)), grid.index_to_mm((4, 6, 0)))


def test_grids_match_up_to_rounding_of_a_header_and_no_further():
    grid = Grid((100, 100, 50), OBLIQUE)
    near, far = OBLIQUE.copy(), OBLIQUE.copy()
    near[1, 3] += 0.005
    far[0, 0] *= 1.001  # 0.14 mm at the far corner.

    assert grid.matches(Grid((100, 100, 50), near))
    assert grid.matches(Grid((100, 100, 50), OBLIQUE.astype(np.float32)))
    assert not grid.matches(Grid((100, 100, 50), far))
    assert not grid.matches(Grid((100, 100, 51), OBLIQUE))


def test_the_box_of_another_grid_holds_all_its_voxels_and_is_clipped():
    grid = Grid((10, 20, 30), RAS)
    other = grid.crop((2, 3, 4), (3, 2, 1))

    start, stop = grid.box_of(other)
    assert (start.tolist(), stop.tolist()) == ([2, 3, 4], [5, 5, 5])
    start, stop = grid.box_of(other, margin=3)
    assert (start.tolist(), stop.tolist()) == ([0, 0, 1], [8, 8, 8])
    start, stop = grid.box_of(grid.crop((-50, 0, 0), (5, 2, 2)))
    assert start[0] == stop[0]


def test_the_box_of_an_oblique_grid_holds_all_its_voxels():
    grid = Grid((40, 40, 40), affine_of(np.eye(3), (0, 0, 0)))
    other = Grid((7, 5, 9), affine_of(turned(35, -20), (15, 12, 14)))
    every = grid.mm_to_index(other.index_to_mm(np.argwhere(np.ones(other.shape))))

    start, stop = grid.box_of(other)

    assert (every >= start).all() and (every <= stop - 1).all()
    assert (every.min(axis=0) - start < 1).all() and (stop - 1 - every.max(axis=0) < 1).all()


def test_trilinear_values_are_those_computed_by_hand():
    source = Grid((3, 3, 3), affine_of(np.diag([2.0, 4.0, 5.0]), (10, 20, 30)))
    array = np.zeros((3, 3, 3), dtype=np.float32)
    array[1, 1, 1] = 64.0

    # Quarter, half and no step away from the center (12, 24, 35).
    def value(x, y, z):
        return resample(array, source, Grid((1, 1, 1), affine_of(np.eye(3), (x, y, z))))[0, 0, 0]

    assert value(12, 24, 35) == 64
    assert value(12.5, 24, 35) == 48
    assert value(12.5, 26, 35) == 24
    assert value(12.5, 26, 31.25) == 6
    assert value(11.5, 22, 38.75) == 6
    assert value(14, 24, 35) == 0


def test_a_linear_field_is_kept_on_a_finer_shifted_grid():
    source = Grid((6, 7, 8), RAS)
    ramp = (source.index_to_mm(np.argwhere(np.ones(source.shape))) @ [2.0, 3.0, -5.0]).reshape(source.shape)
    target = source.crop((0.5, 1.25, 2.0), (1, 1, 1)).resampled((1, 1, 1)).crop((0, 0, 0), (4, 5, 6))

    result = resample(ramp.astype(np.float32), source, target)

    expected = (target.index_to_mm(np.argwhere(np.ones(target.shape))) @ [2.0, 3.0, -5.0]).reshape(4, 5, 6)
    np.testing.assert_allclose(result, expected, atol=1e-3)
    assert result.dtype == np.float32 and result.flags.f_contiguous


def with_itk(array, source, target, interpolator, fill):
    """The whole image resampled by SimpleITK, nothing cropped."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    flip = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(source.spacing_mm.tolist())
    image.SetOrigin((flip @ source.affine[:3, 3]).tolist())
    image.SetDirection((flip @ source.direction).ravel().tolist())
    like = sitk.Image([int(n) for n in target.shape], sitk.sitkUInt8)
    like.SetSpacing(target.spacing_mm.tolist())
    like.SetOrigin((flip @ target.affine[:3, 3]).tolist())
    like.SetDirection((flip @ target.direction).ravel().tolist())
    return sitk.GetArrayFromImage(sitk.Resample(image, like, sitk.Transform(), interpolator, fill)).T


TARGETS = {
    "inside": affine_of(np.diag([1.0, 1.0, 2.5]), (24, 35, -30)),
    "beyond the borders": affine_of(np.diag([1.0, 2.0, 2.5]), (10, 20, -55)),
    "oblique": affine_of(turned(-25, 15) @ np.diag([1.2, 1.1, 2.5]), (24, 33, -35)),
    "flipped": affine_of(np.diag([-1.0, -1.0, 2.5]), (38, 60, -30)),
    "apart": affine_of(np.eye(3), (500, 500, 500)),
}


@pytest.mark.parametrize("source_affine", [RAS, OBLIQUE], ids=["straight", "turned"])
@pytest.mark.parametrize("name", TARGETS)
def test_cropping_before_resampling_changes_nothing(name, source_affine):
    source = Grid((20, 22, 18), source_affine)
    array = np.random.default_rng(1).normal(size=source.shape).astype(np.float32)
    labels = (array > 0.5).astype(np.uint8) * 3
    target = Grid((15, 14, 13), TARGETS[name])

    linear = resample(array, source, target, fill=-7.0)
    nearest = resample(labels, source, target, nearest=True)

    np.testing.assert_allclose(linear, with_itk(array, source, target, sitk.sitkLinear, -7.0), atol=2e-4)
    differing = nearest != with_itk(labels, source, target, sitk.sitkNearestNeighbor, 0)
    assert differing.mean() < 2e-3  # Ties between two voxels may fall to either side.


def test_border_values_hold_for_half_a_voxel_and_the_fill_beyond():
    source = Grid((4, 4, 4), affine_of(np.diag([2.0, 2.0, 2.0]), (0, 0, 0)))
    array = np.full((4, 4, 4), 5.0, dtype=np.float32)
    line = Grid((12, 1, 1), affine_of(np.eye(3), (-2.25, 3, 3)))

    result = resample(array, source, line, fill=-1000.0)[:, 0, 0]

    # Voxel centers at -2.25, -1.25, -0.25 ... 8.75; the field reaches from -1 to 7.
    np.testing.assert_array_equal(result, [-1000] * 2 + [5] * 8 + [-1000] * 2)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int16", "int32", "int64", ">i2"])
def test_nearest_keeps_the_type_and_the_values(dtype):
    source = Grid((3, 4, 5), RAS)
    array = (np.arange(60).reshape(3, 4, 5) % 2).astype(dtype)

    result = resample(array, source, source.crop((1, 0, 2), (2, 4, 4)), nearest=True)

    assert result.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(result[:, :, :3], array[1:, :, 2:])
    assert not result[:, :, 3].any()


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", "longdouble", "bool"])
def test_other_types_are_interpolated_as_single_precision(dtype):
    source = Grid((3, 4, 5), RAS)
    array = (np.arange(60).reshape(3, 4, 5) % 2).astype(dtype)

    result = resample(array[::-1, :, ::-1], source, source)

    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, array[::-1, :, ::-1].astype(np.float32))


def test_a_mask_box_is_first_and_past_the_last_voxel():
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask[1, 5, 2] = mask[3, 4, 7] = True

    start, stop = mask_box(mask)

    assert (start.tolist(), stop.tolist()) == ([1, 4, 2], [4, 6, 8])
    with pytest.raises(ValueError, match="empty mask"):
        mask_box(np.zeros((2, 2, 2), dtype=bool))


COLUMN = Grid((20, 24, 16), affine_of(np.diag([2.0, 2.0, 3.0]), (-20, -10, 5)))


def brick():
    """A brick of 3 x 4 x 2 voxels, value 3: its center is (-10, 9, 15.5) mm, its volume 288 mm3."""
    labels = np.zeros(COLUMN.shape, dtype=np.int32)
    labels[4:7, 8:12, 3:5] = 3
    return labels, np.array([-20 + 2 * 5, -10 + 2 * 9.5, 5 + 3 * 3.5]), 3 * 4 * 2 * 12.0


@pytest.mark.parametrize(
    "affine",
    [
        affine_of(np.diag([0.9, 0.9, 1.25]), (-30, -20, 0)),
        affine_of(turned(20, 12) @ np.diag([0.9, 0.9, 1.25]), (-22, -28, 0)),
        affine_of(np.diag([-0.9, -0.9, 1.25]), (25, 34, 0)),
        affine_of([[0, -0.9, 0], [0, 0, 0.9], [1.25, 0, 0]], (20, -20, 0)),
    ],
    ids=["finer", "oblique", "flipped", "permuted"],
)
def test_a_pasted_object_has_its_place_and_volume_on_any_grid(affine):
    labels, center, volume = brick()
    target = Grid((64, 64, 64), affine)

    pasted = paste_labels(labels, COLUMN, target)

    where = target.index_to_mm(np.argwhere(pasted == 3))
    assert pasted.dtype == np.int32 and set(np.unique(pasted)) == {0, 3}
    np.testing.assert_allclose(where.mean(axis=0), center, atol=0.45)
    assert len(where) * target.voxel_mm3 == pytest.approx(volume, rel=0.06)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 1), (2, 2, 2), (3, 4, 2), (1, 5, 1)])
@pytest.mark.parametrize("axes", [np.eye(3), turned(20, 12)], ids=["straight", "oblique"])
def test_small_objects_keep_their_volume_on_a_finer_grid(size, axes):
    labels = np.zeros(COLUMN.shape, dtype=np.int32)
    labels[tuple(slice(5, 5 + n) for n in size)] = 1
    target = Grid((72, 72, 72), affine_of(axes @ np.diag([0.63, 0.57, 0.71]), (-20, -14, 6)))

    pasted = paste_labels(labels, COLUMN, target)

    where = target.index_to_mm(np.argwhere(pasted))
    assert len(where) * target.voxel_mm3 == pytest.approx(np.prod(size) * 12.0, rel=0.06)
    center = COLUMN.index_to_mm(5 + (np.array(size) - 1) / 2)
    np.testing.assert_allclose(where.mean(axis=0), center, atol=0.25)


def test_labels_pasted_onto_a_flipped_file_lie_there_for_an_independent_reader(tmp_path):
    labels, center, _ = brick()
    file_grid = Grid((64, 64, 64), affine_of(np.diag([-0.9, -0.9, 1.25]), (25, 34, 0)))
    ct = canonical(np.zeros(file_grid.shape, np.int16), file_grid)

    write_volume(tmp_path / "a.nii.gz", paste_labels(labels, COLUMN, ct.grid), ct.grid, ct.file_grid)

    image = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    np.testing.assert_allclose(image.GetOrigin(), (-25, -34, 0), atol=1e-5)
    stats = sitk.LabelShapeStatisticsImageFilter()
    stats.Execute(image)
    left, posterior, superior = stats.GetCentroid(3)
    np.testing.assert_allclose((-left, -posterior, superior), center, atol=0.45)


def test_an_object_at_the_border_of_its_grid_keeps_its_outer_half_voxels():
    source = Grid((3, 3, 3), affine_of(np.diag([2.0, 2.0, 2.0]), (0, 0, 0)))
    labels = np.zeros((3, 3, 3), dtype=np.uint8)
    labels[:2, 1, 1] = 1
    target = Grid((15, 1, 1), affine_of(np.diag([0.5, 1, 1]), (-2.25, 2, 2)))

    pasted = paste_labels(labels, source, target)[:, 0, 0]

    # Centers at 0 and 2 mm reach from -1 to 3 mm; the target's lie at -2.25, -1.75, ... 4.75.
    np.testing.assert_array_equal(pasted, [0] * 3 + [1] * 8 + [0] * 4)


def test_an_object_between_the_voxels_of_a_coarse_grid_keeps_the_nearest_voxel_alone():
    source = Grid((30, 30, 30), affine_of(np.eye(3), (0, 0, 0)))
    labels = np.zeros(source.shape, dtype=np.int32)
    labels[12, 7, 18] = 4
    target = Grid((6, 6, 6), affine_of(np.diag([5.0, 5.0, 5.0]), (0, 0, 0)))

    pasted = paste_labels(labels, source, target)

    assert np.argwhere(pasted).tolist() == [[2, 1, 4]]
    assert pasted[2, 1, 4] == 4


def test_an_object_outside_the_target_leaves_no_voxel():
    source = Grid((30, 30, 30), affine_of(np.eye(3), (0, 0, 0)))
    labels = np.zeros(source.shape, dtype=np.int32)
    labels[24:26, 4:6, 4:6] = 1
    labels[11, 4, 4] = 2  # Within a voxel of the target's field, not in it.

    pasted = paste_labels(labels, source, Grid((10, 10, 10), affine_of(np.eye(3), (0, 0, 0))))

    assert not pasted.any()


def test_where_two_objects_claim_a_voxel_the_smaller_number_keeps_it():
    source = Grid((4, 1, 1), affine_of(np.diag([2.0, 2.0, 2.0]), (0, 0, 0)))
    labels = np.array([0, 5, 2, 0], dtype=np.uint16).reshape(4, 1, 1)
    target = Grid((7, 1, 1), affine_of(np.diag([1.0, 2.0, 2.0]), (0, 0, 0)))

    pasted = paste_labels(labels, source, target)[:, 0, 0]

    # At 3 mm, half way between both, each has half a share.
    np.testing.assert_array_equal(pasted, [0, 5, 5, 2, 2, 2, 0])


def test_nothing_pasted_is_an_empty_map_of_the_same_type():
    pasted = paste_labels(np.zeros(COLUMN.shape, np.uint16), COLUMN, Grid((3, 4, 5), RAS))

    assert pasted.shape == (3, 4, 5) and pasted.dtype == np.uint16 and not pasted.any()
