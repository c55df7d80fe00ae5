"""When an object was made, as DICOM has it: dates, times, and one offset from UTC for all of them."""

from datetime import datetime

from pydicom.dataset import Dataset

from osln.dicom.reading.source import CtSeries
from osln.dicom.reading.times import OFFSET, zone_of


def write_times(dataset: Dataset, at: datetime, ct: CtSeries, *kinds: str) -> None:
    """Writes date and time of each kind, for instance "Content" for ContentDate and ContentTime.

    An offset from UTC counts for all times of an object (PS3.3, C.12.1), those of the study included, which
    are the CT's: where the CT has one it is written, and else that of the local zone at that moment.

    Args:
        dataset: Takes them.
        at: When the object was made. Without a zone, as of phantoms, which were made at no place, it is
            written as it is, and no offset.
        ct: Series that the object refers to.
        kinds: Beginnings of the attributes.
    """
    if at.tzinfo is not None:
        at = at.astimezone(zone_of(ct.headers[0]))
        setattr(dataset, OFFSET, at.strftime("%z")[:5])
    for kind in kinds:
        setattr(dataset, f"{kind}Date", at.strftime("%Y%m%d"))
        setattr(dataset, f"{kind}Time", at.strftime("%H%M%S"))
