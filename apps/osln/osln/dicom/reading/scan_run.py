"""The times of a PET's slices as the one run of bed after bed that a scan is, and those stray in it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

from pydicom.dataset import Dataset

from osln.dicom.reading.times import DAY, at, parse_date

LONGEST_SCAN = timedelta(hours=6)
"""A PET takes less from its first bed to its last."""
MOST_STRAY = 1 / 3
"""Share of the slices that may be stray; of more it is not known which ones are."""
NO_DATE = date(2000, 1, 2)
"""Stands for the unknown day of a scan; only differences are used."""


def run_of(times: Iterable[timedelta]) -> list[timedelta]:
    """Times of day in the order of a scan, that begins after the longest pause; after midnight plus a day."""
    ordered = sorted(times)
    pauses = [after - before for before, after in pairwise([*ordered, ordered[0] + DAY])]
    # Of pauses that are equally long that over midnight.
    first = (max(range(len(pauses)), key=lambda k: (pauses[k], k)) + 1) % len(ordered)
    return ordered[first:] + [time + DAY for time in ordered[:first]]


def since_midnight(times: Sequence[timedelta | None], run: Sequence[timedelta]) -> list[timedelta | None]:
    """Each time since the midnight before the run began."""
    return [None if time is None else time + DAY * (time < run[0]) for time in times]


def dates_of(slices: Sequence[Dataset], since: Sequence[timedelta | None]) -> list[tuple[date, date] | None]:
    """AcquisitionDate of each slice, and the day on which its run began by it; None where nothing says so."""
    dated = parse_date(slices[0].get("SeriesDate")) is not None
    return [
        (own, own - DAY * (time >= DAY))
        if dated and time is not None and (own := parse_date(ds.get("AcquisitionDate")))
        else None
        for ds, time in zip(slices, since, strict=True)
    ]


def without_strays(
    slices: Sequence[Dataset], times: Sequence[timedelta | None]
) -> Sequence[timedelta | None]:
    """The times without those of few slices (`MOST_STRAY`) that make no run, or no day, with the others.

    Args:
        slices: Headers of one series.
        times: Of day, of each slice; None where it is not known.

    Returns:
        None in the place of a stray one; all times as they are where too many would be stray.
    """
    known = Counter(time for time in times if time is not None)
    if not known:
        return times
    kept, run = list(times), run_of(known)
    if run[-1] - run[0] > LONGEST_SCAN:
        of_scan = {begin: [time for time in known if (time - begin) % DAY <= LONGEST_SCAN] for begin in known}
        most = max(of_scan.values(), key=lambda scan: sum(known[time] for time in scan))
        kept, run = [time if time in most else None for time in times], run_of(most)
    dates = dates_of(slices, since_midnight(kept, run))
    # Of a scan over midnight that has one date in all slices no date is stray.
    if len({own for own, _ in filter(None, dates)}) > 1:
        first, _ = Counter(first for _, first in filter(None, dates)).most_common(1)[0]
        kept = [
            time if stated is None or stated[1] == first else None
            for time, stated in zip(kept, dates, strict=True)
        ]
    left = sum(time is not None for time in kept)
    return kept if known.total() - left <= MOST_STRAY * known.total() else times


def is_stray_first(
    slices: Sequence[Dataset],
    times: Sequence[timedelta | None],
    kept: Sequence[timedelta | None],
    start: datetime,
) -> bool:
    """Whether a time that is not kept lies before the start: by its date, else in the run of all times."""
    run = run_of(time for time in times if time is not None)
    since = since_midnight(times, run)
    first = min(time for time, fits in zip(since, kept, strict=True) if time is not None and fits is not None)
    for time, fits, stated in zip(since, kept, dates_of(slices, since), strict=True):
        if time is None or fits is not None:
            continue
        if at(stated[0], time % DAY) < start if stated else time < first:
            return True
    return False


def clock(time: timedelta) -> str:
    """A time of day as HH:MM:SS."""
    return f"{at(NO_DATE, time):%H:%M:%S}"
