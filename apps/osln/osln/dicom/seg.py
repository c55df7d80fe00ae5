"""Nodes as a DICOM Segmentation, and the one place where such objects are read.

Written: BINARY, one segment per node, named by content, frames only where a node is. Read: any BINARY
object, after its frames have been checked against the CT (`osln.dicom.seg_frames`); segments by name.
Reference: DICOM PS3.3, A.51 (IOD) and C.8.20 (segmentation).
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from osln.dicom.colors import cielab
from osln.dicom.nodes import NOTHING, Author, Node, NodeSet
from osln.dicom.rtstruct_write import MANUFACTURER, title
from osln.dicom.seg_frames import Placed, check_frames, place_segments
from osln.dicom.seg_write import segmentation
from osln.dicom.source import CtSeries
from osln.grid import Grid

APPROVED, PREDICTED, TUMOR = "OSLN_APPROVED", "OSLN_PREDICTED", "OSLN_TUMOR"
"""Content labels, by which objects of ours are told apart: nodes, predicted nodes, the primary tumor."""

ANATOMICAL_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")
LYMPH_NODE = Code("59441001", "SCT", "Lymph node")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")


def seg(nodes: NodeSet, ct: CtSeries, object_uids: tuple[str, str] | None = None) -> Dataset:
    """The nodes as a DICOM Segmentation.

    Segments have to be numbered 1, 2, 3, ... without gaps; the number that stays with a node is in its
    label and tracking id. An object without segments or frames is not allowed (PS3.3, C.8.20.2 and
    C.7.6.6): without nodes there is one segment "lymph node" with one frame, in which no pixel is set.

    Args:
        nodes: On the grid of `ct`.
        ct: Series that the frames refer to.
        object_uids: UIDs of the object's series and of itself; random ones if None.

    Raises:
        ValueError: If the nodes lie on another grid.
    """
    if not nodes.grid.matches(ct.grid, tolerance_mm=0.1):
        raise ValueError(
            "the nodes do not lie on the grid of the CT series; bring them onto it first "
            f"(shape {nodes.grid.shape}, CT {ct.grid.shape})"
        )
    author, segments = nodes.author, nodes.nodes or (NOTHING,)
    uids = _tracking_uids(nodes, ct)
    frames = ct.frames(nodes.labels)
    renumbered = np.zeros(int(frames.max()) + 1, dtype=np.uint16 if len(segments) > 255 else np.uint8)
    renumbered[[node.number for node in nodes.nodes]] = np.arange(1, len(nodes.nodes) + 1)
    return segmentation(
        renumbered[frames],
        [_segment(i, node, author, uids[node.number]) for i, node in enumerate(segments, start=1)],
        ct,
        author,
        content=APPROVED if author.approved else PREDICTED,
        description=title(author),
        uids=object_uids,
    )


@dataclass(frozen=True)
class Segment:
    """One segment of an object that was read.

    Attributes:
        number: In the object; says nothing about the content.
        name: Its label.
        description: In words.
        tracking_id, tracking_uid: "" if the object has none.
        placed: Its voxels on the CT's grid.
    """

    number: int
    name: str
    description: str
    tracking_id: str
    tracking_uid: str
    placed: Placed


@dataclass(frozen=True)
class SegFile:
    """A DICOM Segmentation on the grid of its CT.

    Attributes:
        segments: In the object's order; they may overlap in objects of other programs.
        grid: Of the CT, closest-RAS order.
        ours: Written by this program.
        approved: An approved label of ours.
        revision: Its number; None for anything but an approved label of ours.
        created: Date and time of the content, None if they are missing.
        creator: Name of the annotator, "" if there is none.
        sop_instance_uid: Of the object.
    """

    segments: tuple[Segment, ...]
    grid: Grid
    ours: bool
    approved: bool
    revision: int | None
    created: datetime | None
    creator: str
    sop_instance_uid: str

    def mask(self, *names: str) -> np.ndarray:
        """Union of the segments of these names (any case), of all if none is given; (x, y, z) bool."""
        wanted = {name.casefold() for name in names}
        mask = np.zeros(self.grid.shape, dtype=bool, order="F")
        for segment in self.segments:
            if not wanted or segment.name.casefold() in wanted:
                mask[segment.placed.box] |= segment.placed.voxels
        return mask

    def labels(self) -> np.ndarray:
        """Number of the segment, (x, y, z) uint16; the later one where segments overlap."""
        labels = np.zeros(self.grid.shape, dtype=np.uint16, order="F")
        for segment in self.segments:
            labels[segment.placed.box][segment.placed.voxels] = segment.number
        return labels


def read_seg(source: str | Path | Dataset, ct: CtSeries) -> SegFile:
    """Reads a DICOM Segmentation onto the CT's grid, voxel by voxel, never by interpolation.

    Args:
        source: File or data set.
        ct: The CT that it is expected to belong to.

    Raises:
        ValueError: Not a BINARY Segmentation, of another CT, or its frames do not lie where the CT's
            images lie that they refer to.
    """
    if not isinstance(source, Dataset):
        try:
            source = pydicom.dcmread(source)
        except (pydicom.errors.InvalidDicomError, OSError, EOFError) as error:
            raise ValueError(f"{Path(source).name} is not a DICOM file: {error}") from error
    check_frames(source, ct, ours=is_ours(source))
    placed = place_segments(source, ct)
    segments = tuple(
        Segment(
            number=int(item.SegmentNumber),
            name=str(item.get("SegmentLabel", "")).strip(),
            description=str(item.get("SegmentDescription", "")),
            tracking_id=str(item.get("TrackingID", "")),
            tracking_uid=str(item.get("TrackingUID", "")),
            placed=placed[int(item.SegmentNumber)],
        )
        for item in source.SegmentSequence
    )
    approved = is_ours(source) and source.get("ContentLabel") == APPROVED
    return SegFile(
        segments=segments,
        grid=ct.grid,
        ours=is_ours(source),
        approved=approved,
        revision=int(source.InstanceNumber) if approved else None,
        created=when_created(source),
        creator=str(source.get("ContentCreatorName") or ""),
        sop_instance_uid=str(source.SOPInstanceUID),
    )


def is_ours(dataset: Dataset) -> bool:
    """Whether this program wrote the object, by its manufacturer and content label."""
    labels = (APPROVED, PREDICTED, TUMOR)
    return dataset.get("Manufacturer") == MANUFACTURER and dataset.get("ContentLabel") in labels


def _tracking_uids(nodes: NodeSet, ct: CtSeries) -> dict[int, str]:
    """UID by number: the same in all revisions of an approved label, and in all copies of a prediction."""
    content = "approved"
    if not nodes.author.approved:
        content = hashlib.sha256(np.ascontiguousarray(ct.frames(nodes.labels)).tobytes()).hexdigest()
    names = {
        node.number: f"osln/{ct.series_uid}/{content}/{node.number}" for node in nodes.nodes or (NOTHING,)
    }
    return {number: f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}" for number, name in names.items()}


def _segment(number: int, node: Node, author: Author, uid: str) -> hd.seg.SegmentDescription:
    kind = "AUTOMATIC" if not author.approved else "SEMIAUTOMATIC" if author.algorithm else "MANUAL"
    algorithm = None
    if author.algorithm:
        algorithm = hd.AlgorithmIdentificationSequence(
            name=author.algorithm[:64],
            family=ARTIFICIAL_INTELLIGENCE,
            version=(author.version or "unknown")[:64],
        )
    segment = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=node.name,
        segmented_property_category=ANATOMICAL_STRUCTURE,
        segmented_property_type=LYMPH_NODE,
        algorithm_type=kind,
        algorithm_identification=algorithm,
        tracking_uid=uid,
        tracking_id=node.name,
    )
    if node.description:
        segment.SegmentDescription = node.description
    segment.RecommendedDisplayCIELabValue = cielab(node.color)
    return segment


def when_created(dataset: Dataset) -> datetime | None:
    """Date and time of the content, local time; None if they are missing."""
    text = f"{dataset.get('ContentDate', '')}{str(dataset.get('ContentTime', ''))[:6]}"
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S")
    except ValueError:
        return None
