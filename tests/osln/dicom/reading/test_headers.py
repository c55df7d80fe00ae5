"""By what a file shows that it was changed: all that stands before its pixels, and its size."""

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from osln.dicom.reading.headers import read_header_and_content
from small.dicom import AXIAL, box_contours, ct_slices, structure_set, write_dicom
from small.study import TUMOR


def content(path, whole=()):
    header, digest = read_header_and_content(path, ["Modality", "Rows"], whole)
    assert header.Modality and "PatientID" not in header
    return digest


@pytest.fixture
def image(tmp_path):
    write_dicom(tmp_path, ct_slices()[:1])
    [path] = tmp_path.iterdir()
    return path


def test_every_attribute_counts_also_one_that_is_not_read_and_pixels_do_not(image):
    before, stored = content(image), image.read_bytes()
    image.write_bytes(stored.replace(b"H-123456", b"H-123457"))
    assert content(image) != before
    image.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))
    assert content(image) == before
    image.write_bytes(stored + b"\0\0")
    assert content(image) != before


def test_of_some_modalities_the_pixels_count_too(image):
    before, stored = content(image, ("SEG", "CT")), image.read_bytes()
    assert content(image, ("SEG",)) != before
    image.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))
    assert content(image, ("SEG", "CT")) != before


def test_a_file_without_pixels_and_a_deflated_one_count_to_their_ends(tmp_path):
    ct = ct_slices()
    write_dicom(tmp_path / "rs", [structure_set(ct, {"GTVp": box_contours(AXIAL, *TUMOR)})])
    ct[0].file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    write_dicom(tmp_path / "ct", ct[:1])
    for path in (tmp_path / "rs", tmp_path / "ct"):
        [file] = path.iterdir()
        assert content(file) == content(file, ("CT", "RTSTRUCT"))
