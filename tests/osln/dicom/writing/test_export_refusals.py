"""What the export refuses: another CT, results that do not belong together; never with a file left behind."""

import json

import numpy as np
import pydicom
import pytest
from isal import igzip

from osln.dicom.writing import from_store
from osln.dicom.writing.export import export_case
from osln.files.images import nifti_bytes
from osln.store.revisions import label_revisions
from small.dicom import AXIAL, OBLIQUE, body, ct_slices, uid, write_dicom
from small.export import FEET, HEAD, RESULT, at, export, mask_of, result, seg_of, store, submit, write
from small.meanwhile import meanwhile
from small.parts import submit_in_part

__all__ = ["store"]


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


def test_a_case_in_part_is_refused_unless_asked_for_and_then_marked_everywhere(store):
    submit(store, mask_of(FEET))
    submit_in_part(store, "p1", undecided=[[[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]]] * 3)
    with pytest.raises(ValueError, match=r"p1 was reviewed in part, 3 candidates are undecided, and a plan"):
        export(store)
    assert not (store.parent / "out").exists()

    exported = export(store, in_part=True)

    assert [path.name for path in exported.paths] == ["p1-in-part.seg.dcm", "p1-in-part.rtstruct.dcm"]
    assert exported.warnings[0].startswith("REVIEWED IN PART, 3 candidates undecided: not for planning. ")
    marked = "OSLN Label: IN PART, not for planning, revision 2"
    seg, structures = map(pydicom.dcmread, exported.paths)
    assert seg.SeriesDescription == structures.SeriesDescription == structures.StructureSetName == marked
    assert seg.ContentLabel == "OSLN_IN_PART" and structures.StructureSetLabel == "OSLN IN PART"
    assert seg.ContentDescription == "REVIEWED IN PART, 3 candidates undecided: not for planning. Rese"
    assert structures.StructureSetDescription == exported.warnings[0]
    read = seg_of(exported, store)
    assert read.ours and not read.approved and read.revision is None

    submit_in_part(store, "p1", complete=True)
    assert export(store).paths[0].name == "p1-final.seg.dcm"


def test_a_label_in_part_that_came_back_from_a_backup_is_refused_too(store):
    part = submit(store, mask_of(FEET))
    submit_in_part(store, "p1", undecided=[[[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]]])
    submit(store, mask_of(HEAD))
    kept = label_revisions(store, "p1", "final")
    kept.final.write_bytes(kept.path(part.revision).read_bytes())
    refused(store, "p1 was reviewed in part, 1 candidates are undecided")


def test_a_label_that_becomes_one_in_part_while_it_is_read_is_not_taken_for_complete(store, monkeypatch):
    submit(store, mask_of(FEET, HEAD))
    fewer = igzip.compress(nifti_bytes(mask_of(FEET), AXIAL))
    box = [[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]]
    meanwhile(
        monkeypatch,
        from_store,
        "read_label_map",
        lambda: submit_in_part(store, "p1", label=fewer, undecided=[box]),
    )
    refused(store, "p1 was reviewed in part, 1 candidates are undecided")


def test_voxels_and_their_author_are_of_one_revision_also_while_another_is_stored(store, monkeypatch):
    submit(store, mask_of(FEET), by="Anna")
    calls = meanwhile(
        monkeypatch, from_store, "read_label_map", lambda: submit(store, mask_of(HEAD), by="Berta")
    )
    read = seg_of(export(store), store)
    assert (read.revision, read.creator) == (2, "Berta^") and len(calls) > 1
    np.testing.assert_array_equal(at(read, "lymph node 2"), mask_of(HEAD))
