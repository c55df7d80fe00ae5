"""SUV by body weight (SUVbw, g/ml) from the attributes of a DICOM PET series.

SUVbw = activity concentration (Bq/ml) x body weight (g) / activity that is left of the injected dose (Bq).
Where a series contradicts itself or lacks a number that cannot be known, it is refused in words: a wrong SUV
looks like a right one.

Reference: DICOM PS3.3 C.8.9.1 (PET series), C.8.9.2 (isotope); QIBA FDG-PET/CT profile, SUV computation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from pydicom.dataset import Dataset

from osln.dicom.reading.dose import dose_bq, half_life_s, isotope_of, number, weight_kg
from osln.dicom.reading.times import at, last_before, nearest, parse_date, parse_datetime, parse_time

MOST_HALF_LIVES = 8.0
"""A scan that began later after the injection is taken for a wrong date (F-18: 14.6 hours)."""
LONG_AFTER = 4.0
"""Half-lives after the injection from which on a scan is remarked on (F-18: 7.3 hours)."""
PHILIPS, PHILIPS_GROUP = "PHILIPS PET PRIVATE GROUP", 0x7053
PHILIPS_SUV, PHILIPS_BQML = 0x00, 0x09
ONE_FOR_ALL = (
    "Units", "SUVType", "DecayCorrection", "CorrectedImage", "PatientWeight", "SeriesDate", "SeriesTime"
)  # fmt: skip
ONE_INJECTION = (
    "RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStartDateTime",
)  # fmt: skip
"""Attributes on which all slices of a series agree: one of them speaks for all."""
NO_DATE = date(2000, 1, 2)
"""Stands for the unknown day of a scan; only differences are used."""


@dataclass(frozen=True)
class SuvConversion:
    """How the rescaled values of a PET series become SUVbw.

    Attributes:
        factors: (N,) SUVbw per unit of each slice, in the order of the slices given.
        explanation: One sentence that says what was used.
        warnings: What was assumed.
    """

    factors: np.ndarray
    explanation: str
    warnings: tuple[str, ...] = ()


def refusal(header: Dataset) -> str | None:
    """Why a PET series can give no SUV, from the attributes that all its slices share; None if it can.

    Judged are units and corrections; weight, dose and times are seen by `suv_conversion`.
    """
    corrected = _words(header.get("CorrectedImage"))
    method = str(header.get("AttenuationCorrectionMethod") or "").strip().upper()
    units = str(header.get("Units") or "").strip().upper()
    series_type = _words(header.get("SeriesType"))
    if corrected and "ATTN" not in corrected:
        return "it is not attenuation-corrected (CorrectedImage lacks ATTN); choose the corrected series"
    if not corrected and method in ("", "NONE"):
        return "it does not say that it is attenuation-corrected (CorrectedImage is empty)"
    if "DYNAMIC" in series_type or "GATED" in series_type:
        return f"it is a {'dynamic' if 'DYNAMIC' in series_type else 'gated'} series, not one static image"
    if units == "PROPCNTS":
        return "its units are PROPCNTS (proportional to counts), which cannot be converted to SUV"
    if units == "CNTS" and not (_private(header, PHILIPS_SUV) or _private(header, PHILIPS_BQML)):
        return (
            "its units are CNTS (counts) and Philips' factors (7053,1000) and (7053,1009) are missing or 0; "
            "export the series with its private attributes"
        )
    if units == "GML" and str(header.get("SUVType") or "BW").strip().upper() != "BW":
        return f"it holds SUV by {header.SUVType} instead of body weight; export it in BQML"
    if units not in ("BQML", "CNTS", "GML"):
        return (
            f"its units are {units or 'not given'}; expected BQML, GML (SUV by body weight) or Philips' CNTS"
        )
    return None


def suv_conversion(slices: Sequence[Dataset]) -> SuvConversion:
    """Factors that turn rescaled values (stored value x slope + intercept) into SUVbw.

    - GML is SUVbw already; CNTS with Philips' (7053,1000) becomes SUVbw, with (7053,1009) Bq/ml.
    - DecayCorrection ADMIN: the values are those of the injection time, the whole dose counts.
    - START: the dose is decayed to the start of the scan, which is SeriesTime unless the earliest
      AcquisitionTime is earlier.
    - NONE: each slice is taken back from its own acquisition, averaged over its frame, to the injection.

    Args:
        slices: Headers of all slices of one series; at least one.

    Raises:
        ValueError: If `refusal` has a reason, or weight, dose, half-life or a time is missing or absurd.
    """
    header = slices[0]
    if reason := refusal(header):
        raise ValueError(f"the PET series gives no SUV: {reason}")
    _check_agreement(slices)
    count, units = len(slices), str(header.Units).strip().upper()
    if units == "GML":
        return SuvConversion(np.ones(count), "the series holds SUV by body weight (GML) already")
    scale, source = np.ones(count), "Bq/ml"
    if units == "CNTS":
        if all(_private(ds, PHILIPS_SUV) for ds in slices):
            factors = np.array([_private(ds, PHILIPS_SUV) for ds in slices])
            return SuvConversion(factors, "counts times Philips' SUV factor (7053,1000)")
        scale, source = _philips_bqml(slices), "counts times Philips' factor (7053,1009)"
    warnings: list[str] = []
    weight_g = 1000 * weight_kg(header)
    isotope = isotope_of(header)
    dose = dose_bq(isotope, warnings)
    correction = str(header.get("DecayCorrection") or "").strip().upper()
    if not correction and "DECY" in _words(header.get("CorrectedImage")):
        correction = "START"
        warnings.append("DecayCorrection is missing: START was assumed, as CorrectedImage has DECY")
    if correction == "ADMIN":
        return SuvConversion(
            scale * weight_g / dose, f"{source}, decay-corrected to the injection", tuple(warnings)
        )
    if correction not in ("START", "NONE"):
        raise ValueError(
            f"DecayCorrection of the PET is {correction or 'missing'}; expected START, ADMIN or NONE"
        )
    half_life = half_life_s(isotope, warnings)
    acquired = _acquired(slices)
    start = _scan_start(header, acquired)
    injected = _injected(header, isotope, start, half_life, warnings)
    if correction == "START":
        elapsed = (start - injected).total_seconds()
        left = dose * 2 ** (-elapsed / half_life)
        text = f"{source}, decay-corrected to the scan's start, {elapsed / 60:.1f} min after the injection"
        return SuvConversion(scale * weight_g / left, text, tuple(warnings))
    if any(moment is None for moment in acquired):
        raise ValueError("the PET is not decay-corrected and AcquisitionTime is missing in some slices")
    elapsed_s = np.array([(moment - injected).total_seconds() for moment in acquired if moment])
    back = 2 ** (elapsed_s / half_life) * [_frame_average(ds, half_life) for ds in slices]
    text = f"{source}, not decay-corrected: each slice taken back from its own acquisition to the injection"
    return SuvConversion(scale * weight_g / dose * back, text, tuple(warnings))


def _check_agreement(slices: Sequence[Dataset]) -> None:
    """Raises ValueError if the slices contradict each other where one of them would speak for all."""

    def plain(ds: Dataset, name: str) -> str:
        # "70" and "70.0" are one number, "100000" and "100000.00" one time.
        value = number(ds.get(name))
        return str(ds.get(name) or "") if value is None else f"{value:.12g}"

    def values(ds: Dataset) -> dict[str, str]:
        injections = ds.get("RadiopharmaceuticalInformationSequence") or []
        own = {name: plain(ds, name) for name in ONE_FOR_ALL}
        return own | {name: plain(item, name) for item in injections for name in ONE_INJECTION}

    first = values(slices[0])
    for at_slice, ds in enumerate(slices[1:], start=2):
        other = values(ds)
        if differing := [name for name in first.keys() | other.keys() if first.get(name) != other.get(name)]:
            name = min(differing)
            raise ValueError(
                f"the images of the PET contradict each other: {name} is "
                f"{first.get(name) or 'missing'} in the first and {other.get(name) or 'missing'} in number "
                f"{at_slice}; export the series again"
            )


def _time(value: object) -> timedelta | None:
    """A TM value; None also for midnight to the second, which stands for "not known" in the field."""
    return parse_time(value) or None


def _philips_bqml(slices: Sequence[Dataset]) -> np.ndarray:
    scale = np.array([_private(ds, PHILIPS_BQML) for ds in slices])
    if not scale.all():
        raise ValueError("Philips' factor (7053,1009) is missing in some slices of the PET; export it again")
    return scale


def _acquired(slices: Sequence[Dataset]) -> list[datetime | None]:
    """Acquisition of each slice; without a date on the day that is nearest to the series' time."""
    header = slices[0]
    day = parse_date(header.get("SeriesDate"))
    series = at(day or NO_DATE, _time(header.get("SeriesTime")) or parse_time("12"))  # type: ignore[arg-type]
    moments: list[datetime | None] = []
    for ds in slices:
        time, own_day = _time(ds.get("AcquisitionTime")), parse_date(ds.get("AcquisitionDate"))
        if time is None:
            moments.append(None)
        elif day is not None and own_day is not None:
            moments.append(at(own_day, time))
        else:
            moments.append(nearest(time, series))
    return moments


