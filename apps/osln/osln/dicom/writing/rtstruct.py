"""Label maps as an RT Structure Set: one region per value, outlines on the slices of the CT.

Reference: DICOM PS3.3, A.19 (IOD), C.8.8.5 (structure set), C.8.8.6 (contours), C.8.8.8 (observations).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ImplicitVRLittleEndian, generate_uid
from scipy import ndimage

from osln import __version__
from osln.dicom.nodes import MANUFACTURER, NOTHING, NodeSet, content_label, title
from osln.dicom.reading.slices import LPS_TO_RAS
from osln.dicom.reading.source import CtSeries
from osln.dicom.reading.times import parse_date, parse_time
from osln.dicom.writing.character_set import declare_character_set
from osln.dicom.writing.contours import outlines
from osln.dicom.writing.person_name import person_name
from osln.dicom.writing.times import write_times
from osln.imaging.grid import Grid

RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
SEXES = ("M", "F", "O")
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
COPIED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Patient and study are those of the CT; an attribute without a value there is written empty (type 2)."""


@dataclass(frozen=True)
class Roi:
    """One region to be written.

    Attributes:
        number: Its value in the label map; the ROI Number.
        name: ROI Name.
        color: Red, green and blue from 0 to 255.
        description: What else is known of it; "" for nothing.
        algorithm: How it came about: "AUTOMATIC", "SEMIAUTOMATIC" or "MANUAL".
        made_by: Name and version of what drew it; "" for a person.
        kind: RT ROI Interpreted Type, for instance "GTV"; "" as long as nobody has decided.
    """

    number: int
    name: str
    color: tuple[int, int, int]
    description: str = ""
    algorithm: str = "MANUAL"
    made_by: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Heading:
    """What a structure set says of itself.

    Attributes:
        title: Description of the series and name of the structure set, at most 64 characters.
        label: StructureSetLabel, at most 16 characters.
        at: When it was drawn, as `write_times` takes it.
        person: Who drew it; "" for nobody.
        note: What a reader has to know.
        number: InstanceNumber.
        series_uid, instance_uid: "" makes one that nothing else has.
    """

    title: str
    label: str
    at: datetime
    person: str = ""
    note: str = ""
    number: int = 1
    series_uid: str = ""
    instance_uid: str = ""


def rtstruct(nodes: NodeSet, ct: CtSeries) -> FileDataset:
    """The nodes as an RT Structure Set.

    Number, name and color of a region are those of its node. Regions are never targets and never given as
    approved: whoever plans a treatment with them decides so in the planning system.

    Args:
        nodes: On the grid of `ct`. A structure set has at least one region (PS3.3, C.8.8.5): without nodes it
            is one named "lymph node" that has no contours and whose description says that there are none.
        ct: Series on whose slices the outlines lie.

    Raises:
        ValueError: If the nodes lie on another grid.
    """
    author = nodes.author
    algorithm = "AUTOMATIC" if not author.approved else "SEMIAUTOMATIC" if author.algorithm else "MANUAL"
    made_by = f"{author.algorithm} {author.version}".strip() if author.algorithm else ""
    rois = [
        Roi(node.number, node.name, node.color, node.description, algorithm, made_by)
        for node in nodes.nodes or (NOTHING,)
    ]
    label = content_label(author).replace("_", " ")
    heading = Heading(title(author), label, author.at, author.person, author.note, author.revision or 1)
    return structure_set(nodes.labels, nodes.grid, rois, ct, heading)


def structure_set(
    labels: np.ndarray, grid: Grid, rois: Sequence[Roi], ct: CtSeries, heading: Heading
) -> FileDataset:
    """The values of a label map as the regions of an RT Structure Set, never given as approved.

    Args:
        labels: (x, y, z) integers, 0 = background, else the number of a region.
        grid: Of the labels: that of `ct`.
        rois: At least one; a region whose number is nowhere in the labels has no contours.
        ct: Series on whose slices the outlines lie.
        heading: Title, author and time.

    Raises:
        ValueError: If the labels lie on another grid.
    """
    if not grid.matches(ct.grid, tolerance_mm=0.1):
        raise ValueError(
            "the labels do not lie on the grid of the CT series; bring them onto it first "
            f"(shape {grid.shape}, CT {ct.grid.shape})"
        )
    dataset = _header(ct, heading)
    dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(ct)]
    frames = ct.frames(labels)
    boxes = dict(enumerate(ndimage.find_objects(frames), start=1))
    dataset.StructureSetROISequence = [_region(roi, ct) for roi in rois]
    dataset.ROIContourSequence = [_contours(roi, frames, boxes.get(roi.number), ct) for roi in rois]
    person = person_name(heading.person)
    dataset.RTROIObservationsSequence = [_observation(roi, person) for roi in rois]
    declare_character_set(dataset, ct.headers[0])
    return dataset


