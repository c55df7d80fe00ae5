"""Which images a structure set or segmentation says that it was drawn on."""

from collections.abc import Callable, Iterator

from pydicom.dataset import Dataset


def named_series(ds: Dataset) -> tuple[dict[str, set[str]], set[str]]:
    """Images by the UID of the series that the head of an RTSTRUCT or SEG names, and frames of reference."""
    series: dict[str, set[str]] = {}
    frames = {_uid(ds, "FrameOfReferenceUID")} if _uid(ds, "Modality") == "SEG" else set()
    for item, images in _series_items(ds):
        series.setdefault(_uid(item, "SeriesInstanceUID"), set()).update(
            _uid(image, "ReferencedSOPInstanceUID") for image in item.get(images) or []
        )
    for frame in ds.get("ReferencedFrameOfReferenceSequence") or []:
        frames.add(_uid(frame, "FrameOfReferenceUID"))
    series.pop("", None)
    return series, frames - {""}


def drawn_on(head: Dataset, read: Callable[[], Dataset] | None = None) -> frozenset[str]:
    """UIDs of the series that the contours or frames themselves name, where the head names several.

    Args:
        head: With the attributes that `named_series` reads.
        read: Gives all attributes, where `head` has not all; called only if the head does not decide.
    """
    series, _ = named_series(head)
    if len(series) < 2 or _uid(head, "Modality") not in ("RTSTRUCT", "SEG"):
        return frozenset()
    images = set(_images(read() if read else head))
    return frozenset(uid for uid, own in series.items() if own & images)


def _series_items(ds: Dataset) -> Iterator[tuple[Dataset, str]]:
    """Items that name a series, and the name of their list of images."""
    for item in ds.get("ReferencedSeriesSequence") or []:
        yield item, "ReferencedInstanceSequence"
    for frame in ds.get("ReferencedFrameOfReferenceSequence") or []:
        for study in frame.get("RTReferencedStudySequence") or []:
            for item in study.get("RTReferencedSeriesSequence") or []:
                yield item, "ContourImageSequence"


def _images(ds: Dataset) -> Iterator[str]:
    for region in ds.get("ROIContourSequence") or []:
        for contour in region.get("ContourSequence") or []:
            for image in contour.get("ContourImageSequence") or []:
                yield _uid(image, "ReferencedSOPInstanceUID")
    for frame in ds.get("PerFrameFunctionalGroupsSequence") or []:
        for derivation in frame.get("DerivationImageSequence") or []:
            for image in derivation.get("SourceImageSequence") or []:
                yield _uid(image, "ReferencedSOPInstanceUID")


def _uid(ds: Dataset, keyword: str) -> str:
    return str(ds.get(keyword) or "").strip("\0 ")
