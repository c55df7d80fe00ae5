"""Export of a store's cases: the right nodes on the right CT, and no file where anything does not fit."""

import json
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from isal import igzip

from osln.dicom.export import export_case
from osln.dicom.seg import read_seg
from osln.dicom.source import read_ct_series
from osln.imagefile import nifti_bytes, write_atomically
from osln.revisions import Revisions
from small_contours import regions_of
from small_dicom import AXIAL, OBLIQUE, SHAPE, body, ct_slices, uid, write_dicom
from small_nodes import check_with_dciodvfy

HEAD = (slice(4, 8), slice(5, 8), slice(8, 10))
FEET = (slice(11, 14), slice(9, 12), slice(2, 4))
RESULT = {
    "model": "osln",
    "models": {"ct": {"version": "a", "sha256": "12ab", "trained_on": "phantom"}},
    "label_names": {"lymph node": 1},
}


def to_mm(box, affine=AXIAL):
    center = np.array([(part.start + part.stop - 1) / 2 for part in box])
    return (affine[:3, :3] @ center + affine[:3, 3]).tolist()


def result(affine=AXIAL):
    """JSON of an inference with a candidate at the feet and one at the head."""
    feet = {"id": 1, "center_mm": to_mm(FEET, affine), "radius_mm": 3.5, "score": 0.8, "zone": "proximal"}
    head = {"id": 2, "center_mm": to_mm(HEAD, affine), "radius_mm": 4.5, "score": 0.3, "stage_two_score": 0.6}
    return RESULT | {"candidates": [feet | {"suv_max": 5.5}, head | {"zone": "distal", "suv_max": None}]}


def mask_of(*boxes):
    mask = np.zeros(SHAPE, dtype=np.uint8)
    for box in boxes:
        mask[box] = 1
    return mask


def write(path, array, affine=AXIAL):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, igzip.compress(nifti_bytes(array, affine)))


def submit(store, mask, affine=AXIAL, by="Anna Nadel"):
    kept = Revisions(store / ".osln" / "p1", store / "labels" / "final" / "p1.nii.gz")
    kept.final.parent.mkdir(parents=True, exist_ok=True)
    with kept.lock():
        return kept.submit(igzip.compress(nifti_bytes(mask, affine)), by=by, source="submission")


def predict(store, mask, params, affine=AXIAL):
    write(store / "labels" / "original" / "p1.nii.gz", mask, affine)
    labels = {"original": {"info": {"params": params}}}
    (store / "datastore_v2.json").write_text(json.dumps({"objects": {"p1": {"labels": labels}}}))


@pytest.fixture
def store(tmp_path):
    """A store with one case without labels; its CT's DICOM files lie in the folder ct."""
    write(tmp_path / "store" / "p1.nii.gz", body())
    write_dicom(tmp_path / "ct", ct_slices())
    return tmp_path / "store"


def export(store, **options):
    return export_case(store, "p1", store.parent / "ct", store.parent / "out", **options)


def seg_of(exported, store):
    (path,) = (path for path in exported.paths if path.name.endswith(".seg.dcm"))
    return read_seg(path, read_ct_series(store.parent / "ct"))


