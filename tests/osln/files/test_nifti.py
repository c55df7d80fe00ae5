"""NIfTI headers are believed only where the file and all its readers agree."""

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osln.files import nifti
from osln.files.images import nifti_bytes, read_voxels

ARRAY = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
DIM, TYPE, PIXDIM, OFFSET, UNITS, QFORM, MAGIC = 40, 70, 76, 108, 123, 252, 344
"""Places of fields in the header."""


def good() -> bytearray:
    return bytearray(nifti_bytes(ARRAY, AFFINE))


def changed(*fields: tuple[str, int, object]) -> bytes:
    """The good file with some numbers packed over it: (format, place, value)."""
    data = good()
    for kind, place, value in fields:
        struct.pack_into(f"<{kind}", data, place, *(value if isinstance(value, tuple) else (value,)))
    return bytes(data)


def read(tmp_path, data, name="a.nii"):
    path = tmp_path / name
    path.write_bytes(data)
    return read_voxels(path)


def test_a_good_file_is_read_and_its_header_alone_too(tmp_path):
    array, affine = read(tmp_path, good())

    np.testing.assert_array_equal(array, ARRAY)
    np.testing.assert_array_equal(affine, AFFINE)
    header = nifti.read_header(tmp_path / "a.nii")
    assert (header.shape, header.dtype, header.start, header.stop) == ((3, 4, 5), np.int16, 352, 352 + 120)


def test_an_offset_of_zero_means_behind_the_header_as_viewers_read_it(tmp_path):
    array, _ = read(tmp_path, changed(("f", OFFSET, 0.0)))

    np.testing.assert_array_equal(array, ARRAY)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (changed(("4s", MAGIC, b"ni1\0")), "does not hold its voxels itself"),
        (changed(("B", UNITS, 3)), "its unit is microns"),
        (changed(("B", UNITS, 1)), "its unit is meters"),
        (changed(("f", OFFSET, 176.0)), "begin inside its header"),
        (changed(("f", OFFSET, float("nan"))), "begin inside its header"),
        (changed(("f", OFFSET, 1e9)), "begin at byte 1e"),
        (changed(("h", DIM, 0)), "0 dimensions"),
        (changed(("h", DIM + 2, -3)), "3 dimensions"),
        (changed(("h", TYPE, 128)), "colors or complex"),
        (changed(("h", TYPE, 9999)), "colors or complex"),
        # The sform says 2 x 2 x 3 mm, pixdim 1 x 1 x 1: ITK takes the latter.
        (changed(("h", QFORM, 0), ("3f", PIXDIM + 4, (1.0, 1.0, 1.0))), "two voxel sizes"),
        (changed(("h", DIM + 2, 30)), "holds 472 bytes where its header promises 1552"),
        (bytes(good()) + b"\0", "goes on behind its voxels"),
        (bytes(good())[:-1], "holds 471 bytes"),
        (bytes(good())[:300], "ends within its header"),
    ],
)
def test_what_cannot_be_believed_is_refused_in_words(tmp_path, data, words):
    for name, content in (("a.nii", data), ("b.nii.gz", gzip.compress(data))):
        with pytest.raises(ValueError, match=rf"{name} cannot be read as an image: .*{words}"):
            read(tmp_path, content, name)
        (tmp_path / name).unlink()


def test_a_handedness_of_zero_means_one_and_another_is_refused_with_and_without_voxels(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(changed(("f", 76, 0.0)))
    assert np.array_equal(nifti.read_affine(path), read(tmp_path, bytes(good()))[1])
    for value in (7.0, float("nan")):
        path.write_bytes(changed(("f", 76, value)))
        for reading in (nifti.read_affine, read_voxels):
            with pytest.raises(ValueError, match=r"pixdim\[0\] is .*expected 1 or -1"):
                reading(path)


def test_a_small_file_that_unpacks_to_a_huge_one_is_not_unpacked(tmp_path, monkeypatch):
    bomb = gzip.compress(bytes(good()) + bytes(50_000_000))
    asked = []
    monkeypatch.setattr(nifti, "_read", lambda file, count: asked.append(count) or file.read(count))

    with pytest.raises(ValueError, match="goes on behind its voxels"):
        read(tmp_path, bomb, "a.nii.gz")
    # The header twice; the rest of what it promises, and a byte more, lies in the same block.
    assert asked == [540, 540]


def test_more_voxels_than_are_accepted_are_refused_by_the_header(tmp_path):
    with pytest.raises(ValueError, match=r"voxels, 1e\+09 in all are accepted"):
        read(tmp_path, changed(("3h", DIM + 2, (2000, 2000, 2000))))


def test_the_second_version_is_read(tmp_path):
    nib.save(nib.Nifti2Image(ARRAY, AFFINE), tmp_path / "two.nii")

    np.testing.assert_array_equal(read_voxels(tmp_path / "two.nii")[0], ARRAY)
    assert nifti.read_header(tmp_path / "two.nii").start == 544


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 471), st.integers(0, 255)), min_size=1, max_size=12),
    st.integers(0, 472),
)
def test_whatever_the_bytes_are_they_are_read_or_refused(tmp_path_factory, changes, length):
    data = good()
    for place, value in changes:
        data[place] = value
    path = tmp_path_factory.mktemp("any") / "a.nii"
    path.write_bytes(bytes(data[: length or None]))

    try:
        array, affine = read_voxels(path)
    except ValueError:
        return
    assert array.ndim == 3 and array.size <= 472 and affine.shape == (4, 4)
