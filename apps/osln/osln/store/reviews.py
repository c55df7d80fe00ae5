"""What an annotator decided about each candidate: part of the label that it was decided for.

A review lies beside its revision as `0001.review.json` and is written before the head, as the voxels are. Its
values are those of the stored map of single nodes.

A case may be submitted in part: then only what was decided counts, and everything else of the patient is
unknown, no node and none (`in_part`).
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

COUNTED = ("accepted", "edited", "added")
"""States whose candidates are nodes."""
STATES = ("undecided", "rejected", *COUNTED)
UNDECIDED = ("accepted", "rejected", "unknown")
"""What undecided candidates above the operating point count as; the annotator is asked."""
ORIGINS = ("model", "annotator", "click")
ZONES = ("proximal", "distal")
NUMBERS = ("radius_mm", "score", "stage_one_score", "suv_max", "distance_mm")
"""Of a candidate; null where it is not known."""
MOST_CANDIDATES = 5000
MOST_PLACES = 1000
MOST_TAGS = 200
MOST_NETWORKS = 64
LONGEST = 200
"""Characters of an id or a name."""
LARGEST = 1e7
"""Of a number, whatever its unit: seconds of a quarter of a year, ten kilometers."""
HIGHEST_VALUE = 65535
SAME_PLACE_MM = 0.01
"""Along each axis: viewers round to hundredths of a millimeter, or not at all."""


def checked_review(value: Any) -> dict[str, Any]:
    """A review as it came from a client, with all its keys.

    Args:
        value: `complete`, `seconds`, `undecided`, `model`, `candidates`, and `looked_at`, centers of places
            outside candidates that were proposed and looked at (RAS, mm).

    Returns:
        The same as plain JSON values.

    Raises:
        ValueError: If a key is missing or unknown, a value not allowed, an id or a value of the label map
            used twice, a candidate that is no node has a value of the label map, or one that is a node has
            none. Stored reviews of former versions, which are read without this, may have such nodes.
    """
    review = _object(
        value,
        "the review",
        required=("complete", "seconds", "undecided", "candidates"),
        optional=("model", "looked_at"),
    )
    if not isinstance(review["complete"], bool):
        raise ValueError(f"complete of the review is true or false, not {_shown(review['complete'])}")
    candidates = review["candidates"]
    if not isinstance(candidates, list) or len(candidates) > MOST_CANDIDATES:
        raise ValueError(f"candidates of the review must be a list of at most {MOST_CANDIDATES}")
    checked = {
        "complete": review["complete"],
        "seconds": _number(review["seconds"], "seconds of the review", low=0.0),
        "undecided": _one_of(review["undecided"], UNDECIDED, "undecided of the review"),
        "model": _model(review["model"]),
        "candidates": [_candidate(one, number) for number, one in enumerate(candidates, start=1)],
    }
    if review["looked_at"]:
        checked["looked_at"] = _places(review["looked_at"])
    _check_together(checked)
    return checked


def in_part(review: Mapping[str, Any] | None) -> bool:
    """Whether a case was submitted in part: not complete, and what is undecided counts as nothing.

    >>> in_part({"complete": False, "undecided": "unknown"})
    True
    >>> in_part({"complete": False, "undecided": "rejected"})
    False

    Args:
        review: From `checked_review`; None, a label without a review, is complete.
    """
    return review is not None and not review.get("complete", True) and review.get("undecided") == "unknown"


def undecided_count(review: Mapping[str, Any]) -> int:
    """Candidates that a review leaves undecided."""
    return sum(one["state"] == "undecided" for one in review["candidates"])


def renumbered(review: Mapping[str, Any], stored: Mapping[int, int]) -> dict[str, Any]:
    """A review with the values of the stored map of nodes.

    Args:
        review: From `checked_review`.
        stored: Stored value by value of the submitted label map, for each node in it.

    Raises:
        ValueError: If a candidate names a value that the label map does not have.
    """
    named = (one["value"] for one in review["candidates"])
    if lacking := sorted({value for value in named if value is not None} - stored.keys()):
        raise ValueError(
            f"the review names the values {lacking[:10]} of the label map, which holds no node with them: "
            "give null for a candidate that is not in it"
        )
    candidates = [
        {**one, "value": None if one["value"] is None else stored[one["value"]]}
        for one in review["candidates"]
    ]
    return {**review, "candidates": candidates}


def same_decisions(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether a renumbered review says what a former one said of the same candidates, and no place more.

    Seconds and scores do not count, nor that it leaves out places that were looked at before. Another place
    makes another candidate: viewers number those of each run anew.
    """
    if one is None or other is None:
        return one is other
    more = [place for place in one.get("looked_at") or [] if place not in (other.get("looked_at") or [])]
    places, former = ({found["id"]: found for found in review["candidates"]} for review in (one, other))
    return (
        _decided(one) == _decided(other)
        and not more
        and all(_same_place(place, former[found]) for found, place in places.items())
    )


