"""Dates and times of DICOM attributes (DA, TM and DT of PS3.5 section 6.2), also when parts are missing."""

import re
from datetime import date, datetime, timedelta, timezone

from pydicom.dataset import Dataset

OFFSET = "TimezoneOffsetFromUTC"
EARLIEST = datetime.min.replace(tzinfo=timezone.utc)
"""Stands for a time that is not known; can be compared with what `instant` returns."""
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def parse_date(value: object) -> date | None:
    """A DA value (YYYYMMDD, or the older YYYY.MM.DD); None if it is empty or not a date."""
    digits = str(value or "").strip().replace(".", "").replace("-", "")
    try:
        return datetime.strptime(digits[:8], "%Y%m%d").date() if len(digits) >= 8 else None
    except ValueError:
        return None


def parse_time(value: object) -> timedelta | None:
    """A TM value as the time since midnight; None if it is empty or not a time.

    Minutes, seconds and their fraction may be missing; the older form with colons is read too.
    """
    digits = str(value or "").strip().replace(":", "")
    found = re.fullmatch(r"(\d\d)(\d\d)?(\d\d(?:\.\d*)?)?", digits)
    if not found:
        return None
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    if hours > 23 or minutes > 59 or seconds >= 61:
        return None
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def left_open(value: object) -> timedelta:
    """What a TM or DT value leaves open: an hour if it has no minutes, a minute if it has no seconds."""
    digits = re.sub(r"[+-]\d{4}$", "", str(value or "").strip()).replace(":", "").partition(".")[0]
    return {2: HOUR, 4: MINUTE}.get(len(digits) - 8 if len(digits) > 6 else len(digits), timedelta(0))


def parse_datetime(value: object, local_offset: object = None) -> datetime | None:
    """A DT value in the local time of the data set; None if it is empty, has no time or is not a time.

    Args:
        value: YYYYMMDDHHMMSS.FFFFFF&ZZXX; what follows the hour may be missing.
        local_offset: TimezoneOffsetFromUTC of the data set. Without it the value counts as local, for an
            offset in one attribute alone says nothing about the others.
    """
    text, offset = str(value or "").strip(), None
    if found := re.search(r"[+-]\d{4}$", text):
        text, offset = text[: found.start()], found.group()
    day, time = parse_date(text[:8]), parse_time(text[8:])
    if day is None or time is None:
        return None
    moment = at(day, time)
    local = _zone(local_offset)
    if offset and local:
        if (its := _zone(offset)) is None:
            return None
        return moment.replace(tzinfo=its).astimezone(local).replace(tzinfo=None)
    return moment


def zone_of(header: Dataset) -> timezone | None:
    """The zone of all times of a data set; None if it does not say."""
    return _zone(header.get(OFFSET))


def instant(moment: datetime) -> datetime:
    """The moment in UTC, so that different zones can be compared; one without a zone is local time."""
    try:
        return moment.astimezone(timezone.utc)
    except (OverflowError, ValueError, OSError):
        # Dates that stand for "unknown", such as the first of all.
        return moment.replace(tzinfo=timezone.utc)


def at(day: date, time: timedelta) -> datetime:
    """The moment at `time` after midnight of `day`."""
    return datetime.combine(day, datetime.min.time()) + time


def last_before(time: timedelta, moment: datetime) -> datetime:
    """The last moment with this time of day that is not after `moment`."""
    same_day = at(moment.date(), time)
    return same_day if same_day <= moment else same_day - DAY


def _zone(offset: object) -> timezone | None:
    """Of an offset &ZZXX; None if it is empty or none (PS3.5, 6.2: -1200 to +1400)."""
    found = re.fullmatch(r"([+-])(\d\d)([0-5]\d)", str(offset or "").strip())
    if not found or int(found[2]) > 14:
        return None
    away = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-away if found[1] == "-" else away)
