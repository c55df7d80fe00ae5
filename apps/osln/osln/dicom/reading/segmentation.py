"""Nodes as a DICOM Segmentation, and the one place where such objects are read.

Written: BINARY, one segment per node, named by content, frames only where a node is. Read: any BINARY
object, after its frames have been checked against the CT (`osln.dicom.reading.seg_frames`); segments by name.
Reference: DICOM PS3.3, A.51 (IOD) and C.8.20 (segmentation).
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from osln.dicom.nodes import APPROVED, own_kind
from osln.dicom.reading.files import DAMAGED
from osln.dicom.reading.seg_frames import Placed, check_frames, place_segments
from osln.dicom.reading.source import CtSeries
from osln.dicom.reading.times import zone_of
from osln.imaging.grid import Grid


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
        created: As `when_created`.
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
    try:
        return _read(source, ct)
    except DAMAGED as error:
        raise ValueError(f"the segmentation is incomplete or damaged ({error}); export it again") from error


def _read(source: Dataset, ct: CtSeries) -> SegFile:
    ours = own_kind(source)
    check_frames(source, ct, ours=bool(ours))
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
    approved = ours == APPROVED
    return SegFile(
        segments=segments,
        grid=ct.grid,
        ours=bool(ours),
        approved=approved,
        revision=int(source.InstanceNumber) if approved else None,
        created=when_created(source),
        creator=str(source.get("ContentCreatorName") or ""),
        sop_instance_uid=str(source.SOPInstanceUID),
    )


def when_created(dataset: Dataset) -> datetime | None:
    """Date and time of the content, with their zone if they have one; None if they are missing."""
    text = f"{dataset.get('ContentDate', '')}{str(dataset.get('ContentTime', ''))[:6]}"
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=zone_of(dataset))
    except ValueError:
        return None
