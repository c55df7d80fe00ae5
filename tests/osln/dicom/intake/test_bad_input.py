"""What arrives damaged, incomplete or mixed up: an error in words, never half a case."""

import re
import shutil

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from osln.dicom.reading import headers
from osln.dicom.reading.files import LocalSource, slices_of
from osln.dicom.reading.headers import read_header
from osln.dicom.reading.volume import read_ct
from small.dicom import AXIAL, box_contours, ct_slices, pet_slices, structure_set, uid, write_dicom
from small.study import TUMOR, pet, regions, run, study


def files_in(store):
    return sorted(path.name for path in store.rglob("*.nii.gz"))


def test_files_that_are_no_dicom_are_told_and_the_rest_is_imported(tmp_path):
    folder = study(tmp_path / "in")
    (folder / "notes.txt").write_text("not an image")
    (folder / "empty").touch()
    (folder / "header.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x08\x00\x05")

    report = run(folder, tmp_path / "store")

    assert len(report.imported) == 1
    assert sorted(report.problems)[0] == "empty: it is not a DICOM file"
    assert any(problem.startswith("notes.txt: it is not a DICOM file") for problem in report.problems)
    assert any(problem.startswith("header.dcm: it ") for problem in report.problems)


def test_truncated_slice_refuses_the_ct_and_writes_nothing(tmp_path):
    folder = study(tmp_path / "in")
    path = sorted((folder / "a").iterdir())[5]
    path.write_bytes(path.read_bytes()[:-100])

    report = run(folder, tmp_path / "store")

    assert report.imported == [] and files_in(tmp_path / "store") == []
    assert "it is truncated or damaged, copy it again" in report.skipped[0]["reason"]


def test_truncated_structure_set_refuses_the_study(tmp_path):
    folder = study(tmp_path / "in")
    path = next(folder.glob("rs*"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 9 // 10])

    report = run(folder, tmp_path / "store")

    assert report.imported == [] and files_in(tmp_path / "store") == []
    assert report.skipped and "Traceback" not in str(report.skipped)


def test_a_newer_structure_set_that_cannot_be_read_is_told_on_the_case(tmp_path):
    folder = study(tmp_path / "in")
    newer = structure_set(ct_slices(), regions(), name="newer", StructureSetDate="20210101")
    [path] = write_dicom(folder, [newer], "newer")
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 3])

    report = run(folder, tmp_path / "store")

    assert "newer000.dcm: it is truncated or damaged; copy it again" in report.problems
    [manifest] = report.imported
    assert "1 RTSTRUCT files of this patient could not be read" in manifest["warnings"][0]


def test_different_structure_sets_of_one_uid_are_refused_and_copies_are_not(tmp_path):
    folder = study(tmp_path / "in")
    path = next(folder.glob("rs*"))
    (folder / "copy.dcm").write_bytes(path.read_bytes())
    assert len(run(folder, tmp_path / "store").imported) == 1

    other = structure_set(ct_slices(), {"GTVp": regions()["GTVp"]})
    write_dicom(folder, [other], "other")
    report = run(folder, tmp_path / "other store")
    assert report.imported == [] and "have one SOPInstanceUID and differ" in report.skipped[0]["reason"]


def test_one_id_with_both_sexes_is_two_people(tmp_path):
    ct = ct_slices()
    write_dicom(tmp_path / "in", [*ct, structure_set(ct, regions())])
    write_dicom(tmp_path / "in", pet(PatientSex="M"), "pt")

    report = run(tmp_path / "in", tmp_path / "store")

    assert report.imported == [] and "both sexes" in report.skipped[0]["reason"]


def test_patients_are_never_mixed(tmp_path):
    folder = tmp_path / "in"
    study(folder / "one")
    write_dicom(
        folder / "other", pet(name="pet-b", PatientID="P2", PatientName="B", FrameOfReferenceUID=uid("frame"))
    )
    shutil.rmtree(folder / "one" / "b")

    report = run(folder, tmp_path / "store")

    [manifest] = report.imported
    assert manifest["pet"] is None and manifest["warnings"] == ["no PET"]
    assert "only a PET" in report.skipped[0]["reason"]


