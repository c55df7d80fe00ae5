"""SEG of other programs: read voxel by voxel if its frames lie where they say, else refused in words."""

from io import BytesIO

import numpy as np
import pydicom
import pytest

from osln.dicom.reading.segmentation import read_seg
from osln.dicom.writing.export import encoded
from osln.dicom.writing.segmentation import seg
from small.nodes import ORIENTATIONS, node_set, on_grid, series, shapes


def foreign(dataset, **tags):
    """The same object as if another program had written it."""
    dataset.Manufacturer, dataset.ContentLabel = "Somebody", "OTHER"
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.fixture(scope="module")
def axial():
    """An axial CT and the bytes of an object on it."""
    ct = series()
    return ct, encoded(seg(node_set(ct), ct))


def opened(data):
    return pydicom.dcmread(BytesIO(data))


def test_a_foreign_object_whose_frames_lie_where_they_say_is_read():
    ct = series(ORIENTATIONS["oblique"])
    dataset = foreign(opened(encoded(seg(node_set(ct), ct))))
    dataset.SegmentSequence[0].SegmentLabel = "Lymph Node"
    read = read_seg(dataset, ct)

    assert not read.ours
    assert not read.approved
    np.testing.assert_array_equal(read.mask("lymph node"), on_grid(shapes(), ct) == 1)


def test_overlapping_segments_of_a_foreign_object_are_each_read_whole(axial):
    ct, dataset = axial[0], foreign(opened(axial[1]))
    again = opened(axial[1])
    for frame in again.PerFrameFunctionalGroupsSequence:
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 2
    dataset.PerFrameFunctionalGroupsSequence.extend(again.PerFrameFunctionalGroupsSequence)
    pixels = np.concatenate([dataset.pixel_array] * 2).reshape(-1)
    dataset.NumberOfFrames = 12
    dataset.PixelData = np.packbits(pixels, bitorder="little").tobytes()
    read = read_seg(dataset, ct)

    np.testing.assert_array_equal(read.mask("lymph node 1"), on_grid(shapes(), ct) == 1)
    np.testing.assert_array_equal(read.mask("lymph node 2"), on_grid(shapes(), ct) > 0)


def test_frames_stored_with_mirrored_axes_land_on_the_same_voxels(axial):
    ct, dataset = axial[0], foreign(opened(axial[1]))
    dataset.PixelData = np.packbits(dataset.pixel_array[:, :, ::-1].reshape(-1), bitorder="little").tobytes()
    shared = dataset.SharedFunctionalGroupsSequence[0]
    # Columns from the other side, and so the normal: the planes stay where they are.
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
        frame.PlanePositionSequence[0].ImagePositionPatient = [float(x) + 19 * 2.0, y, z]

    np.testing.assert_array_equal(read_seg(dataset, ct).mask(), on_grid(shapes(), ct) > 0)


def mirrored(dataset):
    frames = dataset.PerFrameFunctionalGroupsSequence
    places = [frame.PlanePositionSequence for frame in frames]
    for frame, place in zip(frames, places[::-1], strict=True):
        frame.PlanePositionSequence = place


def without_references(dataset):
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence


def between_slices(dataset):
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[2] += 1.0


def between_pixels(dataset):
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[0] += 0.7


def without_positions(dataset):
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence


def truncated(dataset):
    dataset.PixelData = dataset.PixelData[:20]


def of_another_series(dataset):
    source = dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    source.ReferencedSOPInstanceUID = "1.2.3"


def undescribed(dataset):
    del dataset.SegmentSequence[2]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (mirrored, "mirrored or shifted"),
        (between_slices, "mirrored or shifted"),
        (between_pixels, "another grid"),
        (without_references, "does not name the CT image"),
        (without_positions, "does not say where it lies"),
        (truncated, "pixels of the segmentation cannot be read"),
        (of_another_series, "not in the CT series"),
        (undescribed, "segments that it does not describe"),
        (lambda dataset: setattr(dataset, "FrameOfReferenceUID", "1.2.3"), "another frame of reference"),
        (lambda dataset: setattr(dataset, "PatientID", "somebody else"), "another patient"),
        (lambda dataset: setattr(dataset, "SegmentationType", "FRACTIONAL"), "export it as BINARY"),
        (lambda dataset: setattr(dataset, "SOPClassUID", "1.2"), "no DICOM Segmentation"),
        (lambda dataset: setattr(dataset, "NumberOfFrames", 7), "incomplete"),
        (lambda dataset: setattr(dataset.file_meta, "ImplementationVersionName", "dcmjs-0.0"), "OHIF"),
    ],
)
def test_a_foreign_object_that_cannot_be_believed_is_refused_in_words(damage, words, axial):
    ct, dataset = axial[0], foreign(opened(axial[1]))
    damage(dataset)

    with pytest.raises(ValueError, match=words):
        read_seg(dataset, ct)


def test_ohif_is_known_by_its_attributes_when_a_pacs_has_replaced_the_meta_information(axial):
    ct, dataset = axial[0], foreign(opened(axial[1]))
    dataset.ContentLabel, dataset.SoftwareVersions, dataset.DeviceSerialNumber = "SEGMENTATION", "0", "1"

    with pytest.raises(ValueError, match="OHIF"):
        read_seg(dataset, ct)


def test_a_file_that_is_no_dicom_is_refused_with_its_name(tmp_path):
    (tmp_path / "notes.dcm").write_text("no DICOM")

    with pytest.raises(ValueError, match=r"notes\.dcm is not a DICOM file"):
        read_seg(tmp_path / "notes.dcm", series())
