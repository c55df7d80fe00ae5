"""Which network of stage two answers for a row, and why not its own.

A network that reads tags understands those of the very tagger it learned from. With any other one, or none,
the network that sees the same images and no tags stands in. Where that has no weights either, or what would
answer was found to be worse than none, the candidates keep stage one's own score. Every result says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from osln.rows.experiments import CLASSIFIERS
from osln.weights.model_store import Version

FALLBACK = "local-ct-pet"
"""Scores the candidates where tags cannot be used."""


@dataclass(frozen=True)
class Answering:
    """Which network of stage two answers.

    Attributes:
        classifier: Name in `CLASSIFIERS`.
        reason: Why it is not the row's own, or cannot answer; None if it is and can.
        ready: Whether it answers; if not, the candidates have stage one's own score.
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
        return [f"{self.reason}; until then the candidates have stage one's own score"]


def answering(
    wanted: str,
    versions: Mapping[str, Version | None],
    tagger: Mapping[str, Any] | None,
    worse: Mapping[str, str] = MappingProxyType({}),
) -> Answering:
    """The row's own network if it can be used, else `FALLBACK`, else stage one's own score.

    Args:
        wanted: Name in `CLASSIFIERS`.
        versions: The version in use of every network; None where there are no weights.
        tagger: The tagger in use, as `osln.tagging.tagger.Tagger.describe` says it; None if there is none.
        worse: Why networks, by name, are worse than stage one alone (`ModelStore.worse_than_none`).
    """
    reason = reason_not_answering(wanted, versions.get(wanted), tagger)
    classifier = wanted if reason is None else FALLBACK
    unfit = worse.get(classifier) if versions.get(classifier) else _no_weights(classifier)
    reasons = [one for one in (reason, unfit) if one]
    return Answering(classifier, "; ".join(reasons) or None, unfit is None)


def reason_not_answering(name: str, version: Version | None, tagger: Mapping[str, Any] | None) -> str | None:
    """Why a network cannot read this tagger's tags, and what to do; None if it can, or reads none."""
    if not CLASSIFIERS[name].tags:
        return None
    if tagger is None:
        return f"{_no_tagger(name)}, and start the server with --conf lesanet PATH"
    if version is None:
        return _no_weights(name)
    learned_from = version.metadata.get("tagger") or {}
    if learned_from.get("sha256") != tagger["sha256"]:
        return (
            f"{name} was trained with the tags of {told(learned_from)}, the tagger in use is {told(tagger)}: "
            f"retrain {name} (trainer {name})"
        )
    return None


def reason_not_trainable(name: str) -> str:
    """Why a network that reads tags cannot be trained without a tagger, and what to do."""
    return (
        f"{_no_tagger(name)} and name it (server: --conf lesanet PATH, ./scripts/osln train: --tagger PATH), "
        f"or train {FALLBACK}, without them"
    )


def told(tagger: Mapping[str, Any] | None) -> str:
    """A tagger in words, for instance "LesaNet (phantom, trained on 1200 phantom lesions, 0f3a9c1e2b4d)"."""
    if not tagger:
        return "none"
    known = (tagger.get("origin"), f"trained on {tagger.get('trained_on')}", str(tagger.get("sha256"))[:12])
    return f"{tagger.get('name', 'LesaNet')} ({', '.join(str(part) for part in known)})"


def _no_weights(name: str) -> str:
    return f"there are no weights for {name}: train it (trainer {name})"


def _no_tagger(name: str) -> str:
    return (
        f"{name} reads tags and there is no tagger: convert the public LesaNet "
        "(./scripts/osln convert-tagger) or train one (./scripts/osln train-tagger)"
    )
