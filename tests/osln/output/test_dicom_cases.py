"""DICOM studies as cases: converted as by an import, named without the patient, left as they are."""

import json
import shutil
from datetime import datetime

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from osln.dicom.reading.segmentation import read_seg
from osln.dicom.reading.source import read_ct_series
from osln.imaging.grid import Grid, read_volume, write_volume
from osln.phantom import make_phantom
from osln.phantom.written.dicom_study import PLANNING, write_dicom_case
from small.dicom import IDENTITY
from small.study import study


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(3, spacing_mm=(4.0, 4.0, 5.0), misregistered=False)


@pytest.fixture(scope="module")
def phantom_dicom(phantom, tmp_path_factory):
    """An aligned phantom as DICOM."""
    folder = tmp_path_factory.mktemp("dicom")
    write_dicom_case(folder, "phantom-01", phantom, approve=False)
    return folder


@pytest.mark.slow
def test_a_folder_of_studies_gives_label_map_seg_and_rtstruct_on_the_ct(tmp_path, bright, phantom_dicom):
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in phantom_dicom.rglob("*.dcm")}
    [outcome] = bright([phantom_dicom], out, "ct-stratified", dicom=("seg", "rtstruct"))
    assert outcome.state == "done" and outcome.candidates > 0
    assert {path: path.read_bytes() for path in phantom_dicom.rglob("*.dcm")} == before

    series = read_ct_series(phantom_dicom / "phantom-01" / PLANNING)
    labels = read_volume(out / f"{outcome.case}.nii.gz")
    assert labels.grid.matches(series.grid)
    seg = read_seg(out / f"{outcome.case}.seg.dcm", series)
    marked = np.zeros(labels.array.shape, bool)
    for segment in seg.segments:
        marked |= seg.mask(segment.name)
    np.testing.assert_array_equal(marked, labels.array > 0)
    structures = pydicom.dcmread(out / f"{outcome.case}.rtstruct.dcm")
    told = pydicom.dcmread(out / f"{outcome.case}.seg.dcm").TimezoneOffsetFromUTC
    assert told == structures.TimezoneOffsetFromUTC == datetime.now().astimezone().strftime("%z")
    assert len(structures.StructureSetROISequence) == outcome.kept
    told = json.loads((out / f"{outcome.case}.json").read_text())
    assert told["candidates"][0]["zone"] in ("proximal", "distal")
    assert [
        one.state for one in bright([phantom_dicom], out, "ct-stratified", dicom=("seg", "rtstruct"))
    ] == ["present"]


@pytest.mark.slow
def test_image_files_find_the_dicom_of_their_ct_among_others(tmp_path, bright, phantom, phantom_dicom):
    [first] = bright([phantom_dicom], tmp_path / "first")
    store = tmp_path / "store"
    store.mkdir()
    write_volume(store / "p1.nii.gz", phantom.ct_hu, Grid(phantom.ct_hu.shape, phantom.affine))
    [outcome] = bright([store], tmp_path / "out", dicom=("seg",), ct_dicom=phantom_dicom)
    assert outcome.state == "done" and outcome.kept == first.kept
    [refused] = bright([store], tmp_path / "none", dicom=("seg",))
    assert "--ct-dicom" in refused.reason and not (tmp_path / "none" / "p1.nii.gz").exists()
    other = study(tmp_path / "other")
    [refused] = bright([store], tmp_path / "none", dicom=("seg",), ct_dicom=other)
    assert "does not hold the DICOM images of the CT of case p1" in refused.reason


@pytest.mark.slow
def test_another_copy_of_the_ct_is_another_series_to_refer_to(tmp_path, bright, phantom, phantom_dicom):
    store, own = tmp_path / "store", phantom_dicom / "phantom-01" / PLANNING
    store.mkdir()
    write_volume(store / "p1.nii.gz", phantom.ct_hu, Grid(phantom.ct_hu.shape, phantom.affine))
    series = generate_uid()
    for path in own.rglob("*.dcm"):
        header = pydicom.dcmread(path)
        if header.Modality == "CT":
            header.SeriesInstanceUID, header.SOPInstanceUID = series, generate_uid()
            header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
            header.save_as(tmp_path / path.name)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in tmp_path.glob("*.dcm"):
        path.rename(copy / path.name)

    def state(folder, *forms):
        return bright([store], tmp_path / "out", dicom=forms, ct_dicom=folder)[0].state

    def referred(form):
        return pydicom.dcmread(tmp_path / "out" / f"p1.{form}.dcm")

    assert state(own, "seg", "rtstruct") == "done" and state(own, "seg") == state(own) == "present"
    assert state(copy, "seg") == "done" and state(copy, "seg") == state(copy) == "present"
    assert referred("seg").ReferencedSeriesSequence[0].SeriesInstanceUID == series
    # That of the former series does not stay beside it.
    assert not (tmp_path / "out" / "p1.rtstruct.dcm").exists()


def test_nothing_that_is_written_names_the_patient_unless_that_is_asked_for(tmp_path, bright):
    folder = study(tmp_path / "in")
    [outcome] = bright([folder], tmp_path / "out")
    written = "".join(
        path.name + path.read_text(errors="ignore") for path in (tmp_path / "out").glob("*.json")
    )
    assert not [word for word in IDENTITY.values() if len(word) > 1 and word in written]
    assert outcome.case.startswith("case-")
    [named] = bright([folder], tmp_path / "named", keep_identity=True)
    assert named.case.startswith(IDENTITY["PatientID"])


def test_a_case_has_one_name_wherever_its_files_lie(tmp_path, bright):
    folder = study(tmp_path / "in")
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "in")
    [first] = bright([folder], tmp_path / "out")
    [again] = bright([moved], tmp_path / "out")
    assert first.state == "done" and (again.case, again.state) == (first.case, "present")


def test_files_that_were_corrected_in_place_are_looked_at_again(tmp_path, bright):
    folder = study(tmp_path / "in")
    assert [bright([folder], tmp_path / "out")[0].state for _ in range(2)] == ["done", "present"]
    for path in folder.rglob("*.dcm"):
        header = pydicom.dcmread(path)
        if header.Modality == "PT":
            header.PatientWeight = "60"
            header.save_as(path)
    assert [bright([folder], tmp_path / "out")[0].state for _ in range(2)] == ["done", "present"]


def test_a_study_that_lacks_what_the_row_needs_is_refused_in_words(tmp_path, bright):
    folder = study(tmp_path / "in")
    for path in folder.rglob("*.dcm"):
        if pydicom.dcmread(path, stop_before_pixels=True).Modality == "RTSTRUCT":
            path.unlink()
    [outcome] = bright([folder], tmp_path / "out", "ct-stratified")
    assert outcome.state == "failed" and "it has no tumor, and is required to have it" in outcome.reason
