"""What a prediction leaves behind for choosing what to ask an annotator: numbers, no image."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

ZONES = ("proximal", "distal", "unknown")
"""Of a candidate; unknown without a tumor contour."""
KEY_DIGITS = 16
FORM = 1
"""Of the JSON; another one is made anew."""


@dataclass(frozen=True)
class CandidateEvidence:
    """What is known of one candidate.

    Attributes:
        candidate: Its number in the prediction's list.
        score: What it is ranked by there.
        stage_one: Mean fused probability of its voxels.
        stage_two: Probability that stage two gives it; None without stage two.
        streams: Mean probability of each network of stage one over the candidate's voxels in the network's
            zone; a network without such voxels is not named.
        zone: One of `ZONES`.
        size_mm: Diameter of the sphere of its volume.
        center_mm: RAS.
        features: What the last layer of stage two reads; None without stage two, or if they were left out.
    """

    candidate: int
    score: float
    stage_one: float
    stage_two: float | None
    streams: Mapping[str, float]
    zone: str
    size_mm: float
    center_mm: tuple[float, float, float]
    features: tuple[float, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        what = f"candidate {self.candidate}"
        _check(_counts(self.candidate), what, "candidate", "a number from 1 on", self.candidate)
        named = {"score": self.score, "stage_one": self.stage_one, **self.streams}
        if self.stage_two is not None:
            named["stage_two"] = self.stage_two
        for name, value in named.items():
            _check(_is_share(value), what, name, "a probability", value)
        _check(self.zone in ZONES, what, "zone", f"one of {', '.join(ZONES)}", self.zone)
        _check(_is_number(self.size_mm) and self.size_mm > 0, what, "size_mm", "above 0", self.size_mm)
        _check_place(self.center_mm, what)
        usable = self.features is None or all(map(_is_number, self.features))
        _check(usable, what, "features", "numbers", self.features)

    @property
    def probability(self) -> float:
        """That it is a node, by stage two where it was asked, else by stage one."""
        return self.stage_one if self.stage_two is None else self.stage_two


@dataclass(frozen=True)
class WindowEvidence:
    """A place outside all candidates where stage one is not sure: missed nodes hide there.

    Attributes:
        center_mm: RAS.
        size_mm: Edge of the cube.
        doubt: Mean entropy of the fused probability in it, bits.
        probability: Mean fused probability in it.
    """

    center_mm: tuple[float, float, float]
    size_mm: float
    doubt: float
    probability: float

    def __post_init__(self) -> None:
        _check_place(self.center_mm, "a window")
        _check(_is_number(self.size_mm) and self.size_mm > 0, "a window", "size_mm", "above 0", self.size_mm)
        for name in ("doubt", "probability"):
            _check(_is_share(getattr(self, name)), "a window", name, "from 0 to 1", getattr(self, name))


@dataclass(frozen=True)
class CaseEvidence:
    """What a prediction leaves behind of one case.

    Attributes:
        case: Its id.
        weights: Key of all versions that made it; evidence of other weights is out of date.
        operating_point: Score from which candidates are kept.
        candidates: In the order of the prediction.
        windows: By falling doubt.
    """

    case: str
    weights: str
    operating_point: float
    candidates: tuple[CandidateEvidence, ...]
    windows: tuple[WindowEvidence, ...] = ()

    def __post_init__(self) -> None:
        what = f"evidence of {self.case!r}"
        for name in ("case", "weights"):
            value = getattr(self, name)
            _check(isinstance(value, str) and value != "", what, name, "a text", value)
        point = self.operating_point
        _check(_is_share(point), what, "operating_point", "from 0 to 1", point)
        numbers = [one.candidate for one in self.candidates]
        _check(len(set(numbers)) == len(numbers), what, "candidates", "numbered once each", numbers)

    def without_features(self) -> "CaseEvidence":
        """The same without what only a comparison of candidates by their looks needs."""
        return replace(self, candidates=tuple(replace(one, features=None) for one in self.candidates))

    def to_json(self) -> dict[str, Any]:
        """JSON values, read by `from_json`."""
        return {
            "form": FORM,
            "case": self.case,
            "weights": self.weights,
            "operating_point": self.operating_point,
            "candidates": [vars(one) | {"streams": dict(one.streams)} for one in self.candidates],
            "windows": [dict(vars(one)) for one in self.windows],
        }

    @classmethod
    def from_json(cls, value: Any) -> "CaseEvidence":
        """What `to_json` wrote.

        Raises:
            ValueError: If it is of another form, a key is missing or unknown, or a value is not allowed.
        """
        about = _object(value, "the evidence")
        form = about.pop("form", None)
        if form != FORM:
            raise ValueError(f"the evidence has form {form!r}, and {FORM} is read here: let it be made anew")
        about["candidates"] = tuple(_made(CandidateEvidence, one) for one in _list(about, "candidates"))
        about["windows"] = tuple(_made(WindowEvidence, one) for one in _list(about, "windows"))
        found: CaseEvidence = _made(cls, about)
        return found


def weights_key(row: str, checksums: Mapping[str, str], threshold: float) -> str:
    """Names all that a row has learned: the same key, the same candidates and scores.

    Args:
        row: Name of the row.
        checksums: SHA-256 of the weights by network, the tagger's too.
        threshold: Operating point of stage one, which a publish of stage one sets anew.
    """
    told = json.dumps([row, sorted(checksums.items()), threshold])
    return hashlib.sha256(told.encode()).hexdigest()[:KEY_DIGITS]


def _made(kind: Any, value: Any) -> Any:
    about = _object(value, kind.__name__)
    for name in ("center_mm", "features"):
        if isinstance(about.get(name), list):
            about[name] = tuple(about[name])
    if "streams" in about:
        about["streams"] = _object(about["streams"], "streams")
    known = set(kind.__dataclass_fields__)
    if strange := sorted(about.keys() ^ known):
        raise ValueError(f"{kind.__name__} has the keys {', '.join(sorted(known))}; wrong are {strange}")
    return kind(**about)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a JSON object, not {str(value)[:80]!r}")
    return dict(value)


def _list(about: Mapping[str, Any], name: str) -> list[Any]:
    if not isinstance(about.get(name), list):
        raise ValueError(f"{name} of the evidence must be a list, not {str(about.get(name))[:80]!r}")
    found: list[Any] = about[name]
    return found


def _check(usable: bool, what: str, name: str, expected: str, value: Any) -> None:
    if not usable:
        raise ValueError(f"{name} of {what} must be {expected}, not {str(value)[:80]!r}")


def _check_place(center: Any, what: str) -> None:
    usable = isinstance(center, tuple) and len(center) == 3 and all(map(_is_number, center))
    _check(usable, what, "center_mm", "three numbers (RAS, mm)", center)


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0.0 <= value <= 1.0
