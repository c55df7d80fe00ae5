"""A DICOM Segmentation as another program stores it beside a CT."""

from osln.dicom.writing.segmentation import seg
from small.dicom import uid
from small.nodes import APPROVAL, node_set, series


def foreign(*names, name="seg", **tags):
    """The lump, the ring and the single voxel of `small.nodes` as segments of another program."""
    ct = series()
    item = seg(node_set(ct, APPROVAL), ct)
    item.Manufacturer, item.ContentLabel, item.SeriesNumber = "Another program", "SEG", 7
    item.SOPInstanceUID, item.SeriesInstanceUID = uid(name), uid(f"{name} series")
    item.file_meta.MediaStorageSOPInstanceUID = item.SOPInstanceUID
    for segment, label in zip(item.SegmentSequence, names, strict=True):
        segment.SegmentLabel = label
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return item
