"""Which case an annotator gets next: by name, or by chance; each says why.

A case that somebody else works on, or that was skipped, comes after all others.
"""

import logging
import random
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.utils.others.generic import file_checksum

from lib.who import author

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Proposal:
    """A case that is proposed.

    Attributes:
        case: Its id.
        why: In a sentence, for the annotator.
        about: Further keys of the reply to a viewer.
    """

    case: str
    why: str
    about: Mapping[str, Any]


class Proposing(Strategy):
    """A strategy that can be asked without handing a case out."""

    @abstractmethod
    def propose(self, request: dict[str, Any], datastore: Datastore) -> Proposal | None:
        """The next case; None if every case has an approved label. Reads no image."""

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        found = self.propose(request, datastore)
        return found and sample(datastore, found.case) | {"why": found.why, **found.about}


class First(Proposing):
    """The first case by name that has no approved label: the same for everybody who asks."""

    def __init__(self) -> None:
        super().__init__("First case by name without an approved label")

    def propose(self, request: dict[str, Any], datastore: Datastore) -> Proposal | None:
        waiting, late = waiting_cases(datastore, author(request))
        if not waiting:
            return None
        others = f" of {len(waiting)}" if len(waiting) > 1 else ", the last one"
        return Proposal(min(waiting), late or f"first by name{others} without an approved label", {})


class Random(Proposing):
    """A case without an approved label by chance, so that two annotators seldom get the same one.

    A case is the likelier the longer ago it was handed out. MONAI Label's own strategy of this name
    reports the weight of another case than the one it chose, and fails if all were handed out within
    the same second.
    """

    def __init__(self) -> None:
        super().__init__("Random case without an approved label")

    def propose(self, request: dict[str, Any], datastore: Datastore) -> Proposal | None:
        waiting, late = waiting_cases(datastore, author(request))
        if not waiting:
            return None
        now = time.time()
        seconds = [now - handed_out(datastore, case, request.get("strategy", "random")) for case in waiting]
        weights = [max(1.0, elapsed) for elapsed in seconds]
        (chosen,) = random.choices(range(len(waiting)), weights=weights)
        logger.info("strategy random: %s of %d waiting cases", waiting[chosen], len(waiting))
        why = late or f"by chance out of {len(waiting)} without an approved label"
        return Proposal(waiting[chosen], why, {"weight": weights[chosen] / sum(weights)})


def waiting_cases(datastore: Datastore, annotator: str) -> tuple[list[str], str]:
    """The cases that are proposed to an annotator, by name.

    Returns:
        Those without an approved label that nobody has skipped and nobody else works on. Where there are
        none, those that others work on; where there are none either, the skipped ones; and then why.
    """
    waiting, skipped = sorted(datastore.get_unlabeled_images()), datastore.skipped()
    others = {case for case, lease in datastore.leases().items() if lease["by"] != annotator}
    kept = [case for case in waiting if case not in skipped]
    if free := [case for case in kept if case not in others]:
        return free, ""
    if kept:
        return kept, "somebody works on it; no other case is without an approved label"
    return waiting, "skipped before; no other case is without an approved label"


def sample(datastore: Datastore, case: str) -> dict[str, Any]:
    """What a viewer is told of its next case.

    The checksum makes Slicer look at what it has downloaded before: without one it shows any file that has
    the CT's name, for instance another store's.
    """
    return {"id": case, "checksum": file_checksum(datastore.get_image_uri(case))}


def handed_out(datastore: Datastore, case: str, strategy: str) -> float:
    """When a strategy last returned this case, in seconds since the epoch; 0 if never."""
    stamps = datastore.get_image_info(case).get("strategy", {})
    return float(stamps.get(strategy, {}).get("ts", 0))


def build() -> dict[str, Strategy]:
    """The strategies by the name clients use; viewers fall back to "random"."""
    return {"random": Random(), "first": First()}
