"""RTSTRUCT: one region per node on the CT's slices, from which the same voxels come back."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest

from osln.dicom.intake.case_labels import case_labels
from osln.dicom.intake.roi_names import load_rules
from osln.dicom.nodes import Node, NodeSet
from osln.dicom.reading.rtstruct import region_voxels, structures_of
from osln.dicom.reading.slices import Slice
from osln.dicom.reading.source import ct_series
from osln.dicom.writing.export import encoded
from osln.dicom.writing.rtstruct import rtstruct
from small.contours import regions_of
from small.dicom import AXIAL, SHAPE, ct_slices
from small.nodes import (
    APPROVAL,
    ORIENTATIONS,
    PREDICTION,
    check_with_dciodvfy,
    empty_set,
    node_set,
    on_grid,
    series,
    shapes,
)


def stored(dataset):
    return pydicom.dcmread(BytesIO(encoded(dataset)))


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_every_voxel_of_a_node_comes_back_from_its_contours(name):
    affine = ORIENTATIONS[name]
    ct = series(affine)
    regions = regions_of(stored(rtstruct(node_set(ct), ct)), affine, SHAPE)

    assert list(regions) == ["lymph node 1", "lymph node 2", "lymph node 4"]
    for number in (1, 2, 4):
        np.testing.assert_array_equal(regions[f"lymph node {number}"], shapes() == number)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_on_a_grid_four_times_as_fine_little_more_than_the_corners_are_lost(name):
    affine = ORIENTATIONS[name]
    ct = series(affine)
    labels = np.zeros(SHAPE, dtype=np.uint16)
    i, j, k = np.indices(SHAPE)
    # A node of 13 mm on voxels of 2 x 2.5 x 3 mm.
    labels[((i - 9.3) * 2) ** 2 + ((j - 7.2) * 2.5) ** 2 + ((k - 6) * 3) ** 2 <= 6.5**2] = 1
    nodes = NodeSet(on_grid(labels, ct), ct.grid, (Node(1),), PREDICTION)
    fine = affine @ np.diag([0.25, 0.25, 1, 1])
    fine[:3, 3] = affine[:3, :3] @ [-0.375, -0.375, 0] + affine[:3, 3]
    mask = regions_of(stored(rtstruct(nodes, ct)), fine, (80, 64, 12))["lymph node 1"]

    assert dice(mask, labels.repeat(4, axis=0).repeat(4, axis=1) == 1) >= 0.93
    assert mask.sum() / 16 == pytest.approx((labels == 1).sum(), rel=0.02)


def test_each_contour_refers_to_the_image_whose_slice_it_lies_on():
    ct = series(ORIENTATIONS["oblique"])
    by_uid = {header.SOPInstanceUID: header for header in ct.headers}
    dataset = stored(rtstruct(node_set(ct), ct))

    contours = [contour for item in dataset.ROIContourSequence for contour in item.ContourSequence]
    # Lump: three slices; ring: two; single voxel: one.
    assert len(contours) == 6
    for contour in contours:
        image = by_uid[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        row, column = np.reshape(image.ImageOrientationPatient, (2, 3)).astype(float)
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        off = (points - np.array(image.ImagePositionPatient, float)) @ np.cross(row, column)
        assert np.abs(off).max() < 1e-3
        assert contour.NumberOfContourPoints == len(points)
        assert contour.ContourGeometricType == "CLOSED_PLANAR"


def test_a_contour_lies_on_its_image_also_where_images_lie_a_bit_off_their_regular_places():
    headers = ct_slices()
    for k, header in enumerate(headers):
        header.ImagePositionPatient[2] += 0.2 * (k % 2)
    ct = ct_series([Slice(Path("none"), header) for header in headers])
    item = stored(rtstruct(node_set(ct), ct)).ROIContourSequence[0]

    places = {header.SOPInstanceUID: float(header.ImagePositionPatient[2]) for header in headers}
    for contour in item.ContourSequence:
        image = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
        assert float(contour.ContourData[2]) == pytest.approx(places[image], abs=1e-4)


def test_the_structure_set_refers_to_all_images_and_the_frame_of_reference_of_the_ct():
    ct = series()
    dataset = stored(rtstruct(node_set(ct), ct))
    frame = dataset.ReferencedFrameOfReferenceSequence[0]
    referred = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]

    assert frame.FrameOfReferenceUID == ct.frame_of_reference_uid
    assert referred.SeriesInstanceUID == ct.series_uid
    assert [item.ReferencedSOPInstanceUID for item in referred.ContourImageSequence] == list(ct.slice_of)
    assert {item.ReferencedFrameOfReferenceUID for item in dataset.StructureSetROISequence} == {
        ct.frame_of_reference_uid
    }
    assert (dataset.PatientID, dataset.StudyInstanceUID) == (
        ct.headers[0].PatientID,
        ct.headers[0].StudyInstanceUID,
    )
    assert dataset.SeriesInstanceUID != ct.series_uid


def test_regions_have_the_node_s_number_color_score_and_zone():
    ct = series()
    dataset = stored(rtstruct(node_set(ct), ct))
    first, _, third = dataset.StructureSetROISequence

    assert (first.ROINumber, first.ROIName) == (1, "lymph node 1")
    assert first.ROIDescription == "GLNet score 0.87, proximal to the primary tumor, SUVmax 7.2"
    assert first.ROIGenerationAlgorithm == "AUTOMATIC"
    assert first.ROIGenerationDescription == "osln 0.1.0"
    assert (third.ROINumber, third.ROIName) == (4, "lymph node 4")
    assert dataset.RTROIObservationsSequence[0].ROIObservationDescription == first.ROIDescription
    assert dataset.RTROIObservationsSequence[2].ReferencedROINumber == 4
    assert list(dataset.ROIContourSequence[2].ROIDisplayColor) == list(Node(4).color)
    assert dataset.ApprovalStatus == "UNAPPROVED"


def test_an_approved_label_names_who_drew_it_but_is_not_approved_for_treatment():
    ct = series()
    dataset = stored(rtstruct(node_set(ct, APPROVAL), ct))

    assert dataset.SeriesDescription == "OSLN Label: approved lymph nodes, revision 3"
    assert dataset.RTROIObservationsSequence[0].ROIInterpreter == "Anna Nadel"
    assert (dataset.StructureSetDate, dataset.StructureSetTime) == ("20260102", "030405")
    assert dataset.StructureSetROISequence[0].ROIGenerationAlgorithm == "MANUAL"
    assert dataset.ApprovalStatus == "UNAPPROVED"


def test_a_patient_without_nodes_has_one_region_without_contours():
    ct = series()
    dataset = stored(rtstruct(empty_set(ct), ct))

    (region,) = dataset.StructureSetROISequence
    assert (region.ROIName, region.ROIDescription) == (
        "lymph node",
        "this patient has no lymph nodes to mark",
    )
    assert "ContourSequence" not in dataset.ROIContourSequence[0]
    assert not regions_of(dataset, AXIAL, SHAPE)["lymph node"].any()


@pytest.mark.parametrize("make", [node_set, empty_set])
@pytest.mark.parametrize("author", [PREDICTION, APPROVAL], ids=["prediction", "approval"])
def test_dciodvfy_finds_no_error(make, author, tmp_path, require):
    ct = series(ORIENTATIONS["oblique"])
    path = tmp_path / "rtstruct.dcm"
    path.write_bytes(encoded(rtstruct(make(ct, author), ct)))

    check_with_dciodvfy(path, require)


def test_a_ct_without_names_still_gets_a_valid_structure_set(tmp_path, require):
    lacking = ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID")
    ct = series(**dict.fromkeys(lacking))
    path = tmp_path / "rtstruct.dcm"
    path.write_bytes(encoded(rtstruct(node_set(ct), ct)))

    check_with_dciodvfy(path, require)


def test_nodes_of_another_grid_are_not_written():
    ct = series()

    with pytest.raises(ValueError, match="do not lie on the grid"):
        rtstruct(node_set(series(ORIENTATIONS["oblique"])), ct)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_import_of_structure_sets_reads_the_same_voxels(name):
    ct = series(ORIENTATIONS[name])
    structures = structures_of(stored(rtstruct(node_set(ct), ct)))

    assert structures.series == {ct.series_uid}
    for region, number in zip(structures.regions, (1, 2, 4), strict=True):
        mask = np.zeros(ct.grid.shape, dtype=bool)
        region_voxels(region, ct.grid, ct.frame_of_reference_uid).paste(mask, True)
        np.testing.assert_array_equal(mask, on_grid(shapes(), ct) == number)


@pytest.mark.parametrize("author", [PREDICTION, APPROVAL], ids=["prediction", "approval"])
def test_a_notch_of_one_slice_and_the_node_in_it_come_back_as_they_were(author):
    ct = series()
    labels = np.zeros(ct.grid.shape, np.uint16)
    # Two columns joined below and above; the second one lacks slice 4, where another node lies.
    labels[4:10, 4:9, 2] = labels[4:10, 4:9, 6] = 1
    labels[4:6, 4:9, 3:6] = 1
    labels[8:10, 4:9, 3] = labels[8:10, 4:9, 5] = 1
    labels[8:10, 5:8, 4] = 2
    nodes = NodeSet(labels, ct.grid, (Node(1), Node(2)), author)

    structures = structures_of(stored(rtstruct(nodes, ct)))
    found = case_labels(structures, load_rules(None, []), ct.grid, ct.frame_of_reference_uid)

    np.testing.assert_array_equal(found.nodes, labels)
    assert found.warnings == []