def test_slices_of_two_patients_in_one_series_are_refused(tmp_path):
    ct = ct_slices()
    ct[3].PatientID = "somebody else"
    write_dicom(tmp_path / "in", [*ct, structure_set(ct, regions())])

    report = run(tmp_path / "in", tmp_path / "store")

    assert report.imported == []
    assert any("images of 2 patients" in item["reason"] for item in report.skipped)


def test_one_id_with_two_birth_dates_is_two_people(tmp_path):
    ct = ct_slices()
    write_dicom(tmp_path / "in", [*ct, structure_set(ct, regions())])
    write_dicom(tmp_path / "in", pet(PatientBirthDate="19600101"), "pt")

    report = run(tmp_path / "in", tmp_path / "store")

    assert report.imported == []
    assert "2 birth dates" in report.skipped[0]["reason"]


def test_structure_set_of_a_missing_ct_is_told(tmp_path):
    folder = study(tmp_path / "in")
    shutil.rmtree(folder / "a")
    write_dicom(folder, ct_slices(name="another"), "ct")

    report = run(folder, tmp_path / "store")

    assert report.imported == [] and files_in(tmp_path / "store") == []
    assert any("refers to a CT that is not here" in item["reason"] for item in report.skipped)
    assert any("the planning CT is not known" in item["reason"] for item in report.skipped)


def test_structure_set_on_the_ct_of_another_patient_is_told(tmp_path):
    ct = ct_slices()
    plan = structure_set(ct, regions(), PatientID="P2", PatientName="B", PatientBirthDate="")
    write_dicom(tmp_path / "in", [*ct, plan])

    report = run(tmp_path / "in", tmp_path / "store")

    assert any("refers to images of another patient" in item["reason"] for item in report.skipped)
    # The CT's own patient has no structure set: imported without a tumor.
    assert [manifest["structures"] for manifest in report.imported] == [None]


def test_contours_outside_the_image_refuse_the_study(tmp_path):
    ct = ct_slices()
    far = [points + np.array([0, 0, 500]) for points in box_contours(AXIAL, *TUMOR)]
    write_dicom(tmp_path / "in", [*ct, structure_set(ct, {"GTVp": far})])

    report = run(tmp_path / "in", tmp_path / "store")

    assert report.imported == [] and files_in(tmp_path / "store") == []
    assert "region 'GTVp': its contours lie outside the image" in report.skipped[0]["reason"]


def test_contours_of_another_frame_of_reference_refuse_the_study(tmp_path):
    ct = ct_slices()
    plan = structure_set(ct, regions())
    plan.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = uid("other frame")
    write_dicom(tmp_path / "in", [*ct, plan])

    assert "another frame of reference" in run(tmp_path / "in", tmp_path / "store").skipped[0]["reason"]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"affine": AXIAL + np.array([[0, 0, 0, 900.0], [0] * 4, [0] * 4, [0] * 4])}, "do not overlap"),
        ({"PatientWeight": None}, "PatientWeight is missing"),
        ({"CorrectedImage": ["DECY"]}, "no PET that gives SUV"),
        ({"Units": "PROPCNTS"}, "no PET that gives SUV"),
    ],
)
def test_pet_that_cannot_be_used_is_left_out_with_its_reason(tmp_path, tags, words):
    ct = ct_slices()
    affine = tags.pop("affine", AXIAL)
    images = pet_slices(np.random.default_rng(0).uniform(1, 9, (8, 8, 6)), affine, **tags)
    write_dicom(tmp_path / "in", [*ct, structure_set(ct, regions())])
    write_dicom(tmp_path / "in", images, "pt")

    [manifest] = run(tmp_path / "in", tmp_path / "store").imported

    assert manifest["pet"] is None and not (tmp_path / "store" / "pet").exists()
    assert any(words in sentence for sentence in manifest["warnings"])


