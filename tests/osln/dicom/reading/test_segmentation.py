"""DICOM SEG: voxels exact for every direction of the CT, segments by name, nothing foreign unchecked."""

from io import BytesIO

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from pydicom.dataset import Dataset

from osln.dicom.nodes import Author, Node, NodeSet
from osln.dicom.reading.segmentation import read_seg
from osln.dicom.writing.export import encoded
from osln.dicom.writing.rtstruct import rtstruct
from osln.dicom.writing.segmentation import seg
from small.dicom import FLIP, ct_slices
from small.mutations import CHANGES, changed, refusal_or
from small.nodes import (
    APPROVAL,
    AT,
    ORIENTATIONS,
    check_with_dciodvfy,
    empty_set,
    node_set,
    on_grid,
    series,
    shapes,
)


def stored(dataset, folder, name="result.dcm"):
    """The data set as it comes back from a file."""
    (folder / name).write_bytes(encoded(dataset))
    return pydicom.dcmread(folder / name)


@pytest.fixture(scope="module")
def axial():
    """An axial CT and the bytes of an object on it."""
    ct = series()
    return ct, encoded(seg(node_set(ct), ct))


def opened(data):
    return pydicom.dcmread(BytesIO(data))


def points_mm(dataset, segment):
    """Places (RAS mm) of a segment's pixels, from the attributes of its frames alone."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    row, column = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(float)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    found = []
    for frame, mask in zip(dataset.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == segment:
            origin = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
            for j, i in np.argwhere(mask):
                found.append((origin + row * between_columns * i + column * between_rows * j) * FLIP)
    return np.array(sorted(np.round(found, 2).tolist()))


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_mask_comes_back_voxel_by_voxel(name, tmp_path):
    ct = series(ORIENTATIONS[name])
    read = read_seg(stored(seg(node_set(ct), ct), tmp_path), ct)

    expected = on_grid(shapes(), ct)
    assert [segment.name for segment in read.segments] == ["lymph node 1", "lymph node 2", "lymph node 4"]
    for number in (1, 2, 4):
        np.testing.assert_array_equal(read.mask(f"lymph node {number}"), expected == number)
    np.testing.assert_array_equal(read.mask(), expected > 0)
    np.testing.assert_array_equal(read.labels(), np.array([0, 1, 2, 0, 3])[expected])


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_frames_lie_at_the_millimeters_of_the_voxels(name, tmp_path):
    affine = ORIENTATIONS[name]
    ct = series(affine)
    dataset = stored(seg(node_set(ct), ct), tmp_path)

    for segment, value in ((1, 1), (2, 2), (3, 4)):
        voxels = np.argwhere(shapes() == value)
        expected = np.array(sorted(np.round(voxels @ affine[:3, :3].T + affine[:3, 3], 2).tolist()))
        np.testing.assert_allclose(points_mm(dataset, segment), expected, atol=0.02)


def test_frames_are_written_only_where_nodes_are_and_refer_to_the_slice_at_their_place(axial):
    dataset = opened(axial[1])

    # Lump: slices 2 to 4; ring: 6 and 7; single voxel: 10.
    assert int(dataset.NumberOfFrames) == 6
    by_uid = {image.SOPInstanceUID: image for image in ct_slices()}
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        position = by_uid[source.ReferencedSOPInstanceUID].ImagePositionPatient
        np.testing.assert_allclose(frame.PlanePositionSequence[0].ImagePositionPatient, position)
    assert dataset.ReferencedSeriesSequence[0].SeriesInstanceUID == ct_slices()[0].SeriesInstanceUID
    assert dataset.FrameOfReferenceUID == ct_slices()[0].FrameOfReferenceUID
    assert dataset.PatientID == ct_slices()[0].PatientID


def test_segments_tell_what_they_are_who_made_them_and_what_is_known():
    ct = series()
    dataset = seg(node_set(ct), ct)
    first, third = dataset.SegmentSequence[0], dataset.SegmentSequence[2]

    assert first.SegmentDescription == "GLNet score 0.87, proximal to the primary tumor, SUVmax 7.2"
    assert first.SegmentedPropertyTypeCodeSequence[0].CodeValue == "59441001"
    assert first.SegmentAlgorithmType == "AUTOMATIC"
    assert first.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "osln"
    assert first.TrackingID == "lymph node 1"
    assert third.TrackingID == "lymph node 4"
    assert "SegmentDescription" not in third
    assert dataset.SeriesDescription == "OSLN Label: predicted lymph nodes, not reviewed"
    assert dataset.ContentDescription == "Research, not for clinical use"
    assert [segment.SegmentNumber for segment in dataset.SegmentSequence] == [1, 2, 3]
    assert len({segment.TrackingUID for segment in dataset.SegmentSequence}) == 3


def test_an_approved_label_names_its_annotator_revision_and_time(tmp_path):
    ct = series()
    read = read_seg(stored(seg(node_set(ct, APPROVAL), ct), tmp_path), ct)

    assert (read.ours, read.approved, read.revision, read.creator) == (True, True, 3, "Anna Nadel^")
    assert read.created == AT
    assert not read_seg(stored(seg(node_set(ct), ct), tmp_path), ct).approved
    assert seg(node_set(ct, APPROVAL), ct).SegmentSequence[0].SegmentAlgorithmType == "MANUAL"


def test_a_node_keeps_its_tracking_uid_through_the_revisions_of_an_approved_label():
    ct = series()
    before = seg(node_set(ct, APPROVAL), ct).SegmentSequence
    less = np.where(node_set(ct).labels == 1, 0, node_set(ct).labels)
    after = seg(NodeSet(less, ct.grid, (Node(2), Node(4)), Author(True, AT, revision=4)), ct).SegmentSequence

    assert [item.TrackingUID for item in after] == [item.TrackingUID for item in before[1:]]


def test_two_predictions_do_not_share_tracking_uids():
    ct = series()
    moved = np.roll(node_set(ct).labels, 1, axis=0)
    other = NodeSet(moved, ct.grid, node_set(ct).nodes, node_set(ct).author)

    first, second = (
        {item.TrackingUID for item in seg(nodes, ct).SegmentSequence} for nodes in (node_set(ct), other)
    )
    assert not first & second


def test_a_patient_without_nodes_has_one_segment_with_one_frame_without_pixels(tmp_path):
    ct = series()
    dataset = stored(seg(empty_set(ct), ct), tmp_path)
    read = read_seg(dataset, ct)

    assert int(dataset.NumberOfFrames) == 1
    assert not dataset.pixel_array.any()
    assert [segment.name for segment in read.segments] == ["lymph node"]
    assert read.approved
    assert not read.mask().any()
    assert read.segments[0].description == "this patient has no lymph nodes to mark"


@pytest.mark.parametrize("make", [node_set, empty_set])
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_dciodvfy_finds_no_error(make, name, tmp_path, require):
    ct = series(ORIENTATIONS[name])
    for author in (node_set(ct).author, APPROVAL):
        stored(seg(make(ct, author), ct), tmp_path)
        check_with_dciodvfy(tmp_path / "result.dcm", require)


def test_a_ct_without_names_still_gets_a_valid_object(tmp_path, require):
    lacking = ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID")
    ct = series(**dict.fromkeys(lacking))
    stored(seg(node_set(ct), ct), tmp_path)
    check_with_dciodvfy(tmp_path / "result.dcm", require)


@pytest.mark.parametrize("method", [None, "names and dates replaced"])
def test_a_de_identified_ct_gives_objects_that_say_so_and_no_pseudonym_in_the_log(
    method, tmp_path, require, recwarn
):
    ct = series(PatientName="PSEUDONYM", PatientIdentityRemoved="YES", DeidentificationMethod=method)
    for dataset in (seg(node_set(ct), ct), rtstruct(node_set(ct), ct)):
        back = stored(dataset, tmp_path)
        assert (back.PatientName, back.PatientIdentityRemoved) == ("PSEUDONYM", "YES")
        assert back.DeidentificationMethod == (method or "as the CT; not stated there")
        check_with_dciodvfy(tmp_path / "result.dcm", require)
    assert not [warning for warning in recwarn if "PSEUDONYM" in str(warning.message)]


def test_more_than_255_nodes_are_kept_apart(tmp_path):
    ct = series()
    labels = np.zeros(ct.grid.shape, dtype=np.uint16)
    labels[:, :13, 5] = np.arange(1, 261).reshape(20, 13)
    nodes = NodeSet(labels, ct.grid, tuple(Node(number) for number in range(1, 261)), APPROVAL)

    np.testing.assert_array_equal(read_seg(stored(seg(nodes, ct), tmp_path), ct).labels(), labels)


def test_nodes_of_another_grid_are_not_written():
    ct = series()

    with pytest.raises(ValueError, match="do not lie on the grid"):
        seg(node_set(series(ORIENTATIONS["oblique"])), ct)
    assert isinstance(seg(node_set(ct), ct), Dataset)


CT = series()
DRAWN = encoded(seg(node_set(CT), CT))


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=60)
@given(CHANGES)
def test_a_damaged_object_gives_voxels_on_the_ct_or_a_refusal(changes):
    read = refusal_or(read_seg, changed(DRAWN, changes), CT)

    if isinstance(read, ValueError):
        assert str(read)
    else:
        assert read.mask().shape == CT.grid.shape
