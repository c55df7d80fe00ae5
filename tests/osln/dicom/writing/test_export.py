"""Export of a store's cases: the right nodes with what is known about them, at the right places."""

import gzip
import json
import subprocess
import sys

import numpy as np
import pydicom
import pytest

from small.contours import regions_of
from small.dicom import AXIAL, OBLIQUE, SHAPE, body, ct_slices, write_dicom
from small.export import (
    FEET,
    HEAD,
    RESULT,
    at,
    export,
    mask_of,
    predict,
    result,
    seg_of,
    store,
    submit,
    write,
)
from small.nodes import check_with_dciodvfy
from small.segmentation import segmentation

__all__ = ["store"]


def test_an_approved_label_becomes_one_region_per_connected_part(store, require):
    submit(store, mask_of(FEET, HEAD))
    exported = export(store)
    seg, rtstruct = exported.paths

    assert (exported.nodes, exported.warnings) == (2, ())
    assert (seg.name, rtstruct.name) == ("p1-final.seg.dcm", "p1-final.rtstruct.dcm")
    read = seg_of(exported, store)
    np.testing.assert_array_equal(at(read, "lymph node 1"), mask_of(HEAD))
    np.testing.assert_array_equal(at(read, "lymph node 2"), mask_of(FEET))
    assert (read.approved, read.revision, read.creator) == (True, 1, "Anna Nadel^")
    regions = regions_of(pydicom.dcmread(rtstruct), AXIAL, SHAPE)
    np.testing.assert_array_equal(regions["lymph node 2"], mask_of(FEET))
    check_with_dciodvfy(seg, require)
    check_with_dciodvfy(rtstruct, require)


def test_ten_nodes_that_touch_are_ten_segments_and_ten_regions_also_after_a_revision(store):
    ten = [(slice(1 + n, 2 + n), slice(5, 8), slice(8, 10)) for n in range(10)]
    apart = sum(mask_of(box) * number for number, box in enumerate(ten, 1)).astype(np.uint8)
    submit(store, mask_of(*ten), node_map=apart)
    fewer = np.where(apart == 4, 0, apart)
    submit(store, (fewer > 0).astype(np.uint8), node_map=fewer)
    exported = export(store)
    read = seg_of(exported, store)

    assert exported.nodes == 9
    numbers = [number for number in range(1, 11) if number != 4]
    assert [segment.name for segment in read.segments] == [f"lymph node {number}" for number in numbers]
    regions = regions_of(pydicom.dcmread(exported.paths[1]), AXIAL, SHAPE)
    for number in numbers:
        np.testing.assert_array_equal(at(read, f"lymph node {number}"), mask_of(ten[number - 1]))
        np.testing.assert_array_equal(regions[f"lymph node {number}"], mask_of(ten[number - 1]))


@pytest.mark.parametrize("turn", ["flipped axes", "oblique"])
def test_a_case_stored_in_another_order_of_the_axes_lands_on_the_same_places(turn, tmp_path):
    affine = OBLIQUE if turn == "oblique" else AXIAL
    write_dicom(tmp_path / "ct", ct_slices(affine=affine))
    # The file's first axis runs from the other side, and its second and third are exchanged.
    order = np.eye(4)[:, [0, 2, 1, 3]] @ np.diag([-1, 1, 1, 1])
    order[:3, 3] = [SHAPE[0] - 1, 0, 0]
    write(tmp_path / "store" / "p1.nii.gz", body()[::-1].transpose(0, 2, 1), affine @ order)
    store = tmp_path / "store"
    submit(store, mask_of(FEET)[::-1].transpose(0, 2, 1), affine @ order)

    np.testing.assert_array_equal(at(seg_of(export(store), store), "lymph node 1", affine), mask_of(FEET))


def test_nodes_keep_their_numbers_through_revisions(store):
    submit(store, mask_of(FEET))
    submit(store, mask_of(FEET, HEAD))
    read = seg_of(export(store), store)

    np.testing.assert_array_equal(at(read, "lymph node 1"), mask_of(FEET))
    np.testing.assert_array_equal(at(read, "lymph node 2"), mask_of(HEAD))
    assert read.revision == 2


@pytest.mark.parametrize("name", ["p1.nii.gz", "p1.nii"])
def test_a_label_that_came_back_packed_otherwise_is_still_its_authors(store, name):
    submit(store, mask_of(FEET))
    label = store / "labels" / "final" / "p1.nii.gz"
    unpacked = gzip.decompress(label.read_bytes())
    label.unlink()
    again = gzip.compress(unpacked, mtime=1) if name.endswith(".gz") else unpacked
    label.with_name(name).write_bytes(again)
    exported = export(store)
    assert not exported.warnings and seg_of(exported, store).revision == 1


