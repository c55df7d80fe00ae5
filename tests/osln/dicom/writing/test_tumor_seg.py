"""The primary tumor as a segmentation: read back voxel by voxel, coded, valid for somebody else's program."""

from datetime import datetime

import numpy as np
import pydicom
import pytest

from osln.dicom.nodes import TUMOR, Author, own_kind
from osln.dicom.reading.segmentation import read_seg
from osln.dicom.reading.source import read_ct_series
from osln.dicom.writing.export import encoded
from osln.dicom.writing.tumor_seg import tumor_seg
from small.dicom import AXIAL, FLIPPED, OBLIQUE, SHAPE, ct_slices, write_dicom
from small.nodes import check_with_dciodvfy

AUTHOR = Author(True, datetime(2026, 1, 2, 3, 4, 5).astimezone(), person="Anna Nadel", revision=3)
UIDS = ("2.25.1", "2.25.2")


def made(folder, affine=AXIAL, empty=False):
    write_dicom(folder / "ct", ct_slices(affine=affine))
    ct = read_ct_series(folder / "ct")
    tumor = np.zeros(ct.grid.shape, bool)
    if not empty:
        tumor[3:6, 4:9, 7:9] = True
    assert ct.grid.shape == SHAPE
    return tumor, ct, tumor_seg(tumor, ct, AUTHOR, UIDS)


@pytest.mark.parametrize("affine", [AXIAL, FLIPPED, OBLIQUE], ids=["axial", "flipped", "oblique"])
def test_tumor_comes_back_voxel_by_voxel(tmp_path, affine):
    tumor, ct, dataset = made(tmp_path, affine)
    read = read_seg(dataset, ct)

    np.testing.assert_array_equal(read.mask("tumor"), tumor)
    assert read.ours and not read.approved, "it approves no nodes"


def test_object_says_what_it_is_who_drew_it_and_which_revision(tmp_path):
    _, _, dataset = made(tmp_path)
    (segment,) = dataset.SegmentSequence

    assert dataset.ContentLabel == own_kind(dataset) == TUMOR
    assert (dataset.SeriesInstanceUID, dataset.SOPInstanceUID) == UIDS
    assert dataset.InstanceNumber == 3 and dataset.ContentDate == "20260102"
    assert dataset.ContentCreatorName == "Anna Nadel^"
    assert dataset.SeriesDescription == "OSLN Label: primary tumor, revision 3"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Neoplasm, Primary"
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("tumor", "MANUAL")


def test_empty_tumor_has_one_frame_without_a_pixel(tmp_path):
    _, ct, dataset = made(tmp_path, empty=True)

    assert dataset.NumberOfFrames == 1 and not read_seg(dataset, ct).mask().any()


def test_somebody_elses_program_finds_no_error(tmp_path, require):
    _, _, dataset = made(tmp_path)
    (tmp_path / "tumor.dcm").write_bytes(encoded(dataset))
    assert pydicom.dcmread(tmp_path / "tumor.dcm").Modality == "SEG"

    check_with_dciodvfy(tmp_path / "tumor.dcm", require)
