"""Body weight, injected dose and half-life in the attributes of a PET series, checked before use."""

import math

from pydicom.dataset import Dataset

F18_HALF_LIFE_S = 6586.2
MBQ_PER_KG = (1.0, 30.0)
"""What patients get: FDG about 2 to 8, Rb-82 up to 30; a dose in mCi is at most 0.8 by its number."""
F18_CODES = ("C-111A1", "77004003", "C-B1031", "35321007")
"""SNOMED codes of fluorine-18 and of fludeoxyglucose F-18."""


def weight_kg(header: Dataset) -> float:
    """PatientWeight; refused if it is missing or outside 1 to 500 kg (ValueError)."""
    weight = number(header.get("PatientWeight"))
    if weight is None or weight <= 0:
        raise ValueError("PatientWeight is missing in the PET, so there is no SUV; add it to the DICOM files")
    if not 1 <= weight <= 500:
        raise ValueError(f"PatientWeight is {weight:g} in the PET; expected kilograms between 1 and 500")
    return weight


def isotope_of(header: Dataset) -> Dataset:
    """The one item that describes the injection; several or none are refused (ValueError)."""
    items = header.get("RadiopharmaceuticalInformationSequence") or []
    if len(items) != 1:
        raise ValueError(
            f"the PET has {len(items)} items of RadiopharmaceuticalInformationSequence; expected one, with "
            "dose and injection time"
        )
    return items[0]


def dose_bq(isotope: Dataset, weight: float, warnings: list[str]) -> float:
    """Injected activity in Bq at the time of injection.

    A number between 10 and 2000 is MBq, which some scanners write, if a patient of this weight gets so much;
    this adds a warning. Doses in mCi are numbers of the same size, but much too little as MBq.

    Args:
        isotope: From `isotope_of`.
        weight: Of the patient in kg.
        warnings: Is added to.

    Raises:
        ValueError: If it is missing or no activity that a patient gets.
    """
    dose = number(isotope.get("RadionuclideTotalDose"))
    if dose is None or dose <= 0:
        raise ValueError(
            "RadionuclideTotalDose is missing in the PET, so there is no SUV; add it to the DICOM files"
        )
    if 10 <= dose <= 2000:
        low, high = MBQ_PER_KG
        if not low <= dose / weight <= high:
            raise ValueError(
                f"RadionuclideTotalDose is {dose:g}: as MBq it is {dose / weight:.2g} MBq for each of "
                f"{weight:g} kg, expected {low:g} to {high:g}; it may be mCi (37 MBq). DICOM asks for Bq: "
                "correct it"
            )
        warnings.append(f"RadionuclideTotalDose is {dose:g}: taken as MBq, though DICOM asks for Bq")
        return dose * 1e6
    if not 1e6 <= dose <= 5e9:
        raise ValueError(f"RadionuclideTotalDose is {dose:g} in the PET; expected 1e6 to 5e9 Bq")
    return dose


def half_life_s(isotope: Dataset, warnings: list[str]) -> float:
    """Half-life in seconds; that of F-18, with a warning, if only the tracer is named.

    Raises:
        ValueError: If neither half-life nor a known tracer is given.
    """
    half_life = number(isotope.get("RadionuclideHalfLife"))
    if half_life is not None and half_life > 0:
        return half_life
    codes = [
        str(item.get("CodeValue") or "")
        for keyword in ("RadionuclideCodeSequence", "RadiopharmaceuticalCodeSequence")
        for item in isotope.get(keyword) or []
    ]
    name = str(isotope.get("Radiopharmaceutical") or "").upper()
    if any(code in F18_CODES for code in codes) or "FDG" in name or "FLUORODEOXY" in name:
        warnings.append(f"RadionuclideHalfLife is missing: {F18_HALF_LIFE_S} s of F-18 was used")
        return F18_HALF_LIFE_S
    raise ValueError("RadionuclideHalfLife is missing in the PET and its tracer is not known to be F-18")


def number(value: object) -> float | None:
    """A finite number, or None if the value is empty or anything else."""
    try:
        result = float(str(value).strip("\0 "))
    except ValueError:
        return None
    return result if math.isfinite(result) else None
