"""In which characters the texts of an object are written: those of its CT where these can say all of them."""

import warnings

from pydicom.charset import convert_encodings, encode_string
from pydicom.dataset import Dataset

UTF_8 = "ISO_IR 192"
TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
"""Value representations that the Specific Character Set is about (PS3.3, C.12.1.1.2)."""


def declare_character_set(dataset: Dataset, ct: Dataset) -> None:
    """Sets the Specific Character Set of a finished object.

    That of the CT is kept for systems that read no other; names that it has no characters for, of a patient
    or of an annotator, would be written as question marks, so that UTF-8 takes its place.

    Args:
        dataset: All its texts are set.
        ct: A header of the CT.
    """
    wanted = ct.get("SpecificCharacterSet")
    texts = [str(one.value) for one in dataset.iterall() if one.VR in TEXTS and one.value]
    dataset.SpecificCharacterSet = wanted if wanted and _says(texts, wanted) else UTF_8


def _says(texts: list[str], wanted: str | list[str]) -> bool:
    with warnings.catch_warnings():
        # Pydicom replaces what it cannot encode, and warns.
        warnings.simplefilter("error")
        try:
            encodings = convert_encodings(wanted)
            for text in texts:
                encode_string(text, encodings)
        except (UserWarning, LookupError, UnicodeError):
            return False
    return True
