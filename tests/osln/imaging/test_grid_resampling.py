"""Values and objects on another grid: what lies at a place in the patient still lies there."""

import numpy as np
import pytest
import SimpleITK as sitk

from osln.imaging.grid import Grid, canonical, write_volume
from osln.imaging.resampling import paste_labels, resample
from small.geometry import OBLIQUE, RAS, affine_of, turned


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
