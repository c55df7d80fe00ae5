"""Image files are read as they are meant, or refused with a sentence that says what to do."""

import gzip
import os
import stat
import threading

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from osln.files.images import (
    nifti_bytes,
    promised_affine,
    promised_shape,
    read_voxels,
    split_suffix,
    twins,
    write_atomically,
)

AFFINE = np.array([[-1.5, 0, 0, 20.0], [0, -2.0, 0, 30.0], [0, 0, 3.0, -40.0], [0, 0, 0, 1.0]])


def voxels(dtype="int16"):
    """2 x 3 x 4 values from -5 to 18, all different."""
    return (np.arange(24).reshape(2, 3, 4) - 5).astype(dtype)


def save(path, array, affine=AFFINE):
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def test_suffixes_are_split_off_whole_and_whatever_their_case():
    assert split_suffix("/a/b.c.nii.gz") == ("b.c", ".nii.gz")
    assert split_suffix("B.NII.GZ") == ("B", ".NII.GZ")
    assert split_suffix("x.seg.nrrd") == ("x.seg", ".nrrd")
    assert split_suffix("notes.txt") == ("notes.txt", "")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_every_format_gives_the_same_voxels_and_affine(tmp_path, suffix):
    path = tmp_path / f"ct{suffix}"
    image = sitk.GetImageFromArray(voxels().T)
    image.SetSpacing((1.5, 2.0, 3.0))
    image.SetOrigin((-20.0, -30.0, -40.0))
    sitk.WriteImage(image, str(path))

    array, affine = read_voxels(path)

    np.testing.assert_array_equal(array, voxels())
    assert array.dtype == np.int16
    np.testing.assert_allclose(affine, AFFINE, atol=1e-6)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i2", "u2", "i4", "u1"])
def test_integers_stay_what_they_are_in_the_byte_order_of_the_processor(tmp_path, order, kind):
    array = np.abs(voxels()).astype(kind)
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(np.dtype(kind).newbyteorder(order))
    nib.save(nib.Nifti1Image(array, AFFINE, header), tmp_path / "a.nii")
    assert nib.load(tmp_path / "a.nii").header.endianness == order

    read, _ = read_voxels(tmp_path / "a.nii")

    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.dtype(kind) and read.dtype.isnative


def test_scaled_integers_become_float_values_in_physical_units(tmp_path):
    raw = bytearray(nifti_bytes(voxels(), AFFINE))
    raw[112:120] = np.array([2.0, -1000.0], dtype="<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(raw)

    read, _ = read_voxels(tmp_path / "a.nii")

    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, voxels() * 2.0 - 1000.0)
    np.testing.assert_array_equal(read, sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nii"))).T)


def test_double_precision_becomes_single_and_nifti_two_is_read(tmp_path):
    nib.save(nib.Nifti2Image(voxels("float64") / 4, AFFINE), tmp_path / "a.nii.gz")

    read, affine = read_voxels(tmp_path / "a.nii.gz")

    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, voxels() / 4)
    np.testing.assert_array_equal(affine, AFFINE)


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path):
    path = save(tmp_path / "a.nii", voxels()[..., None])

    np.testing.assert_array_equal(read_voxels(path)[0], voxels())


def test_four_dimensions_are_refused_in_words(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.stack([voxels(), voxels()], axis=-1))

    with pytest.raises(ValueError, match=r"a\.nii\.gz has 4 dimensions \(2, 3, 4, 2\); expected one 3-D"):
        read_voxels(path)


def test_several_components_in_nrrd_are_refused_in_words(tmp_path):
    image = sitk.GetImageFromArray(np.zeros((4, 3, 2, 3), np.float32), isVector=True)
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))

    with pytest.raises(ValueError, match=r"3 components \(vector\); expected one 3-D volume"):
        read_voxels(tmp_path / "a.nrrd")


def test_colors_and_complex_numbers_are_refused_in_words(tmp_path):
    colors = np.zeros((2, 3, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])

    for array in (colors, np.zeros((2, 3, 4), np.complex64)):
        with pytest.raises(ValueError, match="colors or complex numbers"):
            read_voxels(save(tmp_path / "a.nii", array))


@pytest.mark.parametrize("other", ["a.nii", "a.nrrd", "a.mha"])
def test_twin_names_are_refused_with_both_names(tmp_path, other):
    path = save(tmp_path / "a.nii.gz", voxels())
    (tmp_path / other).touch()

    assert twins(path) == [tmp_path / other]
    with pytest.raises(ValueError, match=rf"a\.nii\.gz lies beside {other}: .* remove or rename one"):
        read_voxels(path)


def test_neighbors_of_another_name_are_no_twins(tmp_path):
    path = save(tmp_path / "a.nii.gz", voxels())
    save(tmp_path / "a.b.nii", voxels())
    (tmp_path / "a.json").touch()

    assert twins(path) == []
    read_voxels(path)