def at(read, name, affine=AXIAL):
    """Voxels (i, j, k) of a segment in the order of the case's file."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    for voxel in np.argwhere(read.mask(name)):
        mm = read.grid.index_to_mm(voxel)
        i, j, k = np.rint(np.linalg.solve(affine[:3, :3], mm - affine[:3, 3])).astype(int)
        mask[i, j, k] = 1
    return mask


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


def test_a_label_that_was_copied_into_the_store_by_hand_has_no_revision_or_name(store):
    submit(store, mask_of(FEET))
    write(store / "labels" / "final" / "p1.nii.gz", mask_of(FEET, HEAD))
    dataset = pydicom.dcmread(export(store).paths[0])

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

    assert [path.name for path in exported.paths] == ["p1-answer.seg.dcm"]
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


def refused(store, words, **options):
    with pytest.raises(ValueError, match=words):
        export(store, **options)
    assert not (store.parent / "out").exists()


def replaced_ct(store, slices):
    for path in (store.parent / "ct").iterdir():
        path.unlink()
    write_dicom(store.parent / "ct", slices)


def moved():
    affine = AXIAL.copy()
    affine[0, 3] += 1.0
    return ct_slices(affine=affine)


@pytest.mark.parametrize(
    ("slices", "words"),
    [
        (moved, "the CT of case p1 does not lie on the voxels of this CT series"),
        (lambda: ct_slices(affine=OBLIQUE), "the CT of case p1 does not lie on the voxels"),
        (lambda: ct_slices()[:-1], "the CT of case p1 does not lie on the voxels"),
        (lambda: ct_slices()[:4] + ct_slices()[6:], "slices of the CT are missing"),
        (lambda: ct_slices(body() + np.int16(30)), "another patient or another reconstruction"),
        (lambda: ct_slices() + ct_slices(name="other"), "holds 2 CT series"),
        (lambda: ct_slices(FrameOfReferenceUID=None), "the CT images have no FrameOfReferenceUID"),
        (lambda: [], "there are no CT images"),
    ],
)
def test_another_ct_than_the_case_s_is_refused_in_words(slices, words, store):
    submit(store, mask_of(FEET))
    replaced_ct(store, slices())

    refused(store, words)


def test_a_tilted_ct_is_refused_since_its_volume_is_resampled(store):
    slices = ct_slices()
    for k, image in enumerate(slices):
        x, y, z = image.ImagePositionPatient
        image.ImagePositionPatient = [x, float(y) + 0.5 * k, z]
    submit(store, mask_of(FEET))
    replaced_ct(store, slices)

    refused(store, "gantry tilt")


def test_one_of_several_series_is_chosen_by_its_uid(store):
    submit(store, mask_of(FEET))
    replaced_ct(store, ct_slices() + ct_slices(name="other"))

    exported = export(store, series_uid=uid("other-series"), formats=("rtstruct",))
    assert exported.nodes == 1
    with pytest.raises(ValueError, match=r"no CT series 1\.2"):
        export(store, series_uid="1.2")


def test_what_is_not_there_is_told(store):
    refused(store, "no approved nodes yet")
    refused(store, "no stored prediction with candidates", what="prediction")
    refused(store, "cannot be read as the JSON of a result", what="aproved")
    refused(store, "there is no format dicom", formats=("dicom",))
    (store.parent / "answer.json").write_text("[1]")
    refused(store, "no JSON object", what=str(store.parent / "answer.json"))
    with pytest.raises(ValueError, match="no case 'p2'"):
        export_case(store, "p2", store.parent / "ct", store.parent / "out")
    with pytest.raises(ValueError, match="there is no folder"):
        export_case(store, "p1", store.parent / "nowhere", store.parent / "out")


def test_a_result_without_its_label_map_or_with_another_is_refused(store):
    answer = store.parent / "answer.json"
    answer.write_text(json.dumps(result()))
    refused(store, "expected one label map beside answer.json", what=str(answer))
    refused(store, "there is no label map", what=str(answer), label_map=store / "none.nii.gz")
    write(store.parent / "answer.nii.gz", mask_of(FEET))
    refused(store, r"candidates \[2\] have no voxels", what=str(answer))
    write(store.parent / "answer.nii.gz", mask_of(FEET), OBLIQUE)
    refused(store, "the label lies on another grid than the CT", what=str(answer))
    write(store.parent / "answer.nii.gz", mask_of(FEET))
    answer.write_text(json.dumps(RESULT))
    refused(store, "no list of candidates", what=str(answer), label_map=store.parent / "answer.nii.gz")


def test_the_command_line_writes_files_and_refuses_without_a_traceback(store, repository):
    submit(store, mask_of(FEET))
    command = [sys.executable, str(repository / "scripts" / "export_dicom.py"), str(store), "p1"]
    command += ["--ct", str(store.parent / "ct"), "--what", "final", "--format", "both"]
    done = subprocess.run([*command, str(store.parent / "out")], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "p1-final.seg.dcm: 1 nodes" in done.stdout
    assert (store.parent / "out" / "p1-final.rtstruct.dcm").is_file()
    command[command.index("final")] = "prediction"
    failed = subprocess.run([*command, str(store.parent / "no")], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("export_dicom.py: case p1 has no stored prediction")
    assert not (store.parent / "no").exists()
