"""By what a file shows that it was changed: all that stands before its pixels, and its size."""

import pydicom
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


def test_who_stored_an_image_does_not_count_and_how_it_is_encoded_does(image):
    before, read = content(image), pydicom.dcmread(image)
    # Longer than what stood there, so that all that follows lies elsewhere.
    read.preamble = b"another program".ljust(128)
    read.file_meta.SourceApplicationEntityTitle = "ANOTHER"
    read.file_meta.ImplementationVersionName = "ANOTHER 2.10"
    read.file_meta.PrivateInformationCreatorUID, read.file_meta.PrivateInformation = "1.2.3", bytes(70000)
    read.save_as(image)
    assert content(image) == before == content(image, ("SEG",))
    stored = image.read_bytes()
    image.write_bytes(stored.replace(b"H-123456", b"H-123457"))
    assert content(image) != before
    image.write_bytes(stored.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0"))
    assert content(image) != before


def test_a_file_without_preamble_and_group_2_counts_from_its_beginning(image):
    stored, read = image.read_bytes(), pydicom.dcmread(image)
    image.write_bytes(stored[132 + 12 + read.file_meta.FileMetaInformationGroupLength :])
    before = content(image)
    image.write_bytes(image.read_bytes().replace(b"H-123456", b"H-123457"))
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
