"""QIDO-RS: which results match a query, and which of them are on the page asked for.

Reference: DICOM PS3.18 section 10.6, PS3.4 C.2.2.2 (matching).
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from pydicom.datadict import tag_for_keyword

Result = dict[str, Any]
"""A data set in DICOM JSON."""

NO_FILTERS = ("includefield", "fuzzymatching", "limit", "offset")
MOST_RESULTS = 10_000
UIDS = ("UI",)


def matching(results: Iterable[Result], query: str) -> list[Result]:
    """The results of a search.

    Args:
        results: All of the level, in a fixed order.
        query: As it came: attributes by keyword or tag, `limit`, `offset`; `includefield` and
            `fuzzymatching` change nothing, because everything that is known is told.

    Raises:
        ValueError: If limit or offset are no numbers, or an attribute has no such name.
    """
    given = parse_qsl(query, keep_blank_values=True)
    filters = [(_tag(name), value) for name, value in given if name.lower() not in NO_FILTERS]
    limit = min(_number(given, "limit", MOST_RESULTS), MOST_RESULTS)
    offset = _number(given, "offset", 0)
    found = (one for one in results if all(_matches(one.get(tag, {}), value) for tag, value in filters))
    return list(islice(found, offset, offset + limit))


def _tag(name: str) -> str:
    tag = tag_for_keyword(name)
    if tag is not None:
        return f"{tag:08X}"
    plain = name.replace(",", "").upper()
    if len(plain) == 8 and all(digit in "0123456789ABCDEF" for digit in plain):
        return plain
    raise ValueError(f"{name[:60]!r} is no attribute of DICOM: give its keyword or its tag, like PatientID")


def _number(given: Sequence[tuple[str, str]], name: str, otherwise: int) -> int:
    text = next((value for key, value in given if key.lower() == name), "")
    if not text:
        return otherwise
    if not text.isdecimal() or len(text) > 9:
        raise ValueError(f"{name} is a whole number from 0, got {text[:20]!r}")
    return int(text)


def _matches(element: dict[str, Any], wanted: str) -> bool:
    """Whether one of the values of an element is one of those wanted; nothing wanted matches everything."""
    if wanted in ("", "*"):
        return True
    values = [_text(value) for value in element.get("Value", [])]
    if element.get("vr") in ("DA", "TM") and "-" in wanted:
        low, _, high = wanted.partition("-")
        return any((not low or low <= value) and (not high or value <= high) for value in values)
    # Lists stand for one of their values: by DICOM for UIDs, by custom for modalities.
    patterns = [part for part in wanted.replace("\\", ",").split(",") if part]
    return any(_like(value, pattern) for value in values for pattern in patterns)


def _like(value: str, pattern: str) -> bool:
    return fnmatchcase(value.lower(), pattern.lower().replace("[", "[[]"))


def _text(value: Any) -> str:
    return str(value.get("Alphabetic", "")) if isinstance(value, dict) else str(value)
