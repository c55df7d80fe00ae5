"""Whose series are whose: patients by id and issuer, and ids that stand for two people."""

from collections.abc import Sequence

from osln.dicom.reading.files import Series, text


def patient_keys(series: Sequence[Series]) -> dict[int, str]:
    """Patient of each series, by its `id()`: patient id, and issuer where one id has several.

    Planning systems often leave the issuer out, so a missing one is no other one. Series without a patient id
    count as one patient inside one study only.
    """
    issuers: dict[str, set[str]] = {}
    for item in series:
        issuers.setdefault(text(item.header, "PatientID"), set()).add(text(item.header, "IssuerOfPatientID"))
    keys = {}
    for item in series:
        patient, issuer = text(item.header, "PatientID"), text(item.header, "IssuerOfPatientID")
        if not patient:
            keys[id(item)] = f"study {text(item.header, 'StudyInstanceUID')}"
        else:
            keys[id(item)] = f"{patient} ({issuer})" if len(issuers[patient] - {""}) > 1 else patient
    return keys


def two_people(series: Sequence[Series]) -> str | None:
    """Why series of one patient id cannot be of one person; None if they can."""
    sexes = {text(item.header, "PatientSex").upper() for item in series}
    births = {text(item.header, "PatientBirthDate") for item in series} - {""}
    names = {_letters(text(item.header, "PatientName")) for item in series} - {""}
    if len(births) > 1:
        return f"one patient id stands with {len(births)} birth dates: different people; correct the ids"
    if len(names) > 1 and not births:
        return f"one patient id stands with {len(names)} names and no birth date; correct the ids"
    if {"M", "F"} <= sexes:
        return "one patient id stands with both sexes: different people; correct the ids"
    return None


def _letters(name: str) -> str:
    return "".join(sorted("".join(c if c.isalnum() else " " for c in name.casefold()).split()))