def test_a_label_that_was_copied_into_the_store_by_hand_has_no_revision_or_name(store):
    submit(store, mask_of(FEET))
    write(store / "labels" / "final" / "p1.nii.gz", mask_of(FEET, HEAD))
    exported = export(store)
    dataset = pydicom.dcmread(exported.paths[0])

    assert "is not revision 1 of Anna Nadel, the newest one" in exported.warnings[0]
    assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == ["lymph node 1", "lymph node 2"]
    assert not dataset.ContentCreatorName
    assert dataset.SeriesDescription == "OSLN Label: approved lymph nodes"


def test_a_former_revision_on_another_grid_is_left_out_with_a_warning(store):
    submit(store, np.ones((4, 4, 4), np.uint8))
    submit(store, mask_of(FEET))
    exported = export(store)

    assert exported.nodes == 1
    assert "revision 1 was not used" in exported.warnings[0]


def test_approved_nodes_know_the_score_of_the_candidate_they_came_from_and_their_zone(store):
    predict(store, mask_of(FEET, HEAD), result())
    grown = mask_of(HEAD)
    grown[4:8, 4, 8] = 1
    submit(store, grown)
    write(store / "labels" / "gtv" / "p1.nii.gz", mask_of((slice(9, 12), slice(4, 7), slice(1, 3))))
    dataset = pydicom.dcmread(export(store).paths[0])

    (segment,) = dataset.SegmentSequence
    # The whole body is within 70 mm of this tumor, whatever the prediction said.
    assert segment.SegmentDescription == "GLNet score 0.60, proximal to the primary tumor"
    assert segment.SegmentAlgorithmType == "SEMIAUTOMATIC"


def test_a_node_that_no_network_found_has_no_score(store):
    predict(store, mask_of(FEET), result() | {"candidates": result()["candidates"][:1]})
    submit(store, mask_of(HEAD))
    dataset = pydicom.dcmread(export(store).paths[0])

    assert "SegmentDescription" not in dataset.SegmentSequence[0]
    assert dataset.SegmentSequence[0].SegmentAlgorithmType == "MANUAL"


def test_a_prediction_that_cannot_be_used_costs_an_approved_label_its_scores_only(store):
    predict(store, mask_of(FEET, HEAD), result() | {"candidates": []})
    submit(store, mask_of(HEAD))
    exported = export(store)

    assert exported.nodes == 1
    assert exported.warnings[0].startswith("scores were left out")


def test_the_stored_prediction_keeps_the_ids_and_scores_of_its_candidates(store):
    predict(store, mask_of(FEET, HEAD), result())
    exported = export(store, what="prediction")
    read = seg_of(exported, store)

    np.testing.assert_array_equal(at(read, "lymph node 1"), mask_of(FEET))
    np.testing.assert_array_equal(at(read, "lymph node 2"), mask_of(HEAD))
    assert [segment.description for segment in read.segments] == [
        "stage one score 0.80, proximal to the primary tumor, SUVmax 5.5",
        "GLNet score 0.60, distal to the primary tumor",
    ]
    assert not read.approved
    dataset = pydicom.dcmread(exported.paths[0])
    assert dataset.ContentDescription == "Research, not for clinical use; weights trained on phantoms"


@pytest.mark.parametrize("numbered", [False, True])
def test_a_candidate_that_stage_two_rejected_is_no_node(numbered, store):
    answer = result() | {"label_names": {"lymph node": 1, "rejected candidate": 2}}
    answer["candidates"][0]["kept"] = False
    label_map = mask_of(HEAD) + 2 * mask_of(FEET)
    if numbered:
        answer, label_map = answer | {"label_names": None}, mask_of(FEET) + 2 * mask_of(HEAD)
    predict(store, label_map, answer)
    read = seg_of(export(store, what="prediction"), store)

    assert [segment.name for segment in read.segments] == ["lymph node 2"]
    np.testing.assert_array_equal(at(read, "lymph node 2"), mask_of(HEAD))


def test_a_result_of_numbered_candidates_is_exported_from_its_json_and_label_map(store):
    numbered = mask_of(FEET) + 2 * mask_of(HEAD)
    write(store.parent / "answer.nii.gz", numbered)
    (store.parent / "answer.json").write_text(json.dumps({"params": result()}))
    exported = export(store, what=str(store.parent / "answer.json"), formats=("seg",))

    assert [path.name for path in exported.paths] == ["p1-prediction-answer.seg.dcm"]
    np.testing.assert_array_equal(at(seg_of(exported, store), "lymph node 2"), mask_of(HEAD))


