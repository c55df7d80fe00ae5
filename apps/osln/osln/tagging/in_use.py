"""The tagger in use: loaded once, and once more when another one is published or its file changes."""

import logging
import threading
from pathlib import Path
from typing import Any

from osln.tagging.tagger import Tagger, tagger_file
from osln.weights.model_store import ModelStore
from osln.weights.store_state import SHIPPED

logger = logging.getLogger(__name__)


class TaggerInUse:
    """The tagger of a file or the published one, by device.

    Args:
        store: Versions of the weights.
        chosen: File of the tagger; None for the published version.

    Attributes:
        path: File that was loaded last; None if there is none.

    Raises:
        ValueError: If the file is no tagger (says which names and shapes differ), or is not the one that was
            stored.
    """

    def __init__(self, store: ModelStore, chosen: Path | None = None) -> None:
        self.path: Path | None = None
        self._store = store
        self._chosen = chosen
        self._guard = threading.Lock()
        self._seen: tuple[Any, ...] | None = None
        self._loaded: dict[str, Tagger] = {}
        # A wrong file ends the start of the server, not the first request.
        self.describe()

    def describe(self) -> dict[str, Any] | None:
        """Name, origin, checksum and training data, as `Tagger.describe` gives them; None without one."""
        with self._guard:
            self._refresh()
            return next(iter(self._loaded.values())).describe() if self._loaded else None

    def on(self, device: str) -> Tagger | None:
        """The tagger on a device; None if there is none.

        Raises:
            ValueError: If the file was replaced by one that is no tagger.
        """
        with self._guard:
            self._refresh()
            if self.path is not None and device not in self._loaded:
                self._loaded[device] = Tagger.load(self.path, device)
            return self._loaded.get(device)

    def _refresh(self) -> None:
        seen = (stamp(self._chosen),) if self._chosen else store_stamp(self._store)
        if seen == self._seen:
            return
        try:
            path = tagger_file(self._store, self._chosen)
            fresh = Tagger.load(path) if path else None
        except ValueError as error:
            if not self._loaded:
                raise
            logger.warning("%s. The tagger that was loaded before stays in use", error)
        else:
            self.path = path
            if fresh is None:
                self._loaded = {}
            elif all(tagger.sha256 != fresh.sha256 for tagger in self._loaded.values()):
                self._loaded = {"cpu": fresh}
        self._seen = seen


def store_stamp(store: ModelStore) -> tuple[tuple[int, int] | None, ...]:
    """What changes when other weights are put into use."""
    return stamp(store.root / "published.json"), stamp(store.root / SHIPPED / "manifest.json")


def stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written anew; None if it is not there."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_mtime_ns, state.st_ino
