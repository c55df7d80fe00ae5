"""What the files of a store of weights hold: valid JSON of another shape is as damaged as half a file."""

from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import PurePosixPath
from typing import Any

Check = Callable[[Any], bool]
"""Whether a value is of the shape."""


def of_state(content: Mapping[str, Any]) -> None:
    """Raises ValueError if this is not what is in use and was measured (`published.json`)."""
    _check(content, STATE)


def of_version(content: Mapping[str, Any]) -> None:
    """Raises ValueError if this does not describe a version of a network."""
    metadata = content.get("metadata")
    if isinstance(metadata, dict):
        # Before the whole, so that the part is named.
        _check(metadata, METADATA)
    _check(content, VERSION, needed=NEEDED)


def of_manifest(content: Mapping[str, Any]) -> None:
    """Raises ValueError if this does not describe shipped weights."""
    _check(content, MANIFEST)


def _check(content: Mapping[str, Any], shape: Mapping[str, Check], needed: tuple[str, ...] = ()) -> None:
    if lacking := [key for key in needed if key not in content]:
        raise ValueError(f"it has no {' and no '.join(map(repr, lacking))}")
    if wrong := [key for key, fits in shape.items() if key in content and not fits(content[key])]:
        raise ValueError(f"what it says of {' and '.join(map(repr, wrong))} is of another shape")


def _each(fits: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _list(fits: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _kind(kind: type) -> Check:
    return lambda value: isinstance(value, kind)


def _has(shape: Mapping[str, Check], *needed: str) -> Check:
    def fits(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and all(key in value for key in needed)
            and all(check(value[key]) for key, check in shape.items() if key in value)
        )

    return fits


def _none_or(fits: Check) -> Check:
    return lambda value: value is None or fits(value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _own_file(value: Any) -> bool:
    """Whether a file is named that lies in the store."""
    return isinstance(value, str) and not PurePosixPath(value).is_absolute() and ".." not in value


_text, _texts, _numbers = _kind(str), _each(_kind(str)), _each(_number)
_points = _has(
    {
        "weights": _none_or(_texts),
        "thresholds": _numbers,
        "curve": _list(_numbers),
        "patients": _none_or(_kind(int)),
        "curve_of": _texts,
    },
    "weights",
    "thresholds",
)
_fusion = _has({"weights": _texts, "stands_in": _texts, "zones": _kind(dict)}, "weights", "zones")
_mark = _has({"version": _text, "sha256": _text, "weights": _texts, "why": _text}, "version", "why")

METADATA: Mapping[str, Check] = {
    "preset": _text,
    "train_cases": _list(_text),
    "validation_cases": _list(_text),
    "judged_on": _list(_text),
    "left_out": _list(_text),
    "stands_for": _text,
    "base_version": _none_or(_text),
    "handed": _text,
    "tagger": _none_or(_kind(dict)),
}
"""What a training tells of itself, as far as something is decided by it."""
NEEDED = ("file", "sha256", "trained_on")
VERSION: Mapping[str, Check] = {
    "file": _own_file,
    "sha256": _text,
    "trained_on": _text,
    "number": _kind(int),
    "metric": _none_or(_number),
    "metadata": _has(METADATA),
}
STATE: Mapping[str, Check] = {
    "published": _each(_list(_text)),
    "measured": _each(_list(_points)),
    # One for each row was kept by former software, as were thresholds and curves beside each other.
    "fusions": _each(lambda value: _fusion(value) or _list(_fusion)(value)),
    "worse": _each(_mark),
    "thresholds": _each(_numbers),
    "curves": _each(_kind(dict)),
}
MANIFEST: Mapping[str, Check] = {
    "networks": _each(_has(VERSION, *NEEDED)),
    "tagger": _has(VERSION, *NEEDED),
    "thresholds": _each(_numbers),
    "fusions": _each(_fusion),
    "curves": _each(_has({"points": _list(_numbers)})),
}
