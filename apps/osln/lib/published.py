"""The weights in use, as the server sees them: looked up at every request, loaded once per version."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osln.experiments import EXPERIMENTS, SEGMENTERS, SINGLE_SEGMENTERS
from osln.inference import Predictor
from osln.weights import SHIPPED, ModelStore, Version

ROWS = EXPERIMENTS | SINGLE_SEGMENTERS
"""Every row that can be asked, by name; the first one is what Slicer runs by itself."""


@dataclass(frozen=True)
class _Loaded:
    version: Version
    predictor: Predictor


class Published:
    """Published versions and their networks, by device.

    Another process publishes (training, `scripts/models.py`), so every look compares the store's two
    small files with what was read last; a network is loaded anew when its version's checksum changed.

    Args:
        store: Versions of the weights.
    """

    def __init__(self, store: ModelStore) -> None:
        self.store = store
        self._guard = threading.Lock()
        self._seen: tuple[Any, ...] = ()
        self._versions: dict[str, Version | None] = {}
        self._thresholds: dict[str, dict[str, float]] = {}
        self._networks: dict[tuple[str, str], _Loaded] = {}

    def versions(self) -> Mapping[str, Version | None]:
        """The version in use of every segmenter; None where there are no weights."""
        self._refresh()
        return self._versions

    def thresholds(self, row: str) -> Mapping[str, float]:
        """Thresholds of a row by its precision on validation patients, the paper's 0.15 first."""
        self._refresh()
        return self._thresholds[row]

    def networks(self, row: str, device: str) -> tuple[dict[str, Predictor], dict[str, Version]]:
        """The networks of a row on a device, and the versions they were loaded from.

        Raises:
            ValueError: If a network has no weights, or its file is not the one that was stored.
        """
        networks, versions = {}, {}
        for name in ROWS[row].segmenters:
            loaded = self._network(name, device)
            networks[name], versions[name] = loaded.predictor, loaded.version
        return networks, versions

    def _network(self, name: str, device: str) -> _Loaded:
        version = self.versions()[name]
        with self._guard:
            loaded = self._networks.get((name, device))
            if loaded is None or version is None or loaded.version.sha256 != version.sha256:
                checkpoint = self.store.load(name, version)
                loaded = _Loaded(version or self.store.published(name), Predictor(checkpoint, device))
                self._networks[name, device] = loaded
            return loaded

    def _refresh(self) -> None:
        seen = (
            _stamp(self.store.root / "published.json"),
            _stamp(self.store.root / SHIPPED / "manifest.json"),
        )
        with self._guard:
            if seen == self._seen:
                return
            self._versions = {name: self.store.published(name) for name in SEGMENTERS}
            self._thresholds = {
                row: dict(sorted(self.store.thresholds(row).items(), key=lambda entry: entry[0] != "0.15"))
                for row in ROWS
            }
            self._seen = seen


def described(versions: Mapping[str, Version | None]) -> dict[str, Any]:
    """Versions as JSON: what every result and `/info/` say about the weights."""
    return {
        name: version
        and {
            "version": version.name,
            "sha256": version.sha256,
            "trained_on": version.trained_on,
            "created": version.metadata.get("created"),
        }
        for name, version in versions.items()
    }


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_mtime_ns, state.st_ino
