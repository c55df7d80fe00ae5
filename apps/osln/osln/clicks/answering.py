"""What answers clicks: the shipped network, or the classical way where it is not there."""

import json
import threading
from pathlib import Path

from osln.clicks.classical import Marching
from osln.clicks.network import FILE, ClickNetwork
from osln.weights.model_store import sha256_of


class InUse:
    """The method in use, loaded when it is first asked for.

    Args:
        shipped: Folder of the weights that come with the software.
    """

    def __init__(self, shipped: Path) -> None:
        self.path = shipped / FILE
        self._method: ClickNetwork | Marching | None = None
        self._lock = threading.Lock()

    def __call__(self) -> "ClickNetwork | Marching":
        """The network, or the classical way where no weights are.

        Raises:
            ValueError: The weights are not those of the manifest, or cannot be read.
        """
        with self._lock:
            if self._method is None:
                self._method = self._loaded() if self.path.is_file() else Marching()
            return self._method

    def _loaded(self) -> ClickNetwork:
        manifest = self.path.parent / "manifest.json"
        told = json.loads(manifest.read_text()).get("click", {}) if manifest.is_file() else {}
        if told.get("sha256") != sha256_of(self.path):
            raise ValueError(
                f"the weights {FILE} of node-click are not those that {manifest.name} names: install the "
                "software again, or make them with ./scripts/osln train-click --ship"
            )
        return ClickNetwork.load(self.path)
