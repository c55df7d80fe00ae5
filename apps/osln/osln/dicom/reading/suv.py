"""SUV by body weight (SUVbw, g/ml) from the attributes of a DICOM PET series.

SUVbw = activity concentration (Bq/ml) x body weight (g) / activity that is left of the injected dose (Bq).
Where a series contradicts itself or lacks a number that cannot be known, it is refused in words: a wrong SUV
looks like a right one.

Reference: DICOM PS3.3 C.8.9.1 (PET series), C.8.9.2 (isotope); QIBA FDG-PET/CT profile, SUV computation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from osln.dicom.reading.dose import dose_bq, half_life_s, isotope_of, number, weight_kg
from osln.dicom.reading.scan_times import acquired_at, scan_start
from osln.dicom.reading.suv_times import check_decay_factor, frame_average, injected_at, stated_injection

FACTOR_OF_NONE = 0.01
"""A decay factor of so much more or less than 1 is a correction."""
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
    dose = dose_bq(isotope, weight_g / 1000, warnings)
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
    if correction == "NONE":
        _check_not_corrected(slices)
    half_life = half_life_s(isotope, warnings)
    injection = stated_injection(header, isotope, half_life, warnings)
    acquired = acquired_at(slices, injection, correction == "START", warnings)
    start = scan_start(header, acquired)
    injected = injected_at(injection, start, warnings)
    if correction == "START":
        check_decay_factor(slices, acquired, start, half_life)
        elapsed = (start - injected).total_seconds()
        left = dose * 2 ** (-elapsed / half_life)
        text = f"{source}, decay-corrected to the scan's start, {elapsed / 60:.1f} min after the injection"
        return SuvConversion(scale * weight_g / left, text, tuple(warnings))
    if any(moment is None for moment in acquired):
        raise ValueError("the PET is not decay-corrected and AcquisitionTime is missing in some slices")
    elapsed_s = np.array([(moment - injected).total_seconds() for moment in acquired if moment])
    back = 2 ** (elapsed_s / half_life) * [frame_average(ds, half_life) for ds in slices]
    text = f"{source}, not decay-corrected: each slice taken back from its own acquisition to the injection"
    return SuvConversion(scale * weight_g / dose * back, text, tuple(warnings))


def _check_not_corrected(slices: Sequence[Dataset]) -> None:
    """Raises ValueError if a series whose DecayCorrection is NONE says elsewhere that it was corrected."""
    factors = [number(ds.get("DecayFactor")) or 1.0 for ds in slices]
    said = "CorrectedImage has DECY" if "DECY" in _words(slices[0].get("CorrectedImage")) else ""
    if worst := max(factors, key=lambda factor: abs(factor - 1)) - 1:
        said = f"DecayFactor is {worst + 1:g}" if abs(worst) > FACTOR_OF_NONE else said
    if said:
        raise ValueError(
            f"the PET contradicts itself: DecayCorrection is NONE, but {said}; export the series again"
        )


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


def _philips_bqml(slices: Sequence[Dataset]) -> np.ndarray:
    scale = np.array([_private(ds, PHILIPS_BQML) for ds in slices])
    if not scale.all():
        raise ValueError("Philips' factor (7053,1009) is missing in some slices of the PET; export it again")
    return scale


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
