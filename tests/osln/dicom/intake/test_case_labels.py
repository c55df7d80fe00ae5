"""Regions become one tumor and numbered nodes; what a person should know about them is told."""

import numpy as np
import pytest

from osln.dicom.intake.case_labels import AmbiguousNamesError, case_labels
from osln.dicom.intake.roi_names import load_rules
from osln.dicom.reading.rtstruct import structures_of
from osln.imaging.grid import Grid, canonical
from small.dicom import AXIAL, SHAPE, box_contours, ct_slices, structure_set, uid

GRID = canonical(np.zeros(SHAPE), Grid(SHAPE, AXIAL)).grid


def labels_of(*choices, **boxes):
    named = {name: [c for box in them for c in box_contours(AXIAL, *box)] for name, them in boxes.items()}
    structures = structures_of(structure_set(ct_slices(), named))
    return case_labels(structures, load_rules(None, choices), GRID, uid("frame"))


def test_parts_of_one_region_are_nodes_of_their_own():
    labels = labels_of(GTVn=[((4, 6), (4, 6), range(2, 4)), ((10, 13), (8, 10), range(6, 9))])

    assert labels.tumor is None and labels.nodes.dtype == np.uint16
    # Numbered from the patient's left, where the x axis begins.
    assert [(item["label"], item["region"], item["voxels"]) for item in labels.instances] == [
        (1, "GTVn", 18), (2, "GTVn", 8),
    ]  # fmt: skip
    assert np.unique(labels.nodes).tolist() == [0, 1, 2]


def test_touching_nodes_of_two_regions_stay_apart():
    labels = labels_of(GTVn1=[((4, 6), (4, 6), range(2, 4))], GTVn2=[((6, 8), (4, 6), range(2, 4))])

    assert [item["voxels"] for item in labels.instances] == [8, 8]
    assert labels.warnings == []


def test_voxels_of_two_nodes_belong_to_the_first():
    labels = labels_of(GTVn1=[((4, 8), (4, 6), range(2, 4))], GTVn2=[((6, 10), (4, 6), range(2, 4))])

    assert [item["voxels"] for item in labels.instances] == [16, 8]
    assert labels.warnings == [
        "8 of 16 voxels of region 'GTVn2' lie inside nodes contoured before, and count there only"
    ]


def test_node_inside_another_is_told():
    labels = labels_of(GTVn1=[((4, 9), (4, 9), range(2, 6))], GTVn2=[((5, 7), (5, 7), range(3, 5))])

    assert len(labels.instances) == 1
    assert labels.warnings[0] == "a part of region 'GTVn2' lies wholly inside nodes contoured before"


def test_a_node_in_the_gap_of_another_is_not_overwritten_by_what_is_interpolated():
    # The first node lacks slice 4, where the second one is drawn.
    boxes = {"GTVn1": [((4, 9), (4, 9), (2, 3, 5, 6))], "GTVn2": [((5, 7), (5, 7), [4])]}
    for order in (boxes, dict(reversed(boxes.items()))):
        labels = labels_of(**order)

        assert {item["region"]: item["voxels"] for item in labels.instances} == {"GTVn1": 121, "GTVn2": 4}
        assert (
            "4 interpolated voxels of region 'GTVn1' are drawn in another node, and count there only"
            in labels.warnings
        )


def test_several_tumor_regions_are_united_and_told():
    labels = labels_of(
        **{"GTVp G": [((4, 6), (4, 6), range(2, 4))], "GTVp D": [((9, 11), (4, 6), range(2, 4))]}
    )

    assert labels.tumor.sum() == 16 and labels.nodes is None
    assert labels.warnings == ["the primary tumor is the union of 2 regions: GTVp G, GTVp D"]


def test_tumor_and_node_that_overlap_are_told():
    labels = labels_of(GTVp=[((4, 8), (4, 6), range(2, 4))], GTVn=[((7, 10), (4, 6), range(2, 4))])

    assert labels.tumor.sum() == 16 and labels.instances[0]["voxels"] == 12
    assert labels.warnings == ["4 voxels lie in the tumor and in a node"]


def test_what_every_region_was_taken_for_is_kept():
    labels = labels_of(
        "Stuff=node", GTV=[((4, 8), (4, 6), range(2, 4))], Stuff=[((9, 12), (4, 6), range(2, 4))], Heart=[]
    )

    assert [(region["name"], region["kind"], region["contours"]) for region in labels.regions] == [
        ("GTV", "tumor", 2), ("Stuff", "node", 2), ("Heart", "other", 0),
    ]  # fmt: skip
    assert labels.warnings == [
        "region 'GTV' was taken for the tumor: the only gross tumor volume that is not named as a node"
    ]


def test_ambiguous_regions_stop_everything_unless_they_are_empty():
    box = ((4, 8), (4, 6), range(2, 4))
    with pytest.raises(AmbiguousNamesError, match="GTV1=ignore") as refused:
        labels_of(GTVp=[box], GTV1=[box])

    assert refused.value.names == ("GTV1",)
    assert labels_of(GTVp=[box], GTV1=[]).tumor.sum() == 16


def test_node_too_small_for_a_voxel_is_left_out_and_told():
    tiny = structure_set(
        ct_slices(), {"GTVn": [box_contours(AXIAL, (4, 5), (4, 5), [2])[0] * 0 + [0.9, 0.9, -34]]}
    )

    labels = case_labels(structures_of(tiny), load_rules(), GRID, uid("frame"))

    assert labels.nodes is None and not labels.instances
    assert any("region 'GTVn' was left out: it holds no voxel of the CT" in said for said in labels.warnings)


def test_a_node_of_points_is_left_out_and_told():
    ds = structure_set(
        ct_slices(),
        {
            "GTVp": box_contours(AXIAL, (4, 8), (4, 6), [2, 3]),
            "GTVn": box_contours(AXIAL, (9, 12), (4, 6), [2]),
        },
    )
    for contour in ds.ROIContourSequence[1].ContourSequence:
        contour.ContourGeometricType = "POINT"

    labels = case_labels(structures_of(ds), load_rules(), GRID, uid("frame"))

    assert labels.tumor.sum() == 16 and labels.nodes is None
    assert labels.warnings[0].startswith(
        "region 'GTVn' was left out: its 1 contours are points or open lines"
    )
