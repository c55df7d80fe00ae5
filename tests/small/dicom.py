"""Small DICOM studies made in memory: CT, PET and RTSTRUCT, asymmetric in x, y and z.

Arrays are (i, j, k) = (column, row, slice) with an affine to RAS mm, as everywhere in the tests; the patient
axes of DICOM (LPS) and its rows-first pixel order appear only here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from small.geometry import affine_of, turned

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
PET_CLASS = "1.2.840.10008.5.1.4.1.1.128"
RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
FLIP = np.array([-1.0, -1.0, 1.0])
"""RAS to LPS and back."""

SHAPE = (20, 16, 12)
AXIAL = affine_of(np.diag([-2.0, -2.5, 3.0]), (20.0, 30.0, -40.0))
"""Columns run to the patient's left, rows to the back, slices to the head: what most scanners write."""
FLIPPED = affine_of(np.diag([-2.0, -2.5, -3.0]), (20.0, 30.0, -7.0))
"""The same voxels' places with slices that run to the feet, against the normal of the images."""
OBLIQUE = affine_of(turned(20, 12) @ np.diag([-2.0, -2.5, 3.0]), (20.0, 30.0, -40.0))

IDENTITY = {
    "PatientName": "Doe^Jane",
    "PatientID": "H-123456",
    "PatientBirthDate": "19481231",
    "PatientSex": "F",
    "InstitutionName": "General Hospital",
    "AccessionNumber": "A-998877",
    "ReferringPhysicianName": "Quack^Peter",
}


def uid(text: str) -> str:
    """The same UID for the same text."""
    return generate_uid(entropy_srcs=[text])


def body(shape: Sequence[int] = SHAPE) -> np.ndarray:
    """HU of a body in air with one bright corner: no axis can be mirrored unnoticed. (i, j, k) int16."""
    hu = np.full(shape, -1000, np.int16)
    hu[3:-3, 3:-3, :] = 40
    hu[4:8, 5:8, 1:3] = 900
    hu += np.arange(shape[2], dtype=np.int16)
    return hu


def ct_slices(
    hu: np.ndarray | None = None, affine: np.ndarray = AXIAL, *, name: str = "ct", **tags: Any
) -> list[Dataset]:
    """A CT as single slices, stored unsigned with intercept -1024.

    Args:
        hu: (i, j, k) int16 HU, at least -1024; `body()` if not given.
        affine: (4, 4) from voxel index to RAS mm.
        name: Makes the UIDs; `tags` overwrite any attribute (None removes it).
    """
    hu = body() if hu is None else hu
    slices = []
    for k in range(hu.shape[2]):
        ds = _image(hu.shape, affine, k, name, CT_CLASS, "CT")
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
        ds.KVP, ds.ImageType = 120, ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.PixelRepresentation = 0
        ds.PixelData = np.ascontiguousarray((hu[:, :, k].T + 1024).astype("<u2")).tobytes()
        slices.append(_with(ds, tags))
    return slices


def pet_slices(
    bqml: np.ndarray,
    affine: np.ndarray,
    *,
    name: str = "pet",
    slopes: Sequence[float] | None = None,
    **tags: Any,
) -> list[Dataset]:
    """A decay-corrected, attenuation-corrected FDG PET in Bq/ml with one rescale slope per slice.

    Injected at 09:00:00, scanned at 10:00:00, 370 MBq, 70 kg, half-life 6586.2 s.
    """
    slices = []
    for k in range(bqml.shape[2]):
        ds = _image(bqml.shape, affine, k, name, PET_CLASS, "PT")
        slope = slopes[k] if slopes else max(float(bqml[:, :, k].max()), 1.0) / 32767
        ds.RescaleSlope, ds.RescaleIntercept = f"{slope:.10g}", 0
        ds.ImageType = ["ORIGINAL", "PRIMARY"]
        ds.Units, ds.DecayCorrection = "BQML", "START"
        ds.CorrectedImage = ["DECY", "ATTN", "SCAT", "NORM"]
        ds.SeriesType = ["STATIC", "IMAGE"]
        ds.PatientWeight = 70
        ds.ActualFrameDuration = 120000
        dose = Dataset()
        dose.RadionuclideTotalDose, dose.RadionuclideHalfLife = 370e6, 6586.2
        dose.RadiopharmaceuticalStartTime = "090000"
        ds.RadiopharmaceuticalInformationSequence = DicomSequence([dose])
        ds.PixelRepresentation = 1
        stored = np.rint(bqml[:, :, k].T / float(ds.RescaleSlope)).astype("<i2")
        ds.PixelData = np.ascontiguousarray(stored).tobytes()
        slices.append(_with(ds, tags))
    return slices