def _same_place(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two candidates lie at one place, as far as both say where."""
    told = [(one.get(name), other.get(name)) for name in ("center_mm", "box_mm")]
    return all(np.allclose(a, b, rtol=0, atol=SAME_PLACE_MM) for a, b in told if a and b)


def _decided(review: Mapping[str, Any]) -> tuple[Any, ...]:
    states = {one["id"]: (one["state"], one["value"]) for one in review["candidates"]}
    return review["complete"], in_part(review), states


def _places(value: Any) -> list[list[float]]:
    what = "looked_at of the review"
    if not isinstance(value, list) or len(value) > MOST_PLACES:
        raise ValueError(f"{what} must be a list of at most {MOST_PLACES} places")
    return [_center(one, what) for one in value]


def _center(value: Any, what: str) -> list[float]:
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(f"{what} must be three numbers (RAS, mm), not {_shown(value)}")
    return [_number(along, what) for along in value]


def _candidate(value: Any, number: int) -> dict[str, Any]:
    what = f"candidate {number} of the review"
    one = _object(
        value,
        what,
        required=("id", "state", "center_mm", "origin"),
        optional=("value", "zone", "seconds", "tags", "box_mm", *NUMBERS),
    )
    seconds = one["seconds"]
    return {
        "id": _text(one["id"], f"id of {what}"),
        "state": _one_of(one["state"], STATES, f"state of {what}"),
        "value": None if one["value"] is None else _value(one["value"], what),
        "center_mm": _center(one["center_mm"], f"center_mm of {what}"),
        **{name: None if one[name] is None else _number(one[name], f"{name} of {what}") for name in NUMBERS},
        "zone": None if one["zone"] is None else _one_of(one["zone"], ZONES, f"zone of {what}"),
        "origin": _one_of(one["origin"], ORIGINS, f"origin of {what}"),
        "seconds": None if seconds is None else _number(seconds, f"seconds of {what}", low=0.0),
        "tags": _tags(one["tags"], what),
        "box_mm": None if one["box_mm"] is None else _box(one["box_mm"], what),
    }


def _box(value: Any, what: str) -> list[list[float]]:
    """Lowest and highest corner of what a candidate takes, RAS mm."""
    corners = (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(at, list) and len(at) == 3 for at in value)
    )
    if not corners:
        raise ValueError(
            f"box_mm of {what} must be two corners of three numbers (RAS, mm), not {_shown(value)}"
        )
    low, high = ([_number(along, f"box_mm of {what}") for along in corner] for corner in value)
    if any(a > b for a, b in zip(low, high, strict=True)):
        raise ValueError(f"box_mm of {what} must begin with its lowest corner, not {_shown(value)}")
    return [low, high]


def _tags(value: Any, what: str) -> list[list[Any]]:
    tags = [] if value is None else value
    pairs = isinstance(tags, list) and all(isinstance(tag, list) and len(tag) == 2 for tag in tags)
    if not pairs or len(tags) > MOST_TAGS:
        raise ValueError(f'tags of {what} must be at most {MOST_TAGS} pairs such as ["mediastinum", 0.8]')
    return [[_text(name, f"a tag of {what}"), _number(share, f"a tag of {what}")] for name, share in tags]


def _model(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    what = "model of the review"
    model = _object(value, what, required=("name",), optional=("versions", "operating_point"))
    versions, point = model["versions"] or {}, model["operating_point"]
    if not isinstance(versions, dict) or len(versions) > MOST_NETWORKS:
        raise ValueError(f"versions of the {what} must be an object of at most {MOST_NETWORKS} networks")
    return {
        "name": _text(model["name"], f"name of the {what}"),
        "versions": {
            _text(network, f"a network of the {what}"): None
            if version is None
            else _text(version, f"a version of the {what}")
            for network, version in versions.items()
        },
        "operating_point": None if point is None else _text(point, f"operating_point of the {what}"),
    }


def _check_together(review: Mapping[str, Any]) -> None:
    candidates = review["candidates"]
    _once([one["id"] for one in candidates], "id")
    _once([one["value"] for one in candidates if one["value"] is not None], "value")
    for one in candidates:
        counts = one["state"] in COUNTED or (
            one["state"] == "undecided" and review["undecided"] == "accepted"
        )
        if one["value"] is not None and not counts:
            raise ValueError(
                f"candidate {one['id']} is {one['state']}, and yet it has the value {one['value']} of the "
                "label map: what is no node is not in the label (its value is null)"
            )
        if one["value"] is None and one["state"] in COUNTED:
            raise ValueError(
                f"candidate {one['id']} is {one['state']}, and yet it has no value of the label map: a node "
                "is in the label; give its value there, or another state if it has no voxel"
            )


def _once(values: Collection[Any], what: str) -> None:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise ValueError(
                f"two candidates of the review have the {what} {_shown(value)}: each has its own"
            )
        seen.add(value)


def _object(value: Any, what: str, *, required: Collection[str], optional: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a JSON object, not {_shown(value)}")
    known = [*required, *optional]
    if strange := sorted(str(key)[:LONGEST] for key in value.keys() - set(known)):
        raise ValueError(f"{what} has unknown keys {strange[:10]}; known are {', '.join(known)}")
    if lacking := [name for name in required if name not in value]:
        raise ValueError(f"{what} lacks {', '.join(lacking)}: docs/review.md has its form")
    return {name: value.get(name) for name in known}


def _number(value: Any, what: str, low: float = -LARGEST) -> float:
    # NaN is not between any two numbers.
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= LARGEST:
        raise ValueError(f"{what} must be a number from {low:g} to {LARGEST:g}, not {_shown(value)}")
    return value


def _value(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= HIGHEST_VALUE:
        raise ValueError(
            f"value of {what} must be null or a value of the label map, 1 to {HIGHEST_VALUE}, not "
            f"{_shown(value)}"
        )
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST or not value.isprintable():
        raise ValueError(f"{what} must be a text of 1 to {LONGEST} characters, not {_shown(value)}")
    return value


def _one_of(value: Any, allowed: Collection[str], what: str) -> str:
    if value not in allowed:
        raise ValueError(f"{what} is one of {', '.join(allowed)}, not {_shown(value)}")
    return str(value)


def _shown(value: Any) -> str:
    # Cut before it is written out: what came may be megabytes.
    return repr(value[:80] if isinstance(value, str | list) else value)[:100]
