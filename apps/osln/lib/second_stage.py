"""Which network of stage two answers for a row, and above which score a candidate is kept.

A network that reads tags understands those of the very tagger it learned from. With any other one, or
none, the row answers with the network that sees the same images and no tags, and every result says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib.options import Choice, Number, Option
from osln.experiments import CLASSIFIERS
from osln.operating import OFFERED_FALSE_POSITIVES
from osln.weights import Version

FALLBACK = "local-ct-pet"
"""Scores the candidates where tags cannot be used."""

DEFAULT_POINT = "3"
POINTS = (DEFAULT_POINT, *(name for name in OFFERED_FALSE_POSITIVES if name != DEFAULT_POINT))
"""False positives per patient that can be asked for, the default first."""
POINT_UNIT = " FP per patient"
UNMEASURED = 0.5
"""Score that keeps a candidate where no operating point was measured."""


@dataclass(frozen=True)
class Answering:
    """Which network of stage two answers.

    Attributes:
        classifier: Name in `CLASSIFIERS`.
        reason: Why it is not the row's own; None if it is.
        ready: Whether it has weights.
    """

    classifier: str
    reason: str | None
    ready: bool

    @property
    def warnings(self) -> list[str]:
        """What the reader of a result has to know, and what to do."""
        if self.reason is None:
            return []
        if self.ready:
            return [f"{self.reason}; until then {self.classifier} scores the candidates"]
        return [
            f"{self.reason}; {self.classifier}, which would score the candidates until then, has no weights "
            f"either: train it (trainer {self.classifier}), or use a row that ends with stage one"
        ]


def answering(
    wanted: str, versions: Mapping[str, Version | None], tagger: Mapping[str, Any] | None
) -> Answering:
    """The row's own network if it can be used, else `FALLBACK`.

    Args:
        wanted: Name in `CLASSIFIERS`.
        versions: The version in use of every network; None where there are no weights.
        tagger: The tagger in use, as `osln.tagger.Tagger.describe` says it; None if there is none.
    """
    reason = reason_not_usable(wanted, versions.get(wanted), tagger) if CLASSIFIERS[wanted].tags else None
    classifier = wanted if reason is None else FALLBACK
    return Answering(classifier, reason, versions.get(classifier) is not None)


def reason_not_usable(name: str, version: Version | None, tagger: Mapping[str, Any] | None) -> str | None:
    """Why a network that reads tags cannot be used with this tagger, and what to do; None if it can."""
    if tagger is None:
        return (
            f"{name} reads tags and there is no tagger: convert the public LesaNet "
            "(scripts/convert_lesanet.py) or train one (scripts/train_lesanet.py), and start the server with "
            "--conf lesanet PATH"
        )
    if version is None:
        return f"there are no weights for {name}: train it (trainer {name})"
    learned_from = version.metadata.get("tagger") or {}
    if learned_from.get("sha256") != tagger["sha256"]:
        return (
            f"{name} was trained with the tags of {told(learned_from)}, the tagger in use is {told(tagger)}: "
            f"retrain {name} (trainer {name})"
        )
    return None


def told(tagger: Mapping[str, Any] | None) -> str:
    """A tagger in words, for instance "LesaNet (phantom, trained on 1200 phantom lesions, 0f3a9c1e2b4d)"."""
    if not tagger:
        return "none"
    known = (tagger.get("origin"), f"trained on {tagger.get('trained_on')}", str(tagger.get("sha256"))[:12])
    return f"{tagger.get('name', 'LesaNet')} ({', '.join(str(part) for part in known)})"


def measured_points(thresholds: Mapping[str, Any]) -> dict[str, float]:
    """Score thresholds by false positives per patient in the order of `POINTS`.

    Args:
        thresholds: Of a network of stage two as the store keeps them; whatever is no score is left out.
    """
    found = {point: thresholds.get(point) for point in POINTS}
    return {
        point: float(score)
        for point, score in found.items()
        if isinstance(score, (int, float)) and 0.0 <= score <= 1.0
    }


def point_options(points: Mapping[str, float]) -> tuple[Option, ...]:
    """What a request can say about the operating point of stage two.

    Args:
        points: From `measured_points`.
    """
    names = tuple(f"{point}{POINT_UNIT}" for point in points) or (f"score {UNMEASURED}",)
    # 0 leaves the choice to the operating point: viewers always send a value.
    return Choice("operating_point", names), Number("score", 0.0, 0.0, 1.0)


def chosen_point(options: Mapping[str, Any], points: Mapping[str, float]) -> tuple[str, float]:
    """Name and score of the operating point that the checked options ask for."""
    if options["score"]:
        return f"score {options['score']:g}", options["score"]
    name = options["operating_point"]
    return name, points[name.removesuffix(POINT_UNIT)] if points else UNMEASURED
