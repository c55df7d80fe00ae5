"""Nodes as an RT Structure Set: one region per node, outlines on the slices of the CT.

Reference: DICOM PS3.3, A.19 (IOD), C.8.8.5 (structure set), C.8.8.6 (contours), C.8.8.8 (observations).
"""

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ImplicitVRLittleEndian, generate_uid
from scipy import ndimage

from osln import __version__
from osln.dicom.contours import outlines
from osln.dicom.nodes import NOTHING, Author, Node, NodeSet
from osln.dicom.slices import LPS_TO_RAS
from osln.dicom.source import CtSeries

MANUFACTURER = "OSLN Label"
RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
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


def rtstruct(nodes: NodeSet, ct: CtSeries) -> FileDataset:
    """The nodes as an RT Structure Set.

    Number, name and color of a region are those of its node. Regions are never given as approved: whoever
    plans a treatment with them approves them in the planning system.

    Args:
        nodes: On the grid of `ct`. A structure set has at least one region (PS3.3, C.8.8.5): without nodes it
            is one named "lymph node" that has no contours and whose description says that there are none.
        ct: Series on whose slices the outlines lie.

    Raises:
        ValueError: If the nodes lie on another grid.
    """
    if not nodes.grid.matches(ct.grid, tolerance_mm=0.1):
        raise ValueError(
            "the nodes do not lie on the grid of the CT series; bring them onto it first "
            f"(shape {nodes.grid.shape}, CT {ct.grid.shape})"
        )
    dataset = _header(ct, nodes.author)
    dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(ct)]
    frames = ct.frames(nodes.labels)
    boxes = ndimage.find_objects(frames)
    regions = nodes.nodes or (NOTHING,)
    dataset.StructureSetROISequence = [_region(node, ct, nodes.author) for node in regions]
    dataset.ROIContourSequence = [
        _contours(node, frames, boxes[node.number - 1] if boxes else None, ct) for node in regions
    ]
    dataset.RTROIObservationsSequence = [_observation(node, nodes.author) for node in regions]
    return dataset


def _header(ct: CtSeries, author: Author) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(RTSTRUCT_CLASS)
    meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
    # Explicit value representations hold no outline beyond 64 KiB.
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, True
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTSTRUCT_CLASS, meta.MediaStorageSOPInstanceUID
    first = ct.headers[0]
    if "SpecificCharacterSet" in first:
        dataset.SpecificCharacterSet = first.SpecificCharacterSet
    else:
        dataset.SpecificCharacterSet = "ISO_IR 192"
    restore_identity(dataset, ct)
    dataset.Modality, dataset.SeriesInstanceUID = "RTSTRUCT", generate_uid(prefix=None)
    dataset.SeriesNumber, dataset.InstanceNumber = 9001, author.revision or 1
    dataset.SeriesDescription = title(author)
    dataset.FrameOfReferenceUID = ct.frame_of_reference_uid
    dataset.PositionReferenceIndicator = first.get("PositionReferenceIndicator", "")
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, "osln"
    dataset.SoftwareVersions = __version__
    dataset.OperatorsName = author.person
    date, time = author.at.strftime("%Y%m%d"), author.at.strftime("%H%M%S")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
    dataset.SeriesDate, dataset.SeriesTime = date, time
    dataset.StructureSetDate, dataset.StructureSetTime = date, time
    dataset.StructureSetLabel = "OSLN APPROVED" if author.approved else "OSLN PREDICTED"
    dataset.StructureSetName = title(author)
    if author.note:
        dataset.StructureSetDescription = author.note
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def restore_identity(dataset: Dataset, ct: CtSeries) -> None:
    """Patient and study as the CT has them, and whether its identity was removed (PS3.3, C.7.1.1)."""
    first = ct.headers[0]
    for keyword in COPIED:
        setattr(dataset, keyword, first.get(keyword, ""))
    if first.get("PatientIdentityRemoved") == "YES":
        dataset.PatientIdentityRemoved = "YES"
        if codes := first.get("DeidentificationMethodCodeSequence"):
            dataset.DeidentificationMethodCodeSequence = codes
        dataset.DeidentificationMethod = first.get("DeidentificationMethod") or "as the CT; not stated there"


def title(author: Author) -> str:
    """What the series is called, at most 64 characters."""
    if not author.approved:
        return "OSLN Label: predicted lymph nodes, not reviewed"
    revision = "" if author.revision is None else f", revision {author.revision}"
    return f"OSLN Label: approved lymph nodes{revision}"


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


def _region(node: Node, ct: CtSeries, author: Author) -> Dataset:
    item = Dataset()
    item.ROINumber, item.ROIName = node.number, node.name
    item.ReferencedFrameOfReferenceUID = ct.frame_of_reference_uid
    if node.description:
        item.ROIDescription = node.description
    item.ROIGenerationAlgorithm = (
        "AUTOMATIC" if not author.approved else "SEMIAUTOMATIC" if author.algorithm else "MANUAL"
    )
    if author.algorithm:
        item.ROIGenerationDescription = f"{author.algorithm} {author.version}".strip()[:64]
    return item


def _contours(node: Node, frames: np.ndarray, box: tuple[slice, ...] | None, ct: CtSeries) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber = node.number
    item.ROIDisplayColor = list(node.color)
    if box is None:
        return item
    item.ContourSequence = [
        _contour(points, ct.headers[k], number)
        for number, (k, points) in enumerate(_polygons(frames[box] == node.number, box, ct), start=1)
    ]
    return item


def _polygons(mask: np.ndarray, box: tuple[slice, ...], ct: CtSeries) -> Iterator[tuple[int, np.ndarray]]:
    """Number of the slice and the polygon's points (N, 3) in LPS mm, slice by slice."""
    first = np.array([box[2].start, box[1].start])
    for k in range(len(mask)):
        for outline in outlines(mask[k].T):
            index = np.column_stack([outline + first, np.full(len(outline), box[0].start + k)])
            yield box[0].start + k, ct.file_grid.index_to_mm(index) * LPS_TO_RAS


def _contour(points: np.ndarray, header: Dataset, number: int) -> Dataset:
    item = Dataset()
    item.ContourImageSequence = [_reference(header)]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    item.ContourNumber = number
    # Tenths of a micrometer; a decimal string has at most 16 characters.
    item.ContourData = [f"{value:.4f}" for value in points.ravel()]
    return item


def _observation(node: Node, author: Author) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = node.number
    item.ROIObservationLabel = f"LN {node.number}"
    if node.description:
        item.ROIObservationDescription = node.description
    # Not a target before somebody decides so.
    item.RTROIInterpretedType = ""
    item.ROIInterpreter = author.person
    return item
