"""A phantom written as DICOM studies is imported as the same patient."""

import datetime
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from osln.__main__ import main
from osln.dicom.reading.files import LocalSource, slices_of
from osln.dicom.reading.volume import read_ct, read_pet
from osln.imaging.grid import Grid, read_volume
from osln.phantom import Phantom, make_phantom
from osln.phantom.patient.pet import shown_at
from osln.phantom.planted.planting import plant
from osln.phantom.planted.real_ct import survey
from osln.phantom.written.dicom_study import PET, PET_CT, PLANNING, STRUCTURES, dicom_series, write_dicom_case
from osln.store.layout import companions, load_study
from small.nodes import check_with_dciodvfy
from small.planting import given_ct
from small.study import run


@cache
def phantom(misregistered: bool = False, spacing_mm: float = 4.0) -> Phantom:
    return make_phantom(3, spacing_mm=(spacing_mm, spacing_mm, 5.0), misregistered=misregistered)


def first_headers(folder: Path) -> dict:
    return {
        path.parent.name: pydicom.dcmread(path, stop_before_pixels=True) for path in folder.rglob("0001.dcm")
    }


@pytest.mark.slow
def test_an_aligned_phantom_is_imported_voxel_by_voxel(tmp_path):
    made = phantom()
    write_dicom_case(tmp_path / "in", "phantom-01", made, approve=True)

    report = run(tmp_path / "in", tmp_path / "store")

    [manifest] = report.imported
    assert report.skipped == [] and report.problems == []
    case = manifest["case"]
    study = load_study(companions(tmp_path / "store", case))
    np.testing.assert_array_equal(study.ct.array, made.ct_hu)
    assert study.ct.grid.matches(Grid(made.ct_hu.shape, made.affine), tolerance_mm=1e-3)
    np.testing.assert_array_equal(study.tumor.array, made.tumor)
    # Half of the step of the stored integers: each slice's highest value is 32767.
    step = made.pet_suv.max(axis=(0, 1)) / 32767
    assert (np.abs(study.pet.array - made.pet_suv).max(axis=(0, 1)) <= 0.5 * step + 1e-6).all()
    assert study.pet.grid.matches(Grid(made.pet_suv.shape, made.pet_affine), tolerance_mm=1e-3)
    assert manifest["pet"]["registration"] == "same frame of reference as the CT: not moved"
    np.testing.assert_array_equal(
        read_volume(tmp_path / "store" / "labels" / "final" / f"{case}.nii.gz").array > 0, made.nodes > 0
    )
    regions = [(r["name"], r["kind"]) for r in manifest["structures"]["regions"]]
    count = int(made.nodes.max())
    assert regions == [("GTVp", "tumor"), *((f"GTVn {n}", "node") for n in range(1, count + 1))]


def test_without_approval_only_the_tumor_is_contoured():
    [structures] = dicom_series("phantom-01", phantom(), approve=False)[STRUCTURES]

    assert [roi.ROIName for roi in structures.StructureSetROISequence] == ["GTVp"]
    assert structures.RTROIObservationsSequence[0].RTROIInterpretedType == "GTV"


@pytest.mark.slow
def test_the_pet_of_another_day_has_its_own_study_frame_and_ct(tmp_path):
    made = phantom(misregistered=True)
    write_dicom_case(tmp_path, "phantom-07", made, approve=False)

    headers = first_headers(tmp_path)

    assert set(headers) == {PLANNING, STRUCTURES, PET, PET_CT}
    assert headers[PET].StudyInstanceUID == headers[PET_CT].StudyInstanceUID
    assert headers[STRUCTURES].StudyInstanceUID == headers[PLANNING].StudyInstanceUID
    assert headers[PET].StudyInstanceUID != headers[PLANNING].StudyInstanceUID
    assert headers[PET].FrameOfReferenceUID == headers[PET_CT].FrameOfReferenceUID
    assert headers[PET].FrameOfReferenceUID != headers[PLANNING].FrameOfReferenceUID
    assert len({header.SeriesInstanceUID for header in headers.values()}) == 4
    assert {str(header.PatientName) for header in headers.values()} == {"PHANTOM^07"}
    days = [datetime.datetime.strptime(headers[name].StudyDate, "%Y%m%d") for name in (PET, PLANNING)]
    assert 3 <= (days[1] - days[0]).days <= 14


