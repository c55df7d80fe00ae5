"""Which case an annotator gets next: by name, or by chance."""

import logging
import random
import time
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.utils.others.generic import file_checksum

logger = logging.getLogger(__name__)


class First(Strategy):
    """The first case by name that has no approved label: the same for everybody who asks."""

    def __init__(self) -> None:
        super().__init__("First case by name without an approved label")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        waiting = datastore.get_unlabeled_images()
        return sample(datastore, min(waiting)) if waiting else None


class Random(Strategy):
    """A case without an approved label by chance, so that two annotators seldom get the same one.

    A case is the likelier the longer ago it was handed out. MONAI Label's own strategy of this name
    reports the weight of another case than the one it chose, and fails if all were handed out within
    the same second.
    """

    def __init__(self) -> None:
        super().__init__("Random case without an approved label")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        waiting = sorted(datastore.get_unlabeled_images())
        if not waiting:
            return None
        now = time.time()
        seconds = [now - handed_out(datastore, case, request.get("strategy", "random")) for case in waiting]
        weights = [max(1.0, elapsed) for elapsed in seconds]
        (chosen,) = random.choices(range(len(waiting)), weights=weights)
        logger.info("strategy random: %s of %d waiting cases", waiting[chosen], len(waiting))
        return sample(datastore, waiting[chosen]) | {"weight": weights[chosen] / sum(weights)}


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