def _header(ct: CtSeries, heading: Heading) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(RTSTRUCT_CLASS)
    meta.MediaStorageSOPInstanceUID = UID(heading.instance_uid or generate_uid(prefix=None))
    # Explicit value representations hold no outline beyond 64 KiB.
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, True
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTSTRUCT_CLASS, meta.MediaStorageSOPInstanceUID
    first = ct.headers[0]
    restore_identity(dataset, ct)
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = heading.series_uid or generate_uid(prefix=None)
    dataset.SeriesNumber, dataset.InstanceNumber = 9001, heading.number
    dataset.SeriesDescription = heading.title
    dataset.FrameOfReferenceUID = ct.frame_of_reference_uid
    dataset.PositionReferenceIndicator = first.get("PositionReferenceIndicator", "")
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, "osln"
    dataset.SoftwareVersions = __version__
    dataset.OperatorsName = person_name(heading.person)
    write_times(dataset, heading.at, ct, "InstanceCreation", "Series", "StructureSet")
    dataset.StructureSetLabel = heading.label
    dataset.StructureSetName = heading.title
    if heading.note:
        dataset.StructureSetDescription = heading.note
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def restore_identity(dataset: Dataset, ct: CtSeries) -> None:
    """Patient and study as the CT has them, and whether its identity was removed (PS3.3, C.7.1.1)."""
    first = ct.headers[0]
    for keyword in COPIED:
        setattr(dataset, keyword, _allowed(keyword, first.get(keyword, "")))
    if first.get("PatientIdentityRemoved") == "YES":
        dataset.PatientIdentityRemoved = "YES"
        if codes := first.get("DeidentificationMethodCodeSequence"):
            dataset.DeidentificationMethodCodeSequence = codes
        dataset.DeidentificationMethod = first.get("DeidentificationMethod") or "as the CT; not stated there"


def _allowed(keyword: str, value: Any) -> Any:
    """The value as the standard allows it (PS3.5, 6.2; PS3.3, C.7.1.1), empty where it does not.

    Scanners and gateways write others, and a PACS or a reader may refuse the whole object for one.
    """
    if keyword.endswith("Date"):
        day = parse_date(value)
        return day.strftime("%Y%m%d") if day else ""
    if keyword.endswith("Time"):
        return str(value).strip().replace(":", "") if parse_time(value) is not None else ""
    if keyword == "PatientSex":
        return value if value in SEXES else ""
    return value


def _frame_of_reference(ct: CtSeries) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = ct.series_uid
    series.ContourImageSequence = [_reference(header) for header in ct.headers]
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = ct.headers[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = ct.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item


def _region(roi: Roi, ct: CtSeries) -> Dataset:
    item = Dataset()
    item.ROINumber, item.ROIName = roi.number, roi.name
    item.ReferencedFrameOfReferenceUID = ct.frame_of_reference_uid
    if roi.description:
        item.ROIDescription = roi.description
    item.ROIGenerationAlgorithm = roi.algorithm
    if roi.made_by:
        item.ROIGenerationDescription = roi.made_by[:64]
    return item


def _contours(roi: Roi, frames: np.ndarray, box: tuple[slice, ...] | None, ct: CtSeries) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber = roi.number
    item.ROIDisplayColor = list(roi.color)
    if box is None:
        return item
    item.ContourSequence = [
        _contour(points, ct.headers[k], number)
        for number, (k, points) in enumerate(_polygons(frames[box] == roi.number, box, ct), start=1)
    ]
    return item


def _polygons(mask: np.ndarray, box: tuple[slice, ...], ct: CtSeries) -> Iterator[tuple[int, np.ndarray]]:
    """Number of the slice and the polygon's points (N, 3) in LPS mm, slice by slice."""
    first = np.array([box[2].start, box[1].start])
    for k in range(len(mask)):
        for outline in outlines(mask[k].T):
            index = np.column_stack([outline + first, np.full(len(outline), box[0].start + k)])
            yield box[0].start + k, ct.file_grid.index_to_mm(index) * LPS_TO_RAS + _off(box[0].start + k, ct)


def _off(k: int, ct: CtSeries) -> np.ndarray:
    """(3,) LPS mm from a slice of the regular grid to the image itself, whose spacing may vary a little."""
    regular = ct.file_grid.index_to_mm(np.array([0.0, 0.0, k])) * LPS_TO_RAS
    return np.array([float(v) for v in ct.headers[k].ImagePositionPatient]) - regular


def _contour(points: np.ndarray, header: Dataset, number: int) -> Dataset:
    item = Dataset()
    item.ContourImageSequence = [_reference(header)]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    item.ContourNumber = number
    # Tenths of a micrometer; a decimal string has at most 16 characters.
    item.ContourData = [f"{value:.4f}" for value in points.ravel()]
    return item


def _observation(roi: Roi, person: str) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = roi.number
    item.ROIObservationLabel = roi.name[:16]
    if roi.description:
        item.ROIObservationDescription = roi.description
    item.RTROIInterpretedType = roi.kind
    item.ROIInterpreter = person
    return item