@pytest.mark.parametrize("what", ["final", "prediction"])
def test_a_patient_without_nodes_is_exported_as_such(what, store, require):
    submit(store, mask_of())
    predict(store, mask_of(), RESULT | {"candidates": []})
    exported = export(store, what=what)

    assert exported.nodes == 0
    assert not seg_of(exported, store).mask().any()
    for path in exported.paths:
        check_with_dciodvfy(path, require)


@pytest.mark.slow
def test_the_command_line_writes_files_and_refuses_without_a_traceback(store):
    submit(store, mask_of(FEET))
    command = [sys.executable, "-m", "osln", "export", str(store), "p1"]
    command += ["--ct", str(store.parent / "ct"), "--what", "final", "--format", "both"]
    done = subprocess.run(
        [*command, "--out", str(store.parent / "out")], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "p1-final.seg.dcm: 1 nodes" in done.stdout
    assert (store.parent / "out" / "p1-final.rtstruct.dcm").is_file()
    command[command.index("final")] = "prediction"
    failed = subprocess.run(
        [*command, "--out", str(store.parent / "no")], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("case p1 has no stored prediction")
    assert not (store.parent / "no").exists()


def test_the_name_of_a_result_makes_it_no_approved_label(store):
    submit(store, mask_of(FEET, HEAD))
    approved = {path.name: path.read_bytes() for path in export(store).paths}
    write(store.parent / "final.nii.gz", mask_of(FEET) + 2 * mask_of(HEAD))
    (store.parent / "final.json").write_text(json.dumps({"params": result()}))
    exported = export(store, what=str(store.parent / "final.json"))

    assert [path.name for path in exported.paths] == [
        "p1-prediction-final.seg.dcm", "p1-prediction-final.rtstruct.dcm",
    ]  # fmt: skip
    assert {name: (store.parent / "out" / name).read_bytes() for name in approved} == approved


@pytest.mark.parametrize(
    ("person", "written"),
    [
        ("HOSPITAL\\anna", "HOSPITAL anna"),
        ("A=B^C", "A B C"),
        ("Anna\nNadel", "Anna Nadel"),
        ("x" * 128, "x" * 63),
        ("", ""),
    ],
)
def test_a_name_of_any_characters_is_one_name_in_both_forms(store, person, written):
    submit(store, mask_of(FEET), by=person)
    seg, rtstruct = (pydicom.dcmread(path) for path in export(store).paths)
    assert str(seg.get("ContentCreatorName") or "") == (f"{written}^" if written else "")
    for item in (rtstruct["OperatorsName"], rtstruct.RTROIObservationsSequence[0]["ROIInterpreter"]):
        assert item.VM == bool(written) and str(item.value or "") == written


@pytest.mark.parametrize("characters", ["ISO_IR 192", "ISO_IR 144", "ISO_IR 100", None])
def test_names_of_any_alphabet_come_back_in_both_forms(store, characters):
    names = {"ISO_IR 192": "Иванов^Юрий", "ISO_IR 144": "Иванов^Юрий", "ISO_IR 100": "Müller^Jörg"}
    tags = {"SpecificCharacterSet": characters, "PatientName": names.get(characters, "Doe^Jane")}
    write_dicom(store.parent / "ct", ct_slices(**tags, ReferringPhysicianName=tags["PatientName"]))
    for person in ("Anna Nadel", "Łukasz Żółć"):
        submit(store, mask_of(FEET), by=person)
        seg, rtstruct = (pydicom.dcmread(path) for path in export(store).paths)
        for dataset in (seg, rtstruct):
            assert str(dataset.PatientName) == str(dataset.ReferringPhysicianName) == tags["PatientName"]
        assert str(seg.ContentCreatorName) == f"{person}^"
        assert str(rtstruct.OperatorsName) == person
        # The CT's own characters stay for systems that read no others, as long as they can say everything.
        kept = characters is not None and (person == "Anna Nadel" or characters == "ISO_IR 192")
        assert seg.SpecificCharacterSet == rtstruct.SpecificCharacterSet
        assert seg.SpecificCharacterSet == (characters if kept else "ISO_IR 192")


def test_a_label_in_layers_is_exported_whole(store):
    final = store / "labels" / "final" / "p1.seg.nrrd"
    final.parent.mkdir(parents=True)
    segmentation(final, [mask_of(FEET), mask_of(HEAD)], AXIAL, [(0, 1, "a"), (1, 1, "b")])
    final.rename(final.with_name("p1.nrrd"))
    exported = export(store)
    assert exported.nodes == 2
    segmentation(final, [mask_of(FEET), mask_of(FEET)], AXIAL, [(0, 1, "a"), (1, 1, "b")])
    final.rename(final.with_name("p1.nrrd"))
    with pytest.raises(ValueError, match="segments that lie over each other"):
        export(store)