def test_several_cts_without_a_structure_set_ask_which_one(tmp_path):
    write_dicom(tmp_path / "in", [*ct_slices(), *ct_slices(name="second", SeriesNumber=7)])

    report = run(tmp_path / "in", tmp_path / "store")
    reason = report.skipped[0]["reason"]
    assert "2 CTs (CT series" in reason and "CT series 7 (12 files)" in reason and "--ct NUMBER" in reason

    [manifest] = run(tmp_path / "in", tmp_path / "store", wanted_cts=("7",)).imported
    assert "asked for" in manifest["chosen"][0] and manifest["ct"]["SeriesNumber"] == 7


def test_only_ct_without_a_structure_set_is_a_case_without_tumor(tmp_path):
    write_dicom(tmp_path / "in", ct_slices())

    [manifest] = run(tmp_path / "in", tmp_path / "store").imported

    assert files_in(tmp_path / "store") == [f"{manifest['case']}.nii.gz"]
    assert "no structure set: contour the primary tumor in the viewer" in manifest["warnings"]


def test_attribute_of_the_wrong_kind_is_told_without_a_traceback(tmp_path):
    ct = ct_slices()
    plan = structure_set(ct, regions())
    write_dicom(tmp_path / "in", [*ct, plan])
    for path in (tmp_path / "in").iterdir():
        path.write_bytes(path.read_bytes().replace(b"-1024", b"-1x24"))

    report = run(tmp_path / "in", tmp_path / "store")

    assert report.imported == [] and files_in(tmp_path / "store") == []
    assert re.search("damaged|cannot be read", report.skipped[0]["reason"] + " ".join(report.problems))


def test_constant_ct_is_refused(tmp_path):
    write_dicom(tmp_path / "in", ct_slices(np.full((20, 16, 12), 40, np.int16)))

    report = run(tmp_path / "in", tmp_path / "store")

    assert "every voxel of the CT is 40" in report.skipped[0]["reason"]


def test_source_that_is_no_folder_or_archive_is_told(tmp_path):
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "half.zip").write_bytes(b"PK\x03\x04" + b"\0" * 50)

    with pytest.raises(ValueError, match="neither a folder nor a zip archive"):
        LocalSource(tmp_path / "text.txt")
    with pytest.raises(ValueError, match="neither a folder nor a zip archive"):
        LocalSource(tmp_path / "half.zip")
    with pytest.raises(ValueError, match="there is no"):
        LocalSource(tmp_path / "missing")


def test_dicom_without_preamble_is_read(tmp_path):
    [path] = write_dicom(tmp_path, ct_slices()[:1])
    content = path.read_bytes()
    begin = content.index(b"\x08\x00\x08\x00CS")
    bare = tmp_path / "bare.dcm"
    bare.write_bytes(content[begin:])

    assert read_header(bare).PatientID == "H-123456"


def test_a_small_deflated_file_that_unpacks_to_a_huge_one_is_not_unpacked(tmp_path, monkeypatch):
    ds = ct_slices()[0]
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    [good] = write_dicom(tmp_path / "good", [ds])
    assert read_header(good).Rows == ds.Rows

    monkeypatch.setattr(headers, "LARGEST_INFLATED", 100)
    with pytest.raises(ValueError, match="it unpacks to more than"):
        read_header(good)


def test_sizes_that_no_scanner_makes_are_refused_before_a_pixel_is_read(tmp_path):
    slices = ct_slices(Rows=65535, Columns=65535)
    for ds in slices:
        ds.PixelData = b"\0\0"

    with pytest.raises(ValueError, match="the CT claims 65535 x 65535 x 12 voxels; up to 4096 rows"):
        read_ct(slices_of(write_dicom(tmp_path, slices)))