def structure_set(
    ct: Sequence[Dataset], regions: Mapping[str, Iterable[np.ndarray]], *, name: str = "rtstruct", **tags: Any
) -> Dataset:
    """An RTSTRUCT that refers to all slices of a CT.

    Args:
        ct: Slices as from `ct_slices`.
        regions: Contours of each region by its name: (N, 3) points in RAS mm.
        name: Makes the UIDs; `tags` overwrite any attribute.
    """
    first = ct[0]
    ds = _dataset(RTSTRUCT_CLASS, name, "RTSTRUCT", first.StudyInstanceUID)
    ds.StructureSetLabel, ds.StructureSetDate, ds.StructureSetTime = "PLAN", "20200103", "120000"
    series = Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    series.ContourImageSequence = DicomSequence([_reference(s) for s in ct])
    study = Dataset()
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID = first.StudyInstanceUID
    study.RTReferencedSeriesSequence = DicomSequence([series])
    frame = Dataset()
    frame.FrameOfReferenceUID = first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = DicomSequence([study])
    ds.ReferencedFrameOfReferenceSequence = DicomSequence([frame])
    ds.StructureSetROISequence, ds.ROIContourSequence = DicomSequence(), DicomSequence()
    ds.RTROIObservationsSequence = DicomSequence()
    for number, (roi, contours) in enumerate(regions.items(), start=1):
        item = Dataset()
        item.ROINumber, item.ROIName, item.ROIGenerationAlgorithm = number, roi, "MANUAL"
        item.ReferencedFrameOfReferenceUID = first.FrameOfReferenceUID
        ds.StructureSetROISequence.append(item)
        drawn = Dataset()
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = DicomSequence([_contour(points) for points in contours])
        ds.ROIContourSequence.append(drawn)
        seen = Dataset()
        seen.ObservationNumber, seen.ReferencedROINumber = number, number
        seen.RTROIInterpretedType, seen.ROIInterpreter = "GTV", ""
        ds.RTROIObservationsSequence.append(seen)
    return _with(ds, tags)


def box_contours(
    affine: np.ndarray, i: tuple[int, int], j: tuple[int, int], slices: Iterable[int]
) -> list[np.ndarray]:
    """Rectangles along the faces of voxels i[0]..i[1]-1 and j[0]..j[1]-1, one per slice, (4, 3) RAS mm."""
    (a, b), (c, d) = ((p - 0.5, q - 0.5) for p, q in (i, j))
    return [to_mm(affine, [(a, c, k), (b, c, k), (b, d, k), (a, d, k)]) for k in slices]


def to_mm(affine: np.ndarray, index: Any) -> np.ndarray:
    """(N, 3) RAS mm of voxel indices (i, j, k)."""
    return np.asarray(index, float) @ affine[:3, :3].T + affine[:3, 3]


def write_dicom(folder: Path, datasets: Iterable[Dataset], prefix: str = "im") -> list[Path]:
    """Write data sets as files of Part 10 in shuffled name order: names say nothing about positions."""
    folder.mkdir(parents=True, exist_ok=True)
    datasets = list(datasets)
    order = np.random.default_rng(1).permutation(len(datasets))
    paths = []
    for n, ds in zip(order, datasets, strict=True):
        path = folder / f"{prefix}{n:03d}.dcm"
        pydicom.dcmwrite(path, ds, write_like_original=False)
        paths.append(path)
    return paths


def _image(
    shape: Sequence[int], affine: np.ndarray, k: int, name: str, sop_class: str, modality: str
) -> Dataset:
    ds = _dataset(sop_class, f"{name}-{k}", modality, uid("study"))
    ds.SeriesInstanceUID = uid(f"{name}-series")
    ds.FrameOfReferenceUID = uid("frame")
    ds.AcquisitionDate, ds.AcquisitionTime = "20200102", "100000"
    ds.InstanceNumber = k + 1
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / spacing * FLIP[:, None]
    position = to_mm(affine, [(0, 0, k)])[0] * FLIP
    ds.ImagePositionPatient = [f"{v:.8g}" for v in position]
    ds.ImageOrientationPatient = [f"{v:.10g}" for v in (*axes[:, 0], *axes[:, 1])]
    ds.PixelSpacing = [f"{spacing[1]:.8g}", f"{spacing[0]:.8g}"]
    ds.SliceThickness = f"{spacing[2]:.8g}"
    ds.Rows, ds.Columns = shape[1], shape[0]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    return ds


def _dataset(sop_class: str, name: str, modality: str, study: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, uid(name)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = sop_class, uid(name), modality
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, uid(f"{name}-series")
    ds.StudyDate = ds.SeriesDate = "20200102"
    ds.StudyTime, ds.SeriesTime = "095000", "100000"
    ds.SeriesNumber, ds.SeriesDescription, ds.Manufacturer = 1, name, "Phantom"
    ds.StudyID = "1"
    for keyword, value in IDENTITY.items():
        setattr(ds, keyword, value)
    return ds


def _with(ds: Dataset, tags: Mapping[str, Any]) -> Dataset:
    for keyword, value in tags.items():
        if value is None:
            if keyword in ds:
                delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def _reference(ds: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return item


def _contour(points: np.ndarray) -> Dataset:
    item = Dataset()
    item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
    item.ContourData = [f"{v:.8g}" for v in (np.asarray(points) * FLIP).ravel()]
    return item
