"""What every DICOM Segmentation of ours has: BINARY, on the slices of its CT, with patient and study.

Reference: DICOM PS3.3, A.51 (IOD) and C.8.20 (segmentation).
"""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from osln import __version__
from osln.dicom.nodes import Author
from osln.dicom.rtstruct_write import COPIED, MANUFACTURER, restore_identity, title
from osln.dicom.source import CtSeries


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
    dataset = hd.seg.Segmentation(
        source_images=[_complete(ct.headers[k]) for k in slices],
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
        content_creator_name=_person_name(author.person) or None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=not empty,
        series_description=description,
    )
    restore_identity(dataset, ct)
    date, time = author.at.strftime("%Y%m%d"), author.at.strftime("%H%M%S")
    for keyword, value in (
        ("ContentDate", date),
        ("ContentTime", time),
        ("SeriesDate", date),
        ("SeriesTime", time),
    ):
        setattr(dataset, keyword, value)
    return dataset


def _complete(header: Dataset) -> Dataset:
    """The header with empty values for what a bare CT may lack, and without names.

    Names of one part, as pseudonyms are, would be warned about with the name itself, which belongs in no log.
    """
    copy = Dataset(header)
    for name in COPIED:
        if name not in copy or name in ("PatientName", "ReferringPhysicianName"):
            setattr(copy, name, "")
    return copy


def _person_name(person: str) -> str:
    # "^" and "=" divide the parts of a name in DICOM, "\" its values.
    plain = "".join(
        " " if character in "^=\\" or not character.isprintable() else character for character in person
    )
    plain = " ".join(plain.split())[:64]
    return f"{plain}^" if plain else ""
