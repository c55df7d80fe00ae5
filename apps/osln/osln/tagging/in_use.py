"""The tagger in use: one file, loaded once, and once more when its content changes."""

import logging
import threading
from pathlib import Path
from typing import Any

from osln.tagging.tagger import Tagger

logger = logging.getLogger(__name__)


class TaggerInUse:
    """The tagger of a file, by device.

    Args:
        path: File of the tagger; None if there is none.

    Raises:
        ValueError: If the file is no tagger; says which names and shapes differ.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._guard = threading.Lock()
        self._seen: tuple[int, int] | None = None
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
        if self.path is None:
            return
        seen = stamp(self.path)
        if self._loaded and seen == self._seen:
            return
        try:
            fresh = Tagger.load(self.path)
        except ValueError as error:
            if not self._loaded:
                raise
            logger.warning("%s. The tagger that was loaded before stays in use", error)
        else:
            if all(tagger.sha256 != fresh.sha256 for tagger in self._loaded.values()):
                self._loaded = {"cpu": fresh}
        self._seen = seen


def stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written anew; None if it is not there."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_mtime_ns, state.st_ino
