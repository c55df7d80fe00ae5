"""De-identification of everything that an import writes: ids hashed, dates shifted, UIDs mapped, tags listed.

What is kept is a list of attributes that tell nothing about who the patient is (an allow-list); everything
else, all private attributes included, is dropped and counted. All replacements come from a secret key by
HMAC: they are the same for the same patient in every run with this key, and cannot be recomputed without it
(a plain hash of a hospital number can be found by trying all numbers). Voxels are not changed: a CT of the
head shows the face.

Reference: DICOM PS3.15 Annex E (basic profile with "retain longitudinal temporal information, modified dates"
and "retain patient characteristics").
"""

import hashlib
import hmac
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from osln.dicom.reading.files import text
from osln.dicom.reading.times import parse_date
from osln.files.whole import write_atomically

KEPT = (
    "Modality",
    "ImageType",
    "Manufacturer",
    "ManufacturerModelName",
    "BodyPartExamined",
    "PatientPosition",
    "PatientSex",
    "PatientAge",
    "PatientWeight",
    "Rows",
    "Columns",
    "PixelSpacing",
    "SliceThickness",
    "KVP",
    "ConvolutionKernel",
    "ReconstructionMethod",
    "Units",
    "SUVType",
    "DecayCorrection",
    "CorrectedImage",
    "SeriesType",
    "SeriesNumber",
)
DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "StructureSetDate")
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
IDENTITY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "AccessionNumber",
    "StudyDescription",
    "SeriesDescription",
)
"""Written only with `keep_identity`."""
LONGEST_SHIFT_DAYS = 3650
OLDEST_AGE = 89
"""Ages above are as rare as a name; they become 90."""


