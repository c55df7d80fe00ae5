"""A store of weights in which a version is in use that is not yet, to measure with it before that."""

from collections.abc import Mapping

from osln.rows.experiments import ROWS
from osln.weights.measurements import TRIED, Entry
from osln.weights.model_store import ModelStore, Version


class Trying(ModelStore):
    """A store as it will be when a version is put into use.

    Measurements are kept by the weights that they are of, so that nobody is given those made here before.

    Args:
        store: The store as it is.
        version: The version that is tried.
    """

    def __init__(self, store: ModelStore, version: Version) -> None:
        super().__init__(store.root)
        self._now, self._tried = store, version

    @property
    def now(self) -> ModelStore:
        return self._now

    def published(self, network: str) -> Version | None:
        return self._tried if network == self._tried.network else super().published(network)

    def checksum(self, network: str) -> str | None:
        return self._tried.sha256 if network == self._tried.network else super().checksum(network)

    def _keep(self, kind: str, name: str, entry: Entry, weights: Mapping[str, str] | None = None) -> None:
        super()._keep(kind, name, {**entry, TRIED: True}, weights)

    def _fitted(self, row: str) -> Entry | None:
        """Until it is fitted, the version goes by the fusion of what it replaces."""
        found = super()._fitted(row)
        return (
            found if found and found["weights"] == self._networks(ROWS.get(row)) else self._now._fitted(row)
        )

    def _points(self, name: str) -> Entry | None:
        """Until it is measured, the version goes by the points of what it replaces."""
        found = super()._points(name)
        return found if found and found["weights"] == self.weights_of(name) else self._now._points(name)
