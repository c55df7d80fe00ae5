"""When the tracer was given, and whether the decay correction fits the times of a DICOM PET series.

Times that contradict each other are refused in words: which of them is right cannot be known.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom.dataset import Dataset

from osln.dicom.reading.dose import number
from osln.dicom.reading.times import (
    DAY,
    HOUR,
    OFFSET,
    at,
    last_before,
    left_open,
    parse_date,
    parse_datetime,
    parse_time,
    zone_of,
)

MOST_HALF_LIVES = 8.0
"""A scan that began later after the injection is taken for a wrong date (F-18: 14.6 hours)."""
LONG_AFTER = 4.0
"""Half-lives after the injection from which on a scan is remarked on (F-18: 7.3 hours)."""
ONE_TIME_S = 60.0
"""Two statements of one moment may differ by so much: some are rounded to minutes."""
ZONE_S, WIDEST_ZONE_S = 900, 14 * 3600
"""Time zones lie whole quarters of an hour apart, up to 14 hours from UTC."""
DECAY_TOLERANCE = 0.05
"""Share by which a decay factor may be off from that of the times."""


@dataclass(frozen=True)
class Injection:
    """What a PET says about its injection.

    Attributes:
        moment: Date and time; None if they are not there, or the scan has no date to compare with.
        time: Of day; None if it is not known.
        half_life: Of the isotope in seconds.
    """

    moment: datetime | None
    time: timedelta | None
    half_life: float

    @property
    def latest(self) -> timedelta:
        """After it from which on a scan is taken for a wrong date."""
        return timedelta(seconds=MOST_HALF_LIVES * self.half_life)

    def before(self, start: datetime) -> datetime | None:
        """The injection of a scan that began then: its date where that can be, else by its time of day."""
        if self.moment is not None and timedelta(0) <= start - self.moment <= self.latest:
            return self.moment
        return None if self.time is None else last_before(self.time, start)

    def fits(self, start: datetime, acquired: datetime) -> bool:
        """Whether a scan that began at `start` and was first acquired then can be of this injection."""
        injected = self.moment or self.before(start)
        return injected is not None and injected <= start and acquired - injected <= self.latest


def stated_injection(header: Dataset, isotope: Dataset, half_life: float, warnings: list[str]) -> Injection:
    """What the attributes say about the injection.

    Raises:
        ValueError: If it is given twice and not the same, or in another time zone than the scan.
    """
    time = known_time(isotope.get("RadiopharmaceuticalStartTime"))
    moment = _dated_injection(header, isotope, time, warnings)
    stated = [isotope.get(f"RadiopharmaceuticalStart{name}") for name in ("Time", "DateTime")]
    if all(left_open(value) == HOUR for value in stated if value):
        most = 100 * (2 ** (HOUR.total_seconds() / half_life) - 1)
        warnings.append(
            f"the injection's time is given to the hour only: the SUVs may be up to {most:.0f} % too high"
        )
    if time is None and moment is not None:
        time = moment - at(moment.date(), timedelta(0)) or None
    dated = parse_date(header.get("SeriesDate")) is not None
    return Injection(moment if dated else None, time, half_life)


def injected_at(injection: Injection, start: datetime, warnings: list[str]) -> datetime:
    """When the tracer was given, from its date and time where that can be, else from the time of day alone.

    Raises:
        ValueError: If it is missing or absurd.
    """
    moment, half_life, latest_s = injection.moment, injection.half_life, injection.latest.total_seconds()
    injected = injection.before(start)
    if injected is None:
        raise ValueError(
            "the injection time (RadiopharmaceuticalStartTime) is missing in the PET, or midnight to the "
            "second, which programs write that remove times"
        )
    hours = (start - injected).total_seconds() / 3600
    if injected != moment and (hours + 24) * 3600 <= latest_s:
        raise ValueError(
            f"the PET does not tell the day of the injection (RadiopharmaceuticalStartDateTime), and with a "
            f"half-life of {half_life / 3600:.1f} h it may have been {hours:.1f} h or days before the "
            "scan; add the date to the DICOM files"
        )
    if hours * 3600 > latest_s:
        raise ValueError(
            f"the scan began {hours:.1f} h after the injection by the times of the PET, more than "
            f"{MOST_HALF_LIVES:g} half-lives; correct RadiopharmaceuticalStartTime"
        )
    _remark_late(hours * 3600, half_life, warnings)
    if moment is not None and injected != moment:
        apart = (start - moment).total_seconds() / 3600
        warnings.append(
            f"the injection's date lies {apart:.1f} h before the scan, which cannot be: only its time of day "
            f"was used ({hours:.2f} h before)"
        )
    return injected


def _dated_injection(
    header: Dataset, isotope: Dataset, time: timedelta | None, warnings: list[str]
) -> datetime | None:
    """RadiopharmaceuticalStartDateTime; None if it is not there, or says less than the time of day does."""
    value = isotope.get("RadiopharmaceuticalStartDateTime")
    moment = parse_datetime(value, header.get(OFFSET))
    zoned = re.search(r"[+-]\d{4}$", str(value or "").strip()) if zone_of(header) is None else None
    if moment is not None and time is None and zoned:
        raise ValueError(
            f"RadiopharmaceuticalStartDateTime of the PET is of the time zone {zoned.group()} and the scan's "
            "times are of a zone that is not given, so the time between them cannot be known; add "
            "TimezoneOffsetFromUTC or RadiopharmaceuticalStartTime to the DICOM files"
        )
    if moment is None or time is None:
        return moment
    clock = moment - at(moment.date(), timedelta(0))
    if not clock:
        # Midnight to the second stands for "not known".
        return at(moment.date(), time)
    later = (time - clock) % DAY
    if later < left_open(value):
        return moment + later
    apart = min(later, DAY - later).total_seconds()
    if apart <= ONE_TIME_S or DAY - later < left_open(isotope.get("RadiopharmaceuticalStartTime")):
        return moment
    if zoned and apart % ZONE_S <= ONE_TIME_S and apart <= WIDEST_ZONE_S:
        warnings.append(
            "RadiopharmaceuticalStartDateTime is of another time zone than the scan "
            f"({apart / 3600:g} h from RadiopharmaceuticalStartTime, which was used)"
        )
        return None
    raise ValueError(
        f"the PET gives two times of the injection that lie {apart / 60:.0f} min apart "
        f"(RadiopharmaceuticalStartDateTime at {str(value).strip()[8:]}, RadiopharmaceuticalStartTime "
        f"{isotope.get('RadiopharmaceuticalStartTime')}): correct the one that is wrong"
    )


def check_decay_factor(
    slices: Sequence[Dataset], acquired: Sequence[datetime | None], start: datetime, half_life: float
) -> None:
    """Refuses a series whose DecayFactor says that it was corrected to another moment than `start`.

    The slice that was acquired first counts, of several the one with the smallest factor: it lies nearest to
    the moment that all are corrected to.

    Raises:
        ValueError: If they contradict each other.
    """
    known = [
        (moment, factor, ds)
        for ds, moment in zip(slices, acquired, strict=True)
        if moment is not None and (factor := number(ds.get("DecayFactor"))) and factor > 0
    ]
    if not known:
        return
    moment, factor, ds = min(known, key=lambda one: one[:2])
    waited = 2 ** ((moment - start).total_seconds() / half_life)
    off = [math.log(factor / (waited * frame)) for frame in (1.0, frame_average(ds, half_life))]
    if min(map(abs, off)) > DECAY_TOLERANCE:
        raise ValueError(
            f"DecayFactor of the PET is {factor:g} and {waited:.4g} by its times (SeriesTime and "
            f"AcquisitionTime): the SUVs would be {100 * abs(math.expm1(off[0])):.0f} % off if the factor is "
            "right; correct the times, or export the series from the scanner again"
        )


def _remark_late(elapsed_s: float, half_life: float, warnings: list[str]) -> None:
    if elapsed_s > LONG_AFTER * half_life:
        warnings.append(
            f"the scan began {elapsed_s / 3600:.1f} h after the injection ({elapsed_s / half_life:.1f} "
            "half-lives), which is unusual: check the times before the SUVs are believed"
        )


def frame_average(ds: Dataset, half_life: float) -> float:
    """Activity at the start of a frame over its mean during the frame; 1 if its duration is not given."""
    duration_s = (number(ds.get("ActualFrameDuration")) or 0.0) / 1000
    decay = math.log(2) / half_life * duration_s
    return decay / -math.expm1(-decay) if decay > 0 else 1.0


def known_time(value: object) -> timedelta | None:
    """A TM value; None also for midnight to the second, which stands for "not known" in the field."""
    return parse_time(value) or None
