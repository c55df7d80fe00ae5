"""When the slices of a DICOM PET series were acquired, and when the scan began.

A slice alone does not tell its day: AcquisitionDate may be missing, or be that of the examination in a scan
over midnight, and SeriesTime may be that of a later reconstruction. So all slices are placed at once, as the
one run of bed after bed that a scan is, on a day to which the injection fits.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

from pydicom.dataset import Dataset

from osln.dicom.reading.scan_run import (
    LONGEST_SCAN,
    NO_DATE,
    clock,
    dates_of,
    is_stray_first,
    run_of,
    since_midnight,
    without_strays,
)
from osln.dicom.reading.suv_times import DECAY_TOLERANCE, Injection, known_time
from osln.dicom.reading.times import DAY, at, last_before, parse_date, parse_time

MOST_AHEAD, LONG_AFTER = timedelta(hours=2), timedelta(hours=12)
"""SeriesTime lies up to so long before the first bed or after it, where nothing else tells the day."""
LONGEST_UPTAKE = timedelta(hours=4)
"""From the injection to the first bed: a SeriesTime between the two is when the examination was begun."""


def acquired_at(
    slices: Sequence[Dataset], injection: Injection, from_start: bool, warnings: list[str]
) -> list[datetime | None]:
    """Acquisition of each slice; None where its time is not known, or stray and of no matter for the start.

    Args:
        slices: Headers of one series.
        injection: Tells the day where AcquisitionDate does not.
        from_start: Whether the SUVs depend on the start of the scan (DecayCorrection START), else on the
            acquisition of each slice.
        warnings: Is added to.

    Raises:
        ValueError: If the slices are no scan of one run, or their day cannot be known and changes the SUVs.
    """
    times = _times(slices)
    kept = without_strays(slices, times) if from_start else times
    if kept == times:
        return _placed(slices, times, injection, from_start, warnings)
    more: list[str] = []
    found = _placed(slices, kept, injection, from_start, more)
    if is_stray_first(slices, times, kept, scan_start(slices[0], found)):
        # Which is refused: the start would be that of a stray one, or of the others.
        return _placed(slices, times, injection, from_start, warnings)
    strays = sorted(time for time, fits in zip(times, kept, strict=True) if time is not None and fits is None)
    clocks = " to ".join(dict.fromkeys(map(clock, (strays[0], strays[-1]))))
    warnings += [
        *more,
        f"AcquisitionTime or AcquisitionDate of {len(strays)} of {len(slices)} images of the PET ({clocks}) "
        "does not fit the others and was left out: the decay counts from the scan's start",
    ]
    return found


def _placed(
    slices: Sequence[Dataset],
    times: Sequence[timedelta | None],
    injection: Injection,
    from_start: bool,
    warnings: list[str],
) -> list[datetime | None]:
    """Acquisition of each slice from its time of day; as `acquired_at`."""
    known = {time for time in times if time is not None}
    if not known:
        return [None] * len(times)
    run = run_of(known)
    if run[-1] - run[0] > LONGEST_SCAN:
        raise ValueError(
            f"the images of the PET were acquired over {(run[-1] - run[0]) / timedelta(hours=1):.1f} h by "
            f"AcquisitionTime ({clock(run[0])} to {clock(run[-1])}); a scan takes at most "
            f"{LONGEST_SCAN / timedelta(hours=1):g} h: correct AcquisitionTime, or export one scan alone"
        )
    since = since_midnight(times, run)
    day = _first_day(slices, since, run, injection, from_start, warnings)
    return [None if time is None else at(day, time) for time in since]


def scan_start(header: Dataset, acquired: Sequence[datetime | None]) -> datetime:
    """SeriesTime, or the earliest acquisition if that is earlier.

    Raises:
        ValueError: If neither is known.
    """
    known = [moment for moment in (_series_time(header), *acquired) if moment is not None]
    if not known:
        raise ValueError(
            "the PET has neither SeriesTime nor AcquisitionTime (midnight to the second counts as none), "
            "so its decay cannot be known"
        )
    return min(known)


def _series_time(header: Dataset) -> datetime | None:
    time = known_time(header.get("SeriesTime"))
    return None if time is None else at(parse_date(header.get("SeriesDate")) or NO_DATE, time)


def _times(slices: Sequence[Dataset]) -> list[timedelta | None]:
    """AcquisitionTime of each slice. Midnight to the second stands for "not known", unless it is as near to
    the other beds as they are to each other: then a bed began at midnight."""
    times = [parse_time(ds.get("AcquisitionTime")) for ds in slices]
    known = {time for time in times if time}
    if known and _longest_step(known | {timedelta(0)}) <= _longest_step(known):
        return times
    return [time or None for time in times]


def _longest_step(times: Iterable[timedelta]) -> timedelta:
    return max((after - before for before, after in pairwise(run_of(times))), default=timedelta(0))


def _first_day(
    slices: Sequence[Dataset],
    since: Sequence[timedelta | None],
    run: Sequence[timedelta],
    injection: Injection,
    from_start: bool,
    warnings: list[str],
) -> date:
    """The day on which the run began, from the midnight of which `since` counts."""
    header = slices[0]
    day, series = parse_date(header.get("SeriesDate")), _series_time(header)
    stated = [one for one in dates_of(slices, since) if one]
    days, firsts = {own for own, _ in stated}, {first for _, first in stated}
    if len(firsts) == 1:
        return firsts.pop()
    if len(days) > 1:
        raise ValueError(
            f"AcquisitionDate of the PET names {len(days)} days, which do not fit AcquisitionTime "
            f"({clock(run[0])} to {clock(run[-1])}); correct the dates, or export one scan alone"
        )
    one_day = days.pop() if days else None
    if one_day is None and series is not None:
        began = _around(series, run[0], injection)
    else:
        same_day = at(one_day or day or NO_DATE, run[0])
        began = [same_day, same_day - DAY] if run[-1] >= DAY else [same_day]
    picked = _likeliest(began, injection, series, from_start, warnings)
    if one_day is not None:
        warnings.append(_over_midnight(run, picked.date() == one_day))
    elif injection.moment is not None and injection.fits(picked - DAY, picked - DAY):
        more = 100 * (2 ** (DAY.total_seconds() / injection.half_life) - 1)
        warnings.append(
            "AcquisitionDate is missing in the PET: its day was taken from SeriesDate and SeriesTime; if it "
            f"was acquired the day before, the SUVs are {more:.0f} % too high"
        )
    return picked.date()


def _over_midnight(run: Sequence[timedelta], of_start: bool) -> str:
    moved = "after midnight count as the next day's" if of_start else "before it as the day before's"
    return (
        "AcquisitionDate is one day in all images of the PET, though the scan ran over midnight "
        f"({clock(run[0])} to {clock(run[-1])}): those {moved}"
    )


def _around(series: datetime, time: timedelta, injection: Injection) -> list[datetime]:
    """When a scan without dates may have begun: last before SeriesTime, or first after it."""
    before = last_before(time, series)
    if before == series:
        return [before]
    # A SeriesTime shortly before the first bed is the usual case: only a dated injection can say otherwise.
    soon = before + DAY - series <= MOST_AHEAD
    return [before + DAY] if soon and injection.moment is None else [before, before + DAY]


def _likeliest(
    began: Sequence[datetime],
    injection: Injection,
    series: datetime | None,
    from_start: bool,
    warnings: list[str],
) -> datetime:
    """The first acquisition, of those possible, that the injection and SeriesTime speak for.

    Raises:
        ValueError: If several are as likely and give different SUVs.
    """

    def start(first: datetime) -> datetime:
        return first if series is None else min(first, series)

    fitting = [first for first in began if injection.fits(start(first), first)] or list(began)
    soon = [first for first in fitting if series is None or first <= series + MOST_AHEAD]
    picked = max(soon, default=min(fitting))
    if series is not None and picked - MOST_AHEAD <= series <= picked + LONG_AFTER:
        return picked
    waits = []
    for first in fitting:
        if (injected := injection.before(start(first))) is not None:
            waits.append(((start(first) if from_start else first) - injected).total_seconds())
    decays = (max(waits) - min(waits)) / injection.half_life if waits else 0.0
    if math.log(2) * decays > DECAY_TOLERANCE:
        if begun := [first for first in fitting if series and _begun_between(injection, series, first)]:
            warnings.append(
                "the PET does not tell the day of its acquisition: SeriesTime, which lies between the "
                "injection and the first bed, counts as the scan's start; if it is that of a reconstruction "
                f"on the next day, the SUVs are {100 * (1 - 2**-decays):.0f} % too low"
            )
            return begun[0]
        raise ValueError(
            "the PET does not tell the day of its acquisition, and its decay may count from "
            f"{min(waits) / 3600:.1f} or {max(waits) / 3600:.1f} h after the injection, with different SUVs; "
            "add AcquisitionDate (and RadiopharmaceuticalStartDateTime) to the DICOM files"
        )
    return picked


def _begun_between(injection: Injection, series: datetime, first: datetime) -> bool:
    """Whether a scan was begun at SeriesTime, after its injection and before its first bed."""
    injected = injection.before(series)
    return injected is not None and series <= first <= injected + LONGEST_UPTAKE
