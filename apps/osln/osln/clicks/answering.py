"""What answers clicks: the network, or the classical way for large nodes and where no weights are."""

import json
import threading
from dataclasses import dataclass
from pathlib import Path

from osln.clicks.classical import Marching
from osln.clicks.clicks import Clicks
from osln.clicks.network import FILE, ClickNetwork
from osln.clicks.outline import Method, Outline, outline
from osln.imaging.grid import Volume
from osln.weights.model_store import sha256_of

LARGE_MM = 8.5
"""Radius of the classical answer from which on it is taken: the phantoms of the network have few such nodes.

On the validation phantoms no node of less than 10 mm short axis was answered so large, and of those from 15
mm on the network's Dice was .38, the classical way's .67 with voxels of 1 mm.
"""


@dataclass(frozen=True)
class Answerer:
    """Answers clicks.

    Attributes:
        network: None where there are no weights.
        classical: Answers where the network does not.
    """

    network: Method | None
    classical: Method

    def __call__(
        self, ct: Volume, pet: Volume | None, clicks: Clicks, radius_mm: float | None = None
    ) -> tuple[Outline, str]:
        """The outline and whose it is, "network" or "classical"; arguments and errors as `outline`."""
        if self.network is None:
            return outline(ct, pet, clicks, self.classical, radius_mm), "classical"
        # The first click decides, so that a correction corrects what is seen and brings nothing else.
        first = Clicks(clicks.foreground[:1], clicks.background[:0])
        found = outline(ct, pet, first, self.classical)
        if found.radius_mm < LARGE_MM:
            return outline(ct, pet, clicks, self.network, radius_mm), "network"
        if radius_mm is None and len(clicks.foreground) == 1 and not len(clicks.background):
            return found, "classical"
        return outline(ct, pet, clicks, self.classical, radius_mm), "classical"


class InUse:
    """What is in use, loaded when it is first asked for.

    Args:
        shipped: Folder of the weights that come with the software.
    """

    def __init__(self, shipped: Path) -> None:
        self.path = shipped / FILE
        self._answerer: Answerer | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Answerer:
        """Both ways, or the classical one alone where no weights are.

        Raises:
            ValueError: The weights are not those of the manifest, or cannot be read.
        """
        with self._lock:
            if self._answerer is None:
                network = self._loaded() if self.path.is_file() else None
                self._answerer = Answerer(network, Marching())
            return self._answerer

    def _loaded(self) -> ClickNetwork:
        manifest = self.path.parent / "manifest.json"
        told = json.loads(manifest.read_text()).get("click", {}) if manifest.is_file() else {}
        if told.get("sha256") != sha256_of(self.path):
            raise ValueError(
                f"the weights {FILE} of node-click are not those that {manifest.name} names: install the "
                "software again, or make them with ./scripts/osln train-click --ship"
            )
        return ClickNetwork.load(self.path)