@pytest.mark.slow
def test_the_pet_and_its_own_ct_show_the_same_place(tmp_path):
    made = phantom(misregistered=True)
    write_dicom_case(tmp_path, "phantom-01", made, approve=False)
    volumes = {}
    with LocalSource(tmp_path) as source:
        for series in source.series():
            read = {"CT": read_ct, "PT": read_pet}.get(series.modality)
            if read:
                volumes[series.paths[0].parent.name] = read(slices_of(source.paths(series))).volume

    # Lung points of the planning CT, carried by the true field, are lung in the PET's CT and dark in the PET.
    ct, moved, pet = (volumes[name] for name in (PLANNING, PET_CT, PET))
    origin = pet.grid.affine[:3, 3] - made.pet_affine[:3, 3]
    lung = np.argwhere(made.ct_hu < -700)
    points = ct.grid.index_to_mm(lung[:: len(lung) // 200])
    carried = shown_at(points, made.motion) + origin
    assert np.mean(values_at(moved, carried) < -500) > 0.9
    assert np.mean(values_at(moved, points) < -500) < 0.7
    assert np.median(values_at(pet, carried)) < 0.8
    assert np.abs(origin).max() > 1


def values_at(volume, points):
    index = np.rint(volume.grid.mm_to_index(points)).astype(int)
    return volume.array[tuple(np.clip(index, 0, np.array(volume.array.shape) - 1).T)]


@pytest.mark.slow
def test_the_import_registers_a_pet_of_another_day(tmp_path):
    made = make_phantom(3, field="body", spacing_mm=(3.0, 3.0, 3.0))
    write_dicom_case(tmp_path / "in", "phantom-01", made, approve=False)

    [manifest] = run(tmp_path / "in", tmp_path / "store").imported

    assert manifest["pet"]["registration"]["method"] == "spline"
    assert "PET's own CT" in " ".join(manifest["chosen"])
    header = first_headers(tmp_path / "in")[PET]
    axial = np.array(header.ImagePositionPatient, float) * [-1, -1, 1]
    # The PET's first voxel in its file is the right-hand corner at the front.
    corner = made.pet_affine @ [made.pet_suv.shape[0] - 1, made.pet_suv.shape[1] - 1, 0, 1]
    origin = axial - corner[:3]
    nodes = np.array([f.center_mm for f in made.findings if f.kind == "node"])
    truth = shown_at(nodes, made.motion) + origin
    transform = sitk.ReadTransform(str(tmp_path / "store/.osln/import" / f"{manifest['case']}.tfm"))
    flip = np.array([-1.0, -1.0, 1.0])
    found = np.array([transform.TransformPoint((point * flip).tolist()) for point in nodes]) * flip
    before, after = (np.linalg.norm(where - truth, axis=1).mean() for where in (nodes, found))
    assert before > 15 and after < 2.5


def test_the_same_phantom_has_the_same_files_and_another_one_other_uids():
    one, again, other = (
        dicom_series(case, phantom(), approve=True) for case in ("phantom-01", "phantom-01", "phantom-02")
    )
    for name in (PLANNING, STRUCTURES, PET):
        assert [image.to_json() for image in one[name]] == [image.to_json() for image in again[name]]
        assert {image.SOPInstanceUID for image in one[name]}.isdisjoint(
            image.SOPInstanceUID for image in other[name]
        )


@pytest.mark.slow
def test_every_image_says_what_is_synthetic():
    for made, told in (
        (phantom(), "Synthetic phantom"),
        (plant(survey(given_ct()), 1), "Real CT with synthetic nodes"),
    ):
        series = dicom_series("phantom-01", made, approve=False)
        for image in (*series[PLANNING], *series[PET]):
            assert image.QualityControlImage == "YES" and image.ImageComments.startswith(told)
        assert series[STRUCTURES][0].StructureSetDescription.startswith(told)


@pytest.mark.slow
@pytest.mark.parametrize("misregistered", [True, False])
def test_dciodvfy_finds_no_error(tmp_path, require, misregistered):
    write_dicom_case(tmp_path, "phantom-01", phantom(misregistered), approve=True)

    files = list(tmp_path.rglob("0001.dcm"))

    assert len(files) == (4 if misregistered else 3)
    for path in files:
        check_with_dciodvfy(path, require)


@pytest.mark.slow
def test_the_command_line_writes_studies(tmp_path):
    arguments = ["--dicom", "--cases", "1", "--field", "column", "--spacing", "5", "5", "5", "--seed", "3"]
    assert main(["phantoms", "--out", str(tmp_path), *arguments]) == 0

    assert {path.name for path in (tmp_path / "phantom-01").iterdir()} == {PLANNING, STRUCTURES, PET, PET_CT}
    # 312 mm in slices of 5 mm.
    assert len(list((tmp_path / "phantom-01" / PLANNING).iterdir())) == 62


def test_splits_have_no_place_among_dicom_studies(tmp_path, capsys):
    assert main(["phantoms", "--out", str(tmp_path), "--dicom", "--cohort"]) == 1
    assert "have no splits" in capsys.readouterr().err
