"""A phantom as the DICOM studies that a hospital would have of such a patient.

Planning CT and structure set are one study. A misregistered phantom has had its PET/CT on an earlier day:
another study with its own frame of reference and the PET's own CT, which an import has to register. The PET
of an aligned phantom is a further series of the planning study.

The patients are called PHANTOM, and every image says what in it is synthetic, so that nobody takes them for
people. The same phantom has the same UIDs, dates and doses in every run.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset

from osln.dicom.colors import node_color
from osln.dicom.nodes import MANUFACTURER
from osln.dicom.reading.dose import F18_HALF_LIFE_S
from osln.dicom.reading.slices import Slice
from osln.dicom.reading.source import ct_series
from osln.dicom.writing.images import axial, ct_images, pet_images
from osln.dicom.writing.rtstruct import Heading, Roi, structure_set
from osln.imaging.grid import Grid
from osln.phantom.parameters import GENERATOR_VERSION
from osln.phantom.patient.pet_ct import pet_ct
from osln.phantom.patient.plan import seed_streams
from osln.phantom.patient.scan import Phantom
from osln.phantom.planted.background import RealBackground

TUMOR_NAME = "GTVp"
NODE_NAME = "GTVn"
TUMOR_COLOR = (255, 200, 0)
PLANNING, STRUCTURES, PET, PET_CT = "planning-ct", "structures", "pet", "pet-ct"
"""Folders of the series, and their names in `dicom_series`."""
SYNTHETIC = "Synthetic phantom, not a person"
PLANTED = "Real CT with synthetic nodes and PET, not for any patient"

_FIRST_DAY = datetime(2024, 1, 8, 9, 30)
_FRAME_MS = 150_000
_F18 = ("77004003", "^18^Fluorine")
_FDG = ("35321007", "Fluorodeoxyglucose F^18^")


def dicom_series(case: str, phantom: Phantom, *, approve: bool) -> dict[str, list[FileDataset]]:
    """Every series of a phantom, by the name of its folder.

    Args:
        case: names the patient: "phantom-01" becomes PHANTOM^01.
        phantom: what to write; see `osln.phantom.written.store.write_case` for the same as a store's case.
        approve: contour the true nodes as well, one region each.

    Returns:
        "planning-ct", "structures" and "pet", and "pet-ct" where the phantom is misregistered.
    """
    uid = _uids(case, phantom)
    rng = np.random.default_rng(seed_streams(phantom.seed)["examinations"])
    planned_at = _FIRST_DAY + timedelta(days=int(rng.integers(0, 365)), minutes=int(rng.integers(0, 300)))
    days, waited_min = int(rng.integers(3, 15)), float(rng.uniform(55, 75))
    weight_kg, dose_mbq_per_kg = round(float(rng.uniform(50, 100)), 1), float(rng.uniform(3.0, 4.5))
    origin_mm = rng.uniform(-40, 40, 3)

    planted = isinstance(phantom.patient.background, RealBackground)
    person = _person(case, weight_kg, PLANTED if planted else SYNTHETIC)
    planning = _study(person, uid, "planning", "Radiotherapy planning", planned_at)
    ct = axial(phantom.ct_hu, Grid(phantom.ct_hu.shape, phantom.affine))
    common = _ct_common(planning, uid, "planning", 2, "Planning CT", planned_at)
    series = {PLANNING: ct_images(ct, common, lambda k: uid(f"planning ct image {k}"))}
    series[STRUCTURES] = [_structures(phantom, series[PLANNING], uid, planned_at, approve=approve)]

    examined, examined_at, shift_mm = planning, planned_at + timedelta(minutes=10), np.zeros(3)
    frame = "planning"
    if phantom.motion is not None:
        examined_at = planned_at - timedelta(days=days, hours=-2)
        examined = _study(person, uid, "examination", "PET/CT", examined_at)
        # Every examination has an origin of its own.
        shift_mm, frame = origin_mm, "examination"
        own = pet_ct(phantom)
        common = _ct_common(examined, uid, frame, 2, "CT of the PET/CT", examined_at)
        moved = axial(own.array, Grid(own.array.shape, _shifted(own.grid.affine, shift_mm)))
        series[PET_CT] = ct_images(moved, common, lambda k: uid(f"pet ct image {k}"))
        examined_at += timedelta(minutes=5)
    common = _pet_common(examined, uid, frame, examined_at, waited_min, 1e6 * dose_mbq_per_kg * weight_kg)
    pet = axial(phantom.pet_suv, Grid(phantom.pet_suv.shape, _shifted(phantom.pet_affine, shift_mm)))
    series[PET] = pet_images(pet, common, lambda k: uid(f"pet image {k}"))
    return series


def write_dicom_case(root: str | Path, case: str, phantom: Phantom, *, approve: bool) -> None:
    """Write the series of `dicom_series` as files below `<root>/<case>/`, one folder each."""
    for name, images in dicom_series(case, phantom, approve=approve).items():
        folder = Path(root) / case / name
        folder.mkdir(parents=True, exist_ok=True)
        for image in images:
            dcmwrite(folder / f"{int(image.InstanceNumber):04d}.dcm", image, write_like_original=False)


def _uids(case: str, phantom: Phantom) -> Callable[[str], str]:
    """Makes the UID of something of this patient; other images of the same patient have others."""
    made = (GENERATOR_VERSION, case, phantom.seed, phantom.motion is None, phantom.affine.tolist())
    owner = hashlib.sha256(repr(made).encode() + phantom.ct_hu.tobytes()).hexdigest()
    return lambda what: f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{owner} {what}').int}"


def _shifted(affine: np.ndarray, shift_mm: np.ndarray) -> np.ndarray:
    moved = affine.copy()
    moved[:3, 3] += shift_mm
    return moved


def _person(case: str, weight_kg: float, note: str) -> Dataset:
    """A patient that cannot be mistaken for one, and what the images show instead."""
    person = Dataset()
    person.SpecificCharacterSet = "ISO_IR 192"
    person.PatientName = case.upper().replace("-", "^", 1)
    person.PatientID = case.upper()
    person.PatientBirthDate, person.PatientSex = "19500101", "O"
    person.PatientWeight = str(weight_kg)
    person.QualityControlImage, person.ImageComments = "YES", note
    return person


def _study(person: Dataset, uid: Callable[[str], str], name: str, title: str, at: datetime) -> Dataset:
    study = Dataset()
    study.update(person)
    study.StudyInstanceUID = uid(f"{name} study")
    study.StudyDate, study.StudyTime = _date(at), _time(at)
    study.StudyID, study.StudyDescription = at.strftime("%y%m%d"), f"Phantom: {title}"
    study.AccessionNumber = study.ReferringPhysicianName = ""
    study.InstitutionName = "Phantom cohort"
    study.Manufacturer, study.ManufacturerModelName = MANUFACTURER, "osln.phantom"
    study.SoftwareVersions = GENERATOR_VERSION
    return study


def _series(
    study: Dataset, uid: Callable[[str], str], frame: str, number: int, title: str, at: datetime
) -> Dataset:
    series = Dataset()
    series.update(study)
    series.SeriesInstanceUID = uid(f"{title} series")
    series.FrameOfReferenceUID = uid(f"{frame} frame of reference")
    series.PositionReferenceIndicator = ""
    series.SeriesNumber, series.SeriesDescription = number, f"Phantom: {title}"
    series.SeriesDate, series.SeriesTime = _date(at), _time(at)
    series.AcquisitionDate, series.AcquisitionTime = _date(at), _time(at)
    series.ContentDate, series.ContentTime = _date(at), _time(at)
    series.AcquisitionNumber = 1
    series.BodyPartExamined = "CHEST"
    return series


def _ct_common(
    study: Dataset, uid: Callable[[str], str], frame: str, number: int, title: str, at: datetime
) -> Dataset:
    common = _series(study, uid, frame, number, title, at)
    common.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    common.PatientPosition, common.KVP = "HFS", "120"
    common.WindowCenter, common.WindowWidth = "40", "400"
    return common


def _pet_common(
    study: Dataset, uid: Callable[[str], str], frame: str, at: datetime, waited_min: float, dose_bq: float
) -> Dataset:
    """FDG, attenuation-corrected, one frame of 2.5 minutes for the whole field."""
    common = _series(study, uid, frame, 3, "PET", at)
    common.ImageType = ["ORIGINAL", "PRIMARY"]
    common.CountsSource, common.SeriesType = "EMISSION", ["STATIC", "IMAGE"]
    common.CorrectedImage = ["DECY", "ATTN", "SCAT", "NORM"]
    common.AttenuationCorrectionMethod = "none needed: a phantom"
    common.CollimatorType = "NONE"
    common.ActualFrameDuration = _FRAME_MS
    injected = at - timedelta(minutes=waited_min)
    isotope = Dataset()
    isotope.Radiopharmaceutical = "FDG"
    isotope.RadionuclideTotalDose = str(round(dose_bq))
    isotope.RadionuclideHalfLife = str(F18_HALF_LIFE_S)
    isotope.RadionuclidePositronFraction = "0.967"
    isotope.RadiopharmaceuticalStartTime = _time(injected)
    isotope.RadiopharmaceuticalStartDateTime = injected.strftime("%Y%m%d%H%M%S")
    isotope.RadionuclideCodeSequence = [_code(*_F18)]
    isotope.RadiopharmaceuticalCodeSequence = [_code(*_FDG)]
    common.RadiopharmaceuticalInformationSequence = [isotope]
    recumbent = _code("102538003", "recumbent")
    recumbent.PatientOrientationModifierCodeSequence = [_code("40199007", "supine")]
    common.PatientOrientationCodeSequence = [recumbent]
    common.PatientGantryRelationshipCodeSequence = [_code("102540008", "headfirst")]
    return common


def _structures(
    phantom: Phantom,
    planning: list[FileDataset],
    uid: Callable[[str], str],
    at: datetime,
    *,
    approve: bool,
) -> FileDataset:
    """The tumor as region 1 and, where wanted, node n as region n + 1."""
    ct = ct_series([Slice(Path(), image) for image in planning])
    labels = phantom.tumor.astype(np.uint16)
    rois = [Roi(1, TUMOR_NAME, TUMOR_COLOR, kind="GTV")]
    if approve:
        nodes = phantom.nodes > 0
        labels[nodes] = phantom.nodes[nodes] + 1
        rois += [
            Roi(int(n) + 1, f"{NODE_NAME} {n}", node_color(int(n)), kind="GTV")
            for n in np.unique(phantom.nodes[nodes])
        ]
    drawn = "structures with nodes" if approve else "structures"
    heading = Heading(
        "Phantom: contours", "PHANTOM", at + timedelta(days=1), note=planning[0].ImageComments,
        series_uid=uid(f"{drawn} series"), instance_uid=uid(drawn),
    )  # fmt: skip
    return structure_set(labels, Grid(labels.shape, phantom.affine), rois, ct, heading)


def _code(value: str, meaning: str) -> Dataset:
    """A code of SNOMED CT."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _date(at: datetime) -> str:
    return at.strftime("%Y%m%d")


def _time(at: datetime) -> str:
    return at.strftime("%H%M%S")
