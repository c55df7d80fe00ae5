"""The files of a store of weights that are read and written whole."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from osln.files.whole import write_atomically
from osln.weights import shapes

logger = logging.getLogger(__name__)

SHIPPED = "shipped"
PUBLISHED = "published.json"


class StoreState:
    """The files that are read and written whole: the manifest of the shipped weights, and what is in use.

    What was decided or measured here replaces what came with the software. A damaged file is told once in
    the log, and the state before the last change takes its place.

    Args:
        root: Folder; created when something is first written.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._damaged: dict[Path, str] = {}
        self._manifest: tuple[tuple[int, int, int], Mapping[str, Any]] | None = None

    def _shipped_manifest(self) -> Mapping[str, Any]:
        """What came with the software; read again when its file is another one."""
        path = self.root / SHIPPED / "manifest.json"
        try:
            stat = path.stat()
        except FileNotFoundError:
            self._damaged.pop(path, None)
            return {}
        stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if self._manifest is None or self._manifest[0] != stamp:
            instead = "the weights that came with the software are not used: copy it again"
            self._manifest = stamp, self._read(path, instead, shapes.of_manifest) or {}
        return self._manifest[1]

    def _state(self) -> dict[str, Any]:
        last = self._last_good
        instead = (
            f"the state before the last change is used ({last.name})"
            if last.is_file()
            else ("the shipped versions are used")
        )
        wanted = f"{instead}: publish the version that you want"
        state = self._read(self.root / PUBLISHED, wanted, shapes.of_state)
        if state is None and (self.root / PUBLISHED).is_file():
            state = self._read(last, "there is no other", shapes.of_state)
        return {"published": {}} | (state or {})

    def _write_state(self, state: Mapping[str, Any]) -> None:
        current = self._read(self.root / PUBLISHED, "it is made anew", shapes.of_state)
        if current is not None:
            write_atomically(self._last_good, as_json(current))
        write_atomically(self.root / PUBLISHED, as_json(state))

    @property
    def _last_good(self) -> Path:
        return self.root / "published.last.json"

    def _read_version(self, path: Path) -> dict[str, Any] | None:
        """The description of a version that was trained here."""
        return self._read(path, "this version is left out: restore it", shapes.of_version)

    def _read(
        self, path: Path, consequence: str, check: Callable[[Mapping[str, Any]], None]
    ) -> dict[str, Any] | None:
        """A JSON object; None if there is no such file, or, told in the log, if it is damaged.

        Args:
            path: The file.
            consequence: What follows from damage.
            check: Raises ValueError about content of another shape (`osln.weights.shapes`).
        """
        try:
            content = json.loads(path.read_text())
            if not isinstance(content, dict):
                raise ValueError(f"it holds a {type(content).__name__}")
            check(content)
        except FileNotFoundError:
            self._damaged.pop(path, None)
            return None
        except ValueError as error:
            sentence = f"{path} is damaged ({error}); {consequence}"
            if self._damaged.get(path) != sentence:
                logger.warning("%s", sentence)
            self._damaged[path] = sentence
            return None
        self._damaged.pop(path, None)
        return content

    def _lock(self) -> FileLock:
        self.root.mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / ".published.lock")


def as_json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True) + "\n").encode()
