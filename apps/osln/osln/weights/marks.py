"""What a comparison found against weights in use: that stage one alone finds more than they do."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from osln.weights.measurements import Measurements
from osln.weights.store_state import SHIPPED

if TYPE_CHECKING:
    from osln.weights.model_store import Version


class Marks(Measurements, ABC):
    """Marks of a store of weights: kept as operating points are, with the checksums they were found with."""

    @abstractmethod
    def published(self, network: str) -> "Version | None":
        """The version in use, None without any."""

    def worse_than_none(self, network: str) -> str | None:
        """Why the version in use of a network is worse than stage one alone; None if it is not.

        A mark says nothing of other weights, nor of other candidates: those of another stage one.
        """
        found, used = self._state().get("worse", {}).get(network), self.published(network)
        if not found or used is None:
            return None
        alike = found["weights"] == self.weights_of(network) if "weights" in found else _is_of(found, used)
        return found["why"] if alike else None

    def set_worse_than_none(self, version: "Version", why: str | None) -> None:
        """Notes that a version was found to be worse than stage one alone or, without a reason, that not."""
        name = version.network
        with self._lock():
            state = self._state()
            marks = state.setdefault("worse", {})
            marks.pop(name, None)
            if why is not None:
                weights = self.weights_of(name) | {name: version.sha256}
                marks[name] = {"version": version.name, "weights": weights, "why": why}
            self._write_state(state)


def _is_of(mark: Mapping[str, Any], version: "Version") -> bool:
    """Whether a mark of former software, which knew of no stage one, is of these weights."""
    # Other weights bear the name of those that come with the software after each update.
    named = mark["version"] == version.name != SHIPPED
    return bool(mark["sha256"] == version.sha256 if "sha256" in mark else named)