class Deidentifier:
    """Replaces what identifies a patient, the same way every time.

    Args:
        key: Secret of at least 16 bytes; see `read_key`.
        keep_identity: Leave everything as it is.

    Raises:
        ValueError: If the key is too short.
    """

    def __init__(self, key: bytes, *, keep_identity: bool = False) -> None:
        if len(key) < 16:
            raise ValueError(f"the de-identification key has {len(key)} bytes; expected at least 16")
        self._key = key
        self.keep_identity = keep_identity
        self.dropped: Counter[str] = Counter()
        self.private = 0
        self._uids: set[str] = set()
        self._shifted = 0

    def case_id(self, patient: str, ct_uid: str) -> str:
        """Id of the case: the patient's part, then the CT's; fit to be a file name."""
        series = self._digest("series", ct_uid)[:4]
        if self.keep_identity:
            name = re.sub(r"[^A-Za-z0-9_-]+", "_", patient).strip("_-") or "case"
            return f"{name[:100]}-{series}"
        return f"case-{self._digest('patient', patient)[:10]}-{series}"

    def uid(self, uid: str) -> str:
        """The UID that stands for another one; "" stays empty."""
        if self.keep_identity or not uid:
            return uid
        self._uids.add(uid)
        return f"2.25.{int(self._digest('uid', uid)[:32], 16)}"

    def date(self, patient: str, value: object) -> str:
        """A DA value moved into the past by the patient's own number of days; "" if it is no date."""
        day = parse_date(value)
        if day is None:
            return ""
        if self.keep_identity:
            return day.strftime("%Y%m%d")
        self._shifted += 1
        shift = 1 + int(self._digest("days", patient)[:8], 16) % LONGEST_SHIFT_DAYS
        return (day - timedelta(days=shift)).strftime("%Y%m%d")

    def patient(self, patient: str) -> str:
        """What stands for a patient in manifests and reports."""
        return patient if self.keep_identity else f"patient-{self._digest('patient', patient)[:10]}"

    def fingerprint(self, parts: Iterable[str]) -> str:
        """Tells whether a case was made from these parts (UIDs, decisions), without telling them."""
        return self._digest("source", "\n".join(sorted(parts)))[:32]

    def describe(self, header: Dataset, patient: str) -> dict[str, Any]:
        """The attributes of a series that may be written, as JSON values."""
        described: dict[str, Any] = {}
        for element in header:
            keyword = element.keyword
            if element.tag.is_private:
                self.private += not self.keep_identity
            elif keyword in UIDS:
                described[keyword] = self.uid(text(header, keyword))
            elif keyword in DATES:
                described[keyword] = self.date(patient, element.value)
            elif keyword == "PatientAge" and not self.keep_identity:
                described[keyword] = _age(text(header, keyword))
            elif keyword in KEPT or (self.keep_identity and keyword in IDENTITY):
                described[keyword] = _plain(element.value)
            elif not self.keep_identity:
                self.dropped[keyword or str(element.tag)] += 1
        return described

    def clean(self, message: str, identifying: Iterable[str]) -> str:
        """A message without the given texts (names, ids, UIDs): they become "***", UIDs their replacement."""
        if self.keep_identity:
            return message
        for word in sorted({w for w in identifying if len(w) >= 3}, key=len, reverse=True):
            replacement = self.uid(word) if re.fullmatch(r"[0-9.]{10,64}", word) and "." in word else "***"
            message = re.sub(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", replacement, message)
        return message

    def report(self) -> dict[str, Any]:
        """What was done, as JSON values."""
        if self.keep_identity:
            return {"identity": "kept (asked for with --keep-identity)"}
        return {
            "identity": "removed",
            "case ids": "HMAC-SHA256 of patient id and CT series with the key",
            "dates": f"{self._shifted} dates moved by one number of days for all of a patient",
            "UIDs": f"{len(self._uids)} UIDs mapped, the same everywhere",
            "private attributes dropped": self.private,
            "attributes dropped": dict(sorted(self.dropped.items())),
            "attributes kept": [*KEPT, *DATES, *UIDS],
            "not changed": "voxel values (a CT of the head shows the face) and the names of regions",
        }

    def _digest(self, domain: str, value: str) -> str:
        return hmac.new(self._key, f"{domain}:{value}".encode(), hashlib.sha256).hexdigest()


def read_key(path: Path) -> bytes:
    """The key of a file, which is made with a random key (readable by its owner alone) if it is not there.

    Raises:
        ValueError: If the file holds no key.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        # Of several processes one makes it, and the others see it whole or not at all.
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not path.is_file():
                write_atomically(path, f"{secrets.token_hex(32)}\n".encode(), 0o600)
    try:
        key = bytes.fromhex(path.read_text().strip())
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} holds no de-identification key; expected 64 hexadecimal digits") from error
    if len(key) < 16:
        raise ValueError(f"{path} holds no de-identification key; expected 64 hexadecimal digits")
    return key


def identifying_texts(headers: Sequence[Dataset]) -> set[str]:
    """Names, ids, dates and UIDs of patients, which no written message may hold."""
    found: set[str] = set()
    for header in headers:
        for element in header:
            if element.VR in ("PN", "UI", "DA") or element.keyword in (*IDENTITY, "InstitutionName"):
                values = element.value if element.VM > 1 else [element.value]
                for value in values or []:
                    found.add(str(value).strip())
                    found.update(re.split(r"[\^=, ]+", str(value)) if element.VR == "PN" else ())
    kept = {str(header.get("SOPClassUID") or "") for header in headers}
    return {word for word in found - kept if word}


def _age(age: str) -> str:
    """An AS value that tells no rare age; also of fewer digits than the standard asks for."""
    found = re.fullmatch(r"(\d{1,4})\s*([DWMY])", age.upper())
    if found is None:
        return ""
    years = int(found.group(1)) / {"D": 365, "W": 52, "M": 12, "Y": 1}[found.group(2)]
    return "090Y" if years >= OLDEST_AGE + 1 else age


def _plain(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, (str, PersonName, type(None))):
        return str(value or "")
    try:
        return [_plain(item) for item in value]
    except TypeError:
        return str(value)