def _scan_start(header: Dataset, acquired: Sequence[datetime | None]) -> datetime:
    time = _time(header.get("SeriesTime"))
    known = [moment for moment in acquired if moment is not None]
    if time is not None:
        known.append(at(parse_date(header.get("SeriesDate")) or NO_DATE, time))
    if not known:
        raise ValueError(
            "the PET has neither SeriesTime nor AcquisitionTime (midnight to the second counts as none), "
            "so its decay cannot be known"
        )
    return min(known)


def _injected(
    header: Dataset, isotope: Dataset, start: datetime, half_life: float, warnings: list[str]
) -> datetime:
    moment = parse_datetime(
        isotope.get("RadiopharmaceuticalStartDateTime"), header.get("TimezoneOffsetFromUTC")
    )
    latest_s = MOST_HALF_LIVES * half_life
    dated = parse_date(header.get("SeriesDate")) is not None
    if moment is not None and dated and 0 <= (start - moment).total_seconds() <= latest_s:
        _remark_late((start - moment).total_seconds(), half_life, warnings)
        return moment
    time = _time(isotope.get("RadiopharmaceuticalStartTime"))
    if time is None and moment is not None:
        time = moment - at(moment.date(), parse_time("00")) or None  # type: ignore[arg-type]
    if time is None:
        raise ValueError(
            "the injection time (RadiopharmaceuticalStartTime) is missing in the PET, or midnight to the "
            "second, which programs write that remove times"
        )
    injected = last_before(time, start)
    hours = (start - injected).total_seconds() / 3600
    if (hours + 24) * 3600 <= latest_s:
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
    if moment is not None and dated:
        apart = (start - moment).total_seconds() / 3600
        warnings.append(
            f"the injection's date lies {apart:.1f} h before the scan, which cannot be: only its time of day "
            f"was used ({hours:.2f} h before)"
        )
    return injected


