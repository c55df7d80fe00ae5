"""What every DICOM Segmentation of ours has: BINARY, on the slices of its CT, with patient and study.

Reference: DICOM PS3.3, A.51 (IOD) and C.8.20 (segmentation).
"""

import hashlib
import uuid
from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from osln import __version__
from osln.dicom.colors import cielab
from osln.dicom.nodes import (
    ANATOMICAL_STRUCTURE,
    ARTIFICIAL_INTELLIGENCE,
    LYMPH_NODE,
    MANUFACTURER,
    NOTHING,
    Author,
    Node,
    NodeSet,
    content_label,
    title,
)
from osln.dicom.reading.source import CtSeries
from osln.dicom.writing.character_set import declare_character_set
from osln.dicom.writing.person_name import person_name
from osln.dicom.writing.rtstruct import COPIED, restore_identity
from osln.dicom.writing.times import write_times


def segmentation(
    frames: np.ndarray,
    segments: Sequence[hd.seg.SegmentDescription],
    ct: CtSeries,
    author: Author,
    *,
    content: str,
    description: str,
    uids: tuple[str, str] | None = None,
) -> Dataset:
    """A segmentation with frames only where something is; the middle slice, empty, if nothing is anywhere.

    Args:
        frames: (slice, row, column) number of the segment, 0 outside.
        segments: Their descriptions, 1, 2, ...
        ct: Series that the frames refer to.
        author: Who made it.
        content: Content label.
        description: Of the series.
        uids: UIDs of the object's series and of itself; random ones if None.
    """
    series_uid, instance_uid = uids or (generate_uid(prefix=None), generate_uid(prefix=None))
    slices = np.flatnonzero(frames.any(axis=(1, 2)))
    empty = not len(slices)
    if empty:
        slices = np.array([len(ct.headers) // 2])
    thickness = float(ct.file_grid.spacing_mm[2])
    creator = person_name(author.person)
    dataset = hd.seg.Segmentation(
        source_images=[_complete(ct.headers[k], thickness) for k in slices],
        pixel_array=frames[slices],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=list(segments),
        series_instance_uid=series_uid,
        series_number=9002,
        sop_instance_uid=instance_uid,
        instance_number=author.revision or 1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name="osln",
        software_versions=__version__,
        device_serial_number="none",
        content_label=content,
        content_description=(author.note or title(author))[:64],
        # highdicom warns about a name of one part that does not end with "^".
        content_creator_name=f"{creator}^" if creator else None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=not empty,
        series_description=description,
    )
    restore_identity(dataset, ct)
    write_times(dataset, author.at, ct, "InstanceCreation", "Content", "Series")
    declare_character_set(dataset, ct.headers[0])
    return dataset


def _complete(header: Dataset, thickness: float) -> Dataset:
    """The header with what highdicom asks for and a CT may lack, and without patient and study.

    These are checked more strictly than CTs keep to, and names of one part, as pseudonyms are, would be
    warned about with the name itself, which belongs in no log; `restore_identity` sets them afterwards.

    Args:
        header: Of an image.
        thickness: Of a slice, mm, where the image does not say (type 2: it may be empty).
    """
    copy = Dataset(header)
    for name in COPIED:
        if name != "StudyInstanceUID":
            setattr(copy, name, "")
    if not isinstance(header.get("SliceThickness"), float | int):
        copy.SliceThickness = f"{thickness:.6g}"
    return copy


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
        content=content_label(author),
        description=title(author),
        uids=object_uids,
    )


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
