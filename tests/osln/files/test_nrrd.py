"""NRRD files hold their own voxels, not a byte more than their header promises, or they are refused."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from osln.files import nrrd
from osln.files.images import read_voxels

ARRAY = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
FIELDS = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "3 4 5",
    "space directions": "(2,0,0) (0,2,0) (0,0,3)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(10,20,30)",
}


def file_of(data: bytes | None = None, changes: dict[str, str | None] | None = None) -> bytes:
    """A file of `ARRAY` by hand; a field that is None is left out."""
    lines = [f"{name}: {value}" for name, value in (FIELDS | (changes or {})).items() if value is not None]
    body = ARRAY.tobytes("F") if data is None else data
    return "\n".join(["NRRD0005", "# by hand", *lines, "Segment0_Name:=lymph node", "", ""]).encode() + body


def read(tmp_path, data, name="a.nrrd"):
    path = tmp_path / name
    path.write_bytes(data)
    return read_voxels(path)


def test_a_file_by_hand_lies_where_its_header_says(tmp_path):
    array, affine = read(tmp_path, file_of())

    np.testing.assert_array_equal(array, ARRAY)
    # Left and posterior are negative in RAS.
    np.testing.assert_array_equal(affine, [[-2, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
    assert nrrd.read_header(tmp_path / "a.nrrd").tags == {"Segment0_Name": "lymph node"}


@pytest.mark.parametrize(
    "changes",
    [
        {"space units": '"mm" "mm" "mm"'},
        {"space units": '"" "millimeter" "mm"'},
        {"units": '"???" "mm" "mm"'},
        {"kinds": None},
        {"kinds": "space space space"},
    ],
)
def test_millimeters_are_read_however_they_are_said(tmp_path, changes):
    np.testing.assert_array_equal(read(tmp_path, file_of(changes=changes))[1], read(tmp_path, file_of())[1])


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_what_itk_writes_is_read_as_itk_reads_it(tmp_path, compressed, kind):
    image = sitk.GetImageFromArray(ARRAY.astype(kind))
    image.SetDirection([0.8, 0.6, 0, -0.6, 0.8, 0, 0, 0, -1])
    image.SetSpacing([1.5, 2, 3])
    image.SetOrigin([-7, 8, 9])
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"), compressed)

    array, affine = read_voxels(tmp_path / "a.nrrd")

    np.testing.assert_array_equal(array, ARRAY.T)
    for index in ((0, 0, 0), (4, 3, 2)):
        place = affine @ [*index, 1]
        np.testing.assert_allclose(place[:3] * [-1, -1, 1], image.TransformIndexToPhysicalPoint(index))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data file": "/etc/passwd"}, "its voxels lie elsewhere"),
        ({"datafile": "/etc/passwd"}, "its voxels lie elsewhere"),
        ({"Data File": "LIST"}, "its voxels lie elsewhere"),
        ({"data file ": "x.raw"}, "its voxels lie elsewhere"),
        ({"byte skip": "-1"}, "its voxels lie elsewhere"),
        ({"line skip": "3"}, "its voxels lie elsewhere"),
        ({"encoding": "bzip2"}, "its encoding is bzip2"),
        ({"encoding": None}, "its encoding is not given"),
        ({"type": "block"}, "of type block"),
        ({"endian": "middle"}, "byte order"),
        ({"sizes": "3 4"}, "3. dimensions"),
        ({"sizes": "3 4 -5"}, "dimensions"),
        ({"sizes": "3 4 x"}, "expected numbers"),
        ({"space units": '"cm" "cm" "cm"'}, r"its unit is 'cm' \(spaceunits\), expected mm"),
        ({"space units": '"mm" "mm" "um"'}, "its unit is 'um'"),
        ({"units": '"m" "m" "m"'}, "its unit is 'm'"),
        ({"old min": "-1000", "old max": "3000"}, "its values stand for others"),
        ({"oldmax": "3000"}, "its values stand for others"),
        ({"kinds": "domain domain time"}, "an axis of the kind 'time'"),
        ({"kinds": "domain domain"}, "for 3 axes"),
        (
            {
                "dimension": "4",
                "sizes": "3 1 4 5",
                "space directions": "none (2,0,0) (0,2,0) (0,0,3)",
                "kinds": "covariant-vector domain domain domain",
            },
            r"it has 3 components \(covariant-vector\)",
        ),
        ({"space": None}, "does not say where it lies"),
        ({"space": "scanner-xyz"}, "does not say where it lies"),
        ({"space origin": "(1,2,nan)"}, "does not say where it lies"),
        ({"space directions": "(2,0,0) (0,2,0) none"}, "2 in space"),
        ({"sizes": "300 400 500"}, "holds 120 bytes where its header promises 120000000"),
        ({"sizes": "3 4 4"}, "goes on behind its voxels"),
        ({"sizes": "3000 4000 5000"}, "voxels, 1e.09 in all are accepted"),
    ],
)
def test_what_cannot_be_believed_is_refused_in_words(tmp_path, changes, words):
    with pytest.raises(ValueError, match=rf"a.nrrd cannot be read as an image: .*{words}"):
        read(tmp_path, file_of(changes=changes))


def test_no_more_is_unpacked_than_the_header_promises(tmp_path):
    bomb = gzip.compress(ARRAY.tobytes("F") + bytes(50_000_000))

    with pytest.raises(ValueError, match="goes on behind its voxels"):
        read(tmp_path, file_of(bomb, {"encoding": "gzip"}))


def test_a_header_without_end_is_refused(tmp_path):
    for data in (b"NRRD0005\ntype: short", b"NRRD0005\n" + b"#" * 5_000_000, b"NRRD0009\n\n", b""):
        with pytest.raises(ValueError, match="cannot be read"):
            read(tmp_path, data)


def test_layers_of_a_segmentation_are_parts_of_each_voxel(tmp_path):
    path = tmp_path / "s.seg.nrrd"
    changes = {
        "dimension": "4",
        "sizes": "2 3 4 5",
        "space directions": "none (2,0,0) (0,2,0) (0,0,3)",
        "kinds": "list domain domain domain",
    }
    path.write_bytes(file_of(np.stack([ARRAY, ARRAY + 100]).tobytes("F"), changes))

    layers, header = nrrd.read(path)

    assert header.layers == 2 and header.shape == (3, 4, 5)
    np.testing.assert_array_equal(layers[1], ARRAY + 100)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=12))
def test_whatever_the_bytes_are_they_are_read_or_refused(tmp_path_factory, changes):
    data = bytearray(file_of())
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path_factory.mktemp("any") / "a.nrrd"
    path.write_bytes(bytes(data))

    try:
        array, _ = read_voxels(path)
    except ValueError:
        return
    assert array.ndim == 3 and array.nbytes <= 2 * len(data)
