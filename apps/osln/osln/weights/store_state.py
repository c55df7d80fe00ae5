"""What a store of weights says of itself: which versions are in use, and what was measured with them."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from osln.files.whole import plain, write_atomically
from osln.rows.experiments import OPERATING_POINT

logger = logging.getLogger(__name__)

SHIPPED = "shipped"
PUBLISHED = "published.json"
DEFAULT_THRESHOLD = 0.5


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

    def thresholds(self, experiment: str) -> dict[str, float]:
        """Operating points of an experiment: threshold of the fused map by precision, e.g. {"0.15": .4}.

        Measured on validation patients and kept with the weights; without any, {"0.15": 0.5}.
        """
        shipped = self._shipped_manifest().get("thresholds", {})
        own = self._state().get("thresholds", {})
        return dict({**shipped, **own}.get(experiment) or {OPERATING_POINT: DEFAULT_THRESHOLD})

    def set_thresholds(
        self, experiment: str, thresholds: Mapping[str, float], curve: Mapping[str, Any] | None = None
    ) -> None:
        """Stores the operating points of an experiment and what was found there; `thresholds`, `curve`."""
        with self._lock():
            state = self._state()
            state.setdefault("thresholds", {})[experiment] = plain(thresholds)
            state.setdefault("curves", {})[experiment] = plain(dict(curve or {}))
            self._write_state(state)

    def fusion(self, experiment: str) -> dict[str, Any]:
        """What was fitted on validation patients to fuse the networks of a row with learned fusion.

        Returns:
            `weights`, checksum by network that it was fitted to, and `zones`, see `LearnedFusion.from_json`;
            {} if it was not fitted.
        """
        shipped = self._shipped_manifest().get("fusions", {})
        return dict({**shipped, **self._state().get("fusions", {})}.get(experiment) or {})

    def set_fusion(self, experiment: str, zones: Mapping[str, Any], weights: Mapping[str, str]) -> None:
        """Stores what was fitted; see `fusion`."""
        with self._lock():
            state = self._state()
            state.setdefault("fusions", {})[experiment] = {"weights": dict(weights), "zones": plain(zones)}
            self._write_state(state)

    def curve(self, experiment: str) -> dict[str, Any]:
        """What validation patients gave at the operating points of a network of stage two.

        Returns:
            `weights`, checksum by network that it was measured with, and `points`, a list of
            `fp_per_patient`, `threshold` and `sensitivity`; {} if it was not measured.
        """
        shipped = self._shipped_manifest().get("curves", {})
        state = self._state()
        # Thresholds that were set here replace the shipped ones together with what was found there.
        if experiment in state.get("thresholds", {}):
            return dict(state.get("curves", {}).get(experiment) or {})
        return dict(shipped.get(experiment) or {})

    def _shipped_manifest(self) -> dict[str, Any]:
        path = self.root / SHIPPED / "manifest.json"
        return self._read(path, "the weights that came with the software are not used: copy it again") or {}

    def _state(self) -> dict[str, Any]:
        last = self._last_good
        instead = (
            f"the state before the last change is used ({last.name})"
            if last.is_file()
            else ("the shipped versions are used")
        )
        state = self._read(self.root / PUBLISHED, f"{instead}: publish the version that you want")
        if state is None and (self.root / PUBLISHED).is_file():
            state = self._read(last, "there is no other")
        return {"published": {}} | (state or {})

    def _write_state(self, state: Mapping[str, Any]) -> None:
        if (current := self._read(self.root / PUBLISHED, "it is made anew")) is not None:
            write_atomically(self._last_good, as_json(current))
        write_atomically(self.root / PUBLISHED, as_json(state))

    @property
    def _last_good(self) -> Path:
        return self.root / "published.last.json"

    def _read(self, path: Path, consequence: str) -> dict[str, Any] | None:
        """A JSON object; None if there is no such file, or, told in the log, if it is damaged."""
        try:
            content = json.loads(path.read_text())
            if not isinstance(content, dict):
                raise ValueError(f"it holds a {type(content).__name__}")
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
