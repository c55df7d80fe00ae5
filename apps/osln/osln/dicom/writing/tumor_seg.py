"""The primary tumor, as an annotator drew it, as a DICOM Segmentation of its own."""

import uuid

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from osln.dicom.colors import cielab
from osln.dicom.nodes import TUMOR, Author
from osln.dicom.reading.source import CtSeries
from osln.dicom.writing.segmentation import segmentation

NAME = "tumor"
YELLOW = (240, 220, 30)
ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")
PRIMARY_NEOPLASM = Code("86049000", "SCT", "Neoplasm, Primary")


def tumor_seg(
    tumor: np.ndarray, ct: CtSeries, author: Author, object_uids: tuple[str, str] | None = None
) -> Dataset:
    """The tumor as a DICOM Segmentation with one segment "tumor".

    Args:
        tumor: (x, y, z) on the grid of `ct`, nonzero inside.
        ct: Series that the frames refer to.
        author: Who drew it.
        object_uids: UIDs of the object's series and of itself; random ones if None.
    """
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=NAME,
        segmented_property_category=ABNORMAL_STRUCTURE,
        segmented_property_type=PRIMARY_NEOPLASM,
        algorithm_type="MANUAL",
        tracking_uid=f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'osln/{ct.series_uid}/{NAME}').int}",
        tracking_id=NAME,
    )
    segment.RecommendedDisplayCIELabValue = cielab(YELLOW)
    revision = "" if author.revision is None else f", revision {author.revision}"
    return segmentation(
        ct.frames((tumor != 0).astype(np.uint8)),
        [segment],
        ct,
        author,
        content=TUMOR,
        description=f"OSLN Label: primary tumor{revision}",
        uids=object_uids,
    )