def test_missing_files_and_other_names_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("x")

    with pytest.raises(ValueError, match=r"no image file at .*b\.nii"):
        read_voxels(tmp_path / "b.nii")
    with pytest.raises(ValueError, match=r"a\.txt is not an image: expected a name that ends with"):
        read_voxels(tmp_path / "a.txt")


def damaged_files():
    whole = nib.Nifti1Image(np.arange(4000, dtype=np.int16).reshape(20, 20, 10), AFFINE)
    plain = whole.to_bytes()
    packed = gzip.compress(plain)
    huge = bytearray(plain)
    huge[42:48] = np.array([30000, 30000, 30000], dtype="<i2").tobytes()
    return {
        "cut.nii.gz": packed[: len(packed) // 2],
        "flipped.nii.gz": packed[:200] + b"\xff\x00\xff\x00" + packed[204:],
        "checksum.nii.gz": packed[:-5] + b"12345",
        "unpacked.nii.gz": plain,
        "empty.nii.gz": b"",
        "cut.nii": plain[:3000],
        "head.nii": plain[:100],
        "text.nii": b"not an image at all" * 30,
        "huge.nii": bytes(huge),
        "text.nrrd": b"NRRD0004\nnonsense\n",
        "text.mha": b"nonsense",
    }


@pytest.mark.parametrize("name", damaged_files())
def test_damaged_files_are_refused_with_their_name(tmp_path, name):
    (tmp_path / name).write_bytes(damaged_files()[name])

    with pytest.raises(ValueError, match=f"{name} cannot be read as an image: ."):
        read_voxels(tmp_path / name)


def test_a_file_without_a_position_is_refused_because_readers_disagree_about_it(tmp_path):
    image = nib.Nifti1Image(voxels(), AFFINE)
    image.set_sform(AFFINE, code=0)
    image.set_qform(AFFINE, code=0)
    nib.save(image, tmp_path / "a.nii")

    with pytest.raises(ValueError, match="does not say where it lies in patient space"):
        read_voxels(tmp_path / "a.nii")


def test_two_positions_in_one_file_are_refused_unless_they_agree_within_half_a_voxel(tmp_path):
    image = nib.Nifti1Image(voxels(), AFFINE)
    image.set_sform(AFFINE, code=2)
    near, far = AFFINE.copy(), AFFINE.copy()
    near[0, 3] += 0.1
    far[1, 3] += 12.5
    image.set_qform(near, code=1)
    nib.save(image, tmp_path / "near.nii")
    image.set_qform(far, code=1)
    nib.save(image, tmp_path / "far.nii")

    read_voxels(tmp_path / "near.nii")
    with pytest.raises(ValueError, match=r"two positions \(sform and qform\) that are 12.5 mm apart"):
        read_voxels(tmp_path / "far.nii")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("bool", "uint8"),
        ("int64", "int32"),
        ("uint64", "int32"),
        ("float16", "float32"),
        ("uint16", "uint16"),
    ],
)
def test_written_types_are_those_that_every_viewer_reads(given, stored):
    array = (voxels() > 3).astype(given)

    image = nib.Nifti1Image.from_bytes(nifti_bytes(array, AFFINE))

    assert image.get_data_dtype() == np.dtype(stored)
    np.testing.assert_array_equal(np.asarray(image.dataobj), voxels() > 3)
    np.testing.assert_allclose(image.get_sform(), AFFINE)
    np.testing.assert_allclose(image.get_qform(), AFFINE, atol=1e-5)


def test_integers_that_do_not_fit_are_refused_instead_of_wrapped():
    with pytest.raises(ValueError, match="4294967296 do not fit 32 bits"):
        nifti_bytes(np.full((2, 2, 2), 2**32), AFFINE)


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_remains(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomically(path, b"old")

    def full(_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, b"new")

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_get_the_rights_that_the_process_gives_to_all_its_files(tmp_path):
    before = os.umask(0o027)
    try:
        writers = [
            threading.Thread(target=write_atomically, args=(tmp_path / f"{i}.json", b"x")) for i in range(8)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        rights = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        after = os.umask(0o027)
    finally:
        os.umask(before)

    assert rights == {0o640}
    assert after == 0o027


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd", "a.mha"])
def test_a_header_alone_tells_shape_and_place(tmp_path, name):
    image = sitk.GetImageFromArray(np.zeros((4, 3, 2), np.int16))
    image.SetSpacing((1.5, 2.0, 3.0))
    image.SetOrigin((10.0, 20.0, 30.0))
    sitk.WriteImage(image, str(tmp_path / name))

    # ITK's patient axes are LPS.
    expected = np.array([[-1.5, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
    np.testing.assert_allclose(promised_affine(tmp_path / name), expected)
    assert promised_shape(tmp_path / name) == (2, 3, 4)
