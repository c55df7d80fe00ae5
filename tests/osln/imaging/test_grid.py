"""Geometry: where voxels lie, whatever order a file keeps them in, and what lies there on another grid."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from osln.imaging.grid import (
    Grid,
    as_stored,
    canonical,
    grid_in_file_order,
    in_file_order,
    mask_box,
    read_volume,
    write_volume,
)
from osln.imaging.resampling import prefilter_sigma, resample
from small.geometry import OBLIQUE, ORIGIN, RAS, affine_of, turned

LPS = affine_of(np.diag([-1.5, -2.0, 3.0]), ORIGIN)
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


@pytest.mark.parametrize("name", FILES)
def test_a_crop_in_the_order_of_its_file_has_the_same_voxels(name):
    volume = canonical(voxels((5, 6, 7)), Grid((5, 6, 7), FILES[name]))
    part = volume.grid.crop((1, 2, 1), (2, 3, 4))
    turned_part = grid_in_file_order(part, volume.file_grid)
    start = np.round(volume.file_grid.mm_to_index(turned_part.affine[:3, 3])).astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(start, turned_part.shape, strict=True))
    inside = in_file_order(volume.array[1:3, 2:5, 1:5], part, turned_part)
    np.testing.assert_array_equal(inside, voxels((5, 6, 7))[box])


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


def test_a_mask_box_is_first_and_past_the_last_voxel():
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask[1, 5, 2] = mask[3, 4, 7] = True

    start, stop = mask_box(mask)

    assert (start.tolist(), stop.tolist()) == ([1, 4, 2], [4, 6, 8])
    with pytest.raises(ValueError, match="empty mask"):
        mask_box(np.zeros((2, 2, 2), dtype=bool))


@pytest.mark.parametrize("flips", [(0,), (1, 2), (0, 1, 2)])
def test_a_mask_box_is_that_of_the_array_whatever_its_order_in_memory(flips):
    mask = np.zeros((5, 6, 7), dtype=bool, order="F")
    mask[1:3, 2:3, 3:7] = True

    seen = np.flip(mask, flips).transpose(2, 0, 1)

    start, stop = mask_box(seen)
    alike_start, alike_stop = mask_box(np.ascontiguousarray(seen))
    np.testing.assert_array_equal(start, alike_start)
    np.testing.assert_array_equal(stop, alike_stop)
    assert seen[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))].all()


def test_an_image_as_it_is_stored_runs_forward_in_memory():
    stored = voxels()

    found = as_stored(stored[::-1, :, ::-1])

    assert np.shares_memory(found, stored)
    np.testing.assert_array_equal(found, stored)


def test_the_filter_has_the_width_that_makes_small_voxels_large_ones():
    fine = Grid((8, 8, 8), np.diag([1.0, 2.0, 3.0, 1.0]))
    # 1 to 2 mm: FWHM sqrt(4 - 1) mm; 2 to 2 and 3 to 1.5 mm: none.
    sigma = prefilter_sigma(fine, Grid((4, 8, 16), np.diag([2.0, 2.0, 1.5, 1.0])))
    np.testing.assert_allclose(sigma, [np.sqrt(3) / 2.354820045, 0, 0])
    # The same grid turned by a quarter: what is seen along the source's axes counts.
    turned = np.array([[0, -2.0, 0, 7], [2.0, 0, 0, 0], [0, 0, 1.5, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(prefilter_sigma(fine, Grid((8, 4, 16), turned)), sigma)


def test_the_filter_averages_noise_and_keeps_means_and_what_does_not_grow():
    noise = np.random.default_rng(0).normal(100, 20, (60, 60, 20))
    fine, coarse = Grid(noise.shape, np.eye(4)), Grid((20, 20, 20), np.diag([2.5, 2.5, 1.0, 1.0]))
    plain, filtered = resample(noise, fine, coarse), resample(noise, fine, coarse, prefilter=True)
    # White noise through a Gaussian of s voxels along two axes: SD / (2 sqrt(pi) s), s = .973; interpolation
    # at every second place between voxels takes a little more.
    assert 4.5 < filtered.std() < 20 / (2 * np.sqrt(np.pi) * 0.973) < plain.std() / 2
    assert filtered.mean() == pytest.approx(100, abs=0.5)
    same = resample(noise, fine, fine, prefilter=True)
    np.testing.assert_allclose(same, noise, rtol=1e-6)


def test_a_ramp_stays_a_ramp_and_labels_are_never_filtered():
    ramp = np.arange(40, dtype=np.float32).reshape(40, 1, 1)
    fine, coarse = (
        Grid((40, 1, 1), np.eye(4)),
        Grid((10, 1, 1), np.diag([2.0, 1, 1, 1])).crop((5, 0, 0), (8, 1, 1)),
    )
    np.testing.assert_allclose(
        resample(ramp, fine, coarse, prefilter=True).ravel(), 10 + 2 * np.arange(8), rtol=1e-4
    )
    labels = ramp.astype(np.int16)
    np.testing.assert_array_equal(
        resample(labels, fine, coarse, nearest=True, prefilter=True).ravel(), 10 + 2 * np.arange(8)
    )
