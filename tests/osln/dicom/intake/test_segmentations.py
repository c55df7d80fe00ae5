"""Segmentations of other programs beside CT and PET: by names, told, never in place of a structure set."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from osln.cli.import_ import words
from osln.dicom.intake.case_plans import plan_cases
from osln.dicom.nodes import NodeSet
from osln.dicom.reading.files import LocalSource
from osln.dicom.writing.from_store import local_time
from osln.dicom.writing.rtstruct import rtstruct
from osln.dicom.writing.segmentation import seg
from osln.dicom.writing.tumor_seg import tumor_seg
from osln.store.approved import approved_study
from osln.store.layout import companions
from small.dicom import ct_slices, structure_set, uid, write_dicom
from small.foreign_seg import foreign
from small.nodes import APPROVAL, empty_set, node_set, series
from small.study import pet, regions, run
from small.zones import BERLIN, UTC, local_zone


def study(folder, *items):
    write_dicom(folder / "ct", ct_slices())
    write_dicom(folder / "pet", pet())
    write_dicom(folder / "labels", items)
    return folder


def told(report, tmp_path):
    return words(report, tmp_path / "report.json")


def voxels(store, folder, case):
    return np.asarray(nib.load(store / folder / f"{case}.nii.gz").dataobj)


def test_segments_are_read_by_their_names_and_everything_is_told(tmp_path):
    report = run(study(tmp_path / "in", foreign("GTVp", "LN 4R", "Heart")), tmp_path / "store")

    [manifest] = report.imported
    sizes = np.bincount(node_set(series()).labels.ravel())
    assert voxels(tmp_path / "store", "labels/gtv", manifest["case"]).sum() == sizes[1]
    nodes = voxels(tmp_path / "store", "nodes", manifest["case"])
    assert np.bincount(nodes.ravel())[1:].tolist() == [sizes[2]]
    screen = told(report, tmp_path)
    assert f"tumor: GTVp, {sizes[1] * 15 / 1000:.2f} ml" in screen
    assert f"nodes: 1 (ml: LN 4R {sizes[2] * 15 / 1000:.2f})" in screen
    assert "not taken: Heart (no rule names it)" in screen
    assert "taken: SEG series 7 (1 files) gives the labels: no structure set lies on this CT" in screen
    assert "taken: PT series 1 (6 files) is the PET" in screen
    assert not any("contour the primary tumor" in warning for warning in manifest["warnings"])
    again = run(tmp_path / "in", tmp_path / "store")
    assert [item["state"] for item in again.present] == ["imported before"]


def test_parts_of_a_segment_are_nodes_and_touching_segments_stay_apart(tmp_path):
    ct = series()
    labels = node_set(ct, APPROVAL).labels.copy()
    labels[labels > 0] = 0
    labels[2:4, 2:4, 2:4], labels[4:6, 2:4, 2:4], labels[10:12, 2:4, 2:4] = 1, 2, 4
    item = foreign("LN 1", "LN 2", "LN 3")
    drawn = seg(NodeSet(labels, ct.grid, node_set(ct).nodes, APPROVAL), ct)
    for keyword in ("PixelData", "NumberOfFrames", "Rows", "Columns", "PerFrameFunctionalGroupsSequence"):
        setattr(item, keyword, getattr(drawn, keyword))
    item.SharedFunctionalGroupsSequence = drawn.SharedFunctionalGroupsSequence
    [manifest] = run(study(tmp_path / "in", item), tmp_path / "store").imported

    assert [node["voxels"] for node in manifest["nodes"]] == [8, 8, 8]
    learned = approved_study(companions(tmp_path / "store", manifest["case"])).nodes.array
    assert learned.max() == 3


def test_a_segment_is_decided_as_a_region_is(tmp_path):
    folder = study(tmp_path / "in", foreign("GTV1", "Lesion", "Heart"))
    report = run(folder, tmp_path / "store")
    assert not report.imported and report.ambiguous["GTV1"] == 1

    [manifest] = run(folder, tmp_path / "store", "GTV1=tumor", "Lesion=node").imported
    assert [node["region"] for node in manifest["nodes"]] == ["Lesion"]


def test_a_structure_set_goes_before_a_segmentation_and_this_is_told(tmp_path):
    items = [structure_set(ct_slices(), regions()), foreign("GTVp", "LN 4R", "Heart")]
    report = run(study(tmp_path / "in", *items), tmp_path / "store")

    assert report.imported[0]["tumor"]["regions"] == ["GTVp"]
    assert len(report.imported[0]["nodes"]) == 2
    assert "note: SEG series 7 (1 files) was left out: the structure set of this CT goes before it" in told(
        report, tmp_path
    )


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"SegmentationType": "FRACTIONAL"}, "is of type FRACTIONAL"),
        (
            {"ContentLabel": "SEGMENTATION", "SoftwareVersions": "0", "DeviceSerialNumber": "1"},
            "exported by OHIF, whose export is mirrored along z",
        ),
    ],
)
def test_a_segmentation_that_cannot_be_used_is_left_out_with_the_reason(tmp_path, tags, reason):
    report = run(study(tmp_path / "in", foreign("GTVp", "LN 4R", "Heart", **tags)), tmp_path / "store")

    assert report.imported[0]["tumor"] is None and report.imported[0]["nodes"] == []
    screen = told(report, tmp_path)
    assert "note: SEG series 7 (1 files) was left out: " in screen and reason in screen
    assert "gives the labels" not in screen
    again = run(tmp_path / "in", tmp_path / "store")
    assert [item["state"] for item in again.present] == ["imported before"]


def test_the_newest_of_several_is_taken_and_predictions_of_this_program_are_not(tmp_path):
    old = foreign("GTVp", "Heart", "Heart", name="old", ContentDate="20190101")
    new = foreign("GTVp", "LN 4R", "Heart", name="new", ContentDate="20210101", SeriesNumber=8)
    ct = series()
    predicted = seg(node_set(ct), ct)
    report = run(study(tmp_path / "in", old, new, predicted), tmp_path / "store")

    assert len(report.imported[0]["nodes"]) == 1
    screen = told(report, tmp_path)
    assert "not taken: SEG series 7 (1 files): a newer segmentation lies on this CT" in screen
    assert "a prediction of this program, which nobody has reviewed" in screen


def test_a_prediction_as_a_structure_set_displaces_no_clinical_one(tmp_path):
    ct = series()
    clinical = structure_set(ct_slices(), regions())
    report = run(study(tmp_path / "in", clinical, rtstruct(node_set(ct), ct)), tmp_path / "store")

    [manifest] = report.imported
    assert manifest["tumor"]["regions"] == ["GTVp"]
    assert [node["region"] for node in manifest["nodes"]] == ["GTV_N1", "LN 4R"]
    assert manifest["left out"] == [
        "RTSTRUCT series 9001 (1 files): a prediction of this program, which nobody has reviewed"
    ]


def test_a_prediction_alone_is_no_label_and_does_not_choose_the_ct(tmp_path):
    ct = series()
    [manifest] = run(study(tmp_path / "in", seg(node_set(ct), ct)), tmp_path / "store").imported

    assert manifest["tumor"] is None and manifest["nodes"] == []
    assert manifest["chosen"][0] == "CT series 1 (12 files) is the patient's only CT"
    assert len(manifest["left out"]) == 1


def test_approved_nodes_replace_those_of_an_older_structure_set_and_leave_its_tumor(tmp_path):
    ct = series()
    clinical = structure_set(ct_slices(), regions())
    ours = rtstruct(node_set(ct, APPROVAL), ct)
    [manifest] = run(study(tmp_path / "in", clinical, ours), tmp_path / "store").imported

    assert manifest["tumor"]["regions"] == ["GTVp"]
    assert [node["region"] for node in manifest["nodes"]] == ["lymph node 1", "lymph node 2", "lymph node 4"]
    kinds = {region["name"]: region["kind"] for region in manifest["structures"]["regions"]}
    assert kinds["LN 4R"] == "other" and kinds["GTVp"] == "tumor"
    assert "RTSTRUCT series 9001 (1 files) gives the nodes: approved with this program" in manifest["chosen"]


def test_a_newer_structure_set_goes_before_approved_nodes_and_this_is_told(tmp_path):
    ct = series()
    clinical = structure_set(ct_slices(), regions(), StructureSetDate="20270101")
    [manifest] = run(
        study(tmp_path / "in", clinical, seg(node_set(ct, APPROVAL), ct)), tmp_path / "store"
    ).imported

    assert [node["region"] for node in manifest["nodes"]] == ["GTV_N1", "LN 4R"]
    assert "the nodes approved with this program are older than RTSTRUCT" in manifest["warnings"][0]


@pytest.mark.parametrize("zone", [UTC, BERLIN])
@pytest.mark.parametrize(("hour", "regions_taken"), [(10, 3), (8, 2)])
def test_newer_is_what_was_made_at_the_later_instant_whatever_the_zones(tmp_path, zone, hour, regions_taken):
    """The structure set is of 11:00 in a zone two hours before UTC, the approved nodes of `hour` UTC."""
    tags = {"StructureSetDate": "20260706", "StructureSetTime": "110000", "TimezoneOffsetFromUTC": "+0200"}
    clinical, ct = structure_set(ct_slices(), regions(), **tags), series()
    with local_zone(zone):
        author = replace(APPROVAL, at=local_time(f"2026-07-06T{hour:02}:00:00+00:00"))
        ours = seg(node_set(ct, author), ct)
        [manifest] = run(study(tmp_path / "in", clinical, ours), tmp_path / "store").imported

    assert len(manifest["nodes"]) == regions_taken
    older = [told for told in manifest["warnings"] if "approved with this program are older" in told]
    assert len(older) == (hour == 8)


ORGANS = ("Heart", "Lung", "Spleen")
OHIF = {"ContentLabel": "SEGMENTATION", "SoftwareVersions": "0", "DeviceSerialNumber": "1"}


@pytest.mark.parametrize(
    ("names", "tags", "reason"),
    [
        (ORGANS, {"SegmentationType": "FRACTIONAL"}, "is of type FRACTIONAL"),
        (("GTVp", "LN 4R", "Heart"), OHIF, "exported by OHIF"),
        (ORGANS, {}, "it has neither tumor nor node"),
        (("GTVp", "Heart", "Lung"), {}, None),
    ],
)
def test_a_newer_set_displaces_no_approved_nodes_if_it_has_none(tmp_path, names, tags, reason):
    ct = series()
    newer = foreign(*names, ContentDate="20270101", **tags)
    [manifest] = run(study(tmp_path / "in", seg(node_set(ct, APPROVAL), ct), newer), tmp_path / "s").imported

    regions = [node["region"] for node in manifest["nodes"]]
    assert regions == ["lymph node 1", "lymph node 2", "lymph node 4"]
    assert "SEG series 9002 (1 files) gives the nodes: approved with this program" in manifest["chosen"]
    assert bool(manifest["tumor"]) == (reason is None)
    gives = "SEG series 7 (1 files) gives the labels: no structure set lies on this CT"
    assert (gives in manifest["chosen"]) == (reason is None)
    left = [told for told in manifest["warnings"] if told.startswith("SEG series 7 (1 files) was left out: ")]
    assert len(left) == (reason is not None) and all(reason in told for told in left)


@pytest.mark.parametrize("unusable", [{"SegmentationType": "FRACTIONAL"}, OHIF, {}])
def test_an_older_set_is_used_where_newer_ones_have_nothing_to_use(tmp_path, unusable):
    older = foreign("GTVp", "LN 4R", "Heart", name="old", ContentDate="20190101")
    newer = foreign(*ORGANS, ContentDate="20270101", SeriesNumber=8, **unusable)
    folder = study(tmp_path / "in", older, newer)
    [manifest] = run(folder, tmp_path / "store").imported

    assert manifest["tumor"]["regions"] == ["GTVp"] and len(manifest["nodes"]) == 1
    assert "SEG series 7 (1 files) gives the labels: no structure set lies on this CT" in manifest["chosen"]
    assert any(told.startswith("SEG series 8 (1 files) was left out: ") for told in manifest["warnings"])
    assert [item["state"] for item in run(folder, tmp_path / "store").present] == ["imported before"]


def test_a_structure_set_of_organs_alone_displaces_nothing(tmp_path):
    ct, lung = ct_slices(), {"Lung": regions()["GTVp"]}
    organs = structure_set(ct, lung, name="organs", StructureSetDate="20270101", SeriesNumber=3)
    clinical = structure_set(ct, regions())
    [manifest] = run(study(tmp_path / "a", organs, clinical), tmp_path / "a store").imported
    assert manifest["tumor"]["regions"] == ["GTVp"] and len(manifest["nodes"]) == 2
    told = "RTSTRUCT series 3 (1 files) was left out: it has neither tumor nor node"
    assert told in manifest["warnings"]

    [manifest] = run(
        study(tmp_path / "b", organs, foreign("GTVp", "LN 4R", "Heart")), tmp_path / "b store"
    ).imported
    assert len(manifest["nodes"]) == 1 and told in manifest["warnings"]
    assert (
        "SEG series 7 (1 files) gives the labels: no structure set has tumor or nodes" in manifest["chosen"]
    )

    [manifest] = run(study(tmp_path / "c", organs), tmp_path / "c store").imported
    assert manifest["tumor"] is None and [r["name"] for r in manifest["structures"]["regions"]] == ["Lung"]


def test_our_tumor_and_our_nodes_on_one_ct_are_both_taken(tmp_path):
    ct = series()
    labels = node_set(ct, APPROVAL)
    tumor = np.zeros(ct.grid.shape, bool)
    tumor[8:10, 8:10, 3:6] = True
    items = [seg(labels, ct), tumor_seg(tumor, ct, APPROVAL)]
    [manifest] = run(study(tmp_path / "in", *items), tmp_path / "store").imported

    assert manifest["tumor"] == {"regions": ["tumor"], "volume_mm3": 12 * 15.0}
    assert len(manifest["nodes"]) == 3


@pytest.mark.parametrize("written", [seg, rtstruct])
def test_a_patient_whom_a_person_has_approved_without_nodes_is_approved_without_nodes(tmp_path, written):
    ct = series()
    clinical = structure_set(ct_slices(), regions())
    report = run(study(tmp_path / "in", clinical, written(empty_set(ct), ct)), tmp_path / "store")

    [manifest] = report.imported
    assert manifest["approved"] and manifest["nodes"] == [] and manifest["tumor"]["regions"] == ["GTVp"]
    assert not voxels(tmp_path / "store", "labels/final", manifest["case"]).any()
    assert "nodes: 0" in told(report, tmp_path)
    # Decided to be something else, its nodes are none that anybody has approved.
    other = run(
        study(tmp_path / "other", written(node_set(ct, APPROVAL), ct)),
        tmp_path / "else",
        *(f"lymph node {number}=ignore" for number in (1, 2, 4)),
    )
    assert not other.imported[0]["approved"]


def test_nodes_of_a_review_in_part_are_no_label_of_another_store(tmp_path):
    ct = series()
    whole = node_set(ct)
    part = replace(whole, author=replace(whole.author, approved=True, undecided=2))
    structures = rtstruct(part, ct)
    report = run(study(tmp_path / "in", seg(part, ct), structures), tmp_path / "store")

    assert report.imported[0]["nodes"] == []
    assert told(report, tmp_path).count("nodes of a case that was reviewed in part") == 2


def test_without_structure_sets_the_ct_of_a_segmentation_is_the_planning_ct(tmp_path):
    write_dicom(tmp_path / "in" / "other", ct_slices(name="other", SeriesNumber=3))
    folder = study(tmp_path / "in", foreign("GTVp", "LN 4R", "Heart"))
    with LocalSource(folder) as source:
        [plan], skipped = plan_cases(source.series())

    assert plan.ct.uid == uid("ct-series") and not skipped
    assert plan.chosen[0] == (
        "CT series 1 (12 files) is the planning CT: a segmentation refers to it (1 other CTs are not)"
    )
    assert plan.left_out == ["CT series 3 (12 files): another CT is the planning CT"]