def _remark_late(elapsed_s: float, half_life: float, warnings: list[str]) -> None:
    if elapsed_s > LONG_AFTER * half_life:
        warnings.append(
            f"the scan began {elapsed_s / 3600:.1f} h after the injection ({elapsed_s / half_life:.1f} "
            "half-lives), which is unusual: check the times before the SUVs are believed"
        )


def _frame_average(ds: Dataset, half_life: float) -> float:
    """Activity at the start of a frame over its mean during the frame; 1 if its duration is not given."""
    duration_s = (number(ds.get("ActualFrameDuration")) or 0.0) / 1000
    decay = math.log(2) / half_life * duration_s
    return decay / -math.expm1(-decay) if decay > 0 else 1.0


def _private(ds: Dataset, element: int) -> float:
    """A number of Philips' private group; 0 if it is missing. Implicit VR gives it as bytes.

    The creator's element tells which block of the group is Philips' (PS3.5 section 7.8.1). Where all creators
    were taken out, the usual block is.
    """
    owners = {
        block: str(ds[PHILIPS_GROUP, block].value).strip("\0 ").upper()
        for block in range(0x10, 0x20)
        if (PHILIPS_GROUP, block) in ds
    }
    blocks = [block for block, owner in owners.items() if owner == PHILIPS] if owners else [0x10]
    tag = (PHILIPS_GROUP, (blocks[0] << 8) + element) if blocks else None
    if tag is None or tag not in ds:
        return 0.0
    value = ds[tag].value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return number(text) or 0.0


def _words(value: object) -> list[str]:
    values = [value] if isinstance(value, str) else list(value or [])  # type: ignore[call-overload]
    return [str(word).strip().upper() for word in values if str(word).strip()]
