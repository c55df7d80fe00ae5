"""State of a training on disk, so that an interrupted one goes on with the same result."""

import hashlib
import io
import logging
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from osln.files.whole import sweep, write_atomically

logger = logging.getLogger(__name__)

LARGEST_SHARE = 0.02
"""Of the time of a training that writing its state may take."""
LONGEST_PAUSE = 600.0
"""Seconds after which it is written whatever share that takes."""


class StateFile:
    """The file of a training: written as often as keeps writing at 2 % of the time, and every ten minutes.

    A killed training loses what came since: 50 times as long as writing took, ten minutes at most. Where
    writing takes more than 12 s it is more than 2 % of the time.

    Args:
        path: The file; None keeps no state.
        key: Identity of the training; a file of another one is not gone on from.
        about: Words of it for whoever finds its file and does another training.
    """

    def __init__(self, path: Path | None, key: str, about: str = "") -> None:
        self.path, self.key, self.about = path, key, about
        self._not_before = 0.0
        self._told = False

    def save(self, state: Callable[[], dict[str, Any]], *, at_once: bool = False) -> None:
        """Writes what `state` returns, unless it is too early; `at_once` writes in any case.

        Only an interruption would need it: where the disk refuses it, this is told once and nothing ends.
        """
        began = time.monotonic()
        if self.path is None or (began < self._not_before and not at_once):
            return
        try:
            save_state(self.path, self.key, {"about": self.about, **state()})
            self._told = False
        except OSError as error:
            if not self._told:
                logger.warning(
                    "%s cannot be written (%s): the training goes on; interrupted now, it would go on from "
                    "the state before, or begin anew",
                    self.path,
                    error,
                )
            self._told = True
        ended = time.monotonic()
        self._not_before = ended + min((ended - began) / LARGEST_SHARE, LONGEST_PAUSE)

    def load(self, needed: Collection[str] = ()) -> dict[str, Any] | None:
        """As `load_state`; None, and told, of one that is damaged or lacks what is `needed`.

        What was being written goes.

        Raises:
            ValueError: The disk does not give the file, which may be whole.
        """
        if self.path is None:
            return None
        sweep(self.path.parent, self.path.name)
        try:
            state = load_state(self.path)
        except ValueError as error:
            if isinstance(error.__cause__, OSError):
                raise ValueError(f"{error}: mend that, or delete it to train from the start") from error
            logger.warning("%s: the training begins anew and writes over it", error)
            return None
        if state is None or (state.get("key") == self.key and set(needed) <= state.keys()):
            return state
        other = state.get("about")
        differs = f", of {other} and not of {self.about}," if other and other != self.about else ""
        logger.warning(
            "%s is the state of another training%s and not gone on from: this one begins anew and writes "
            "over it",
            self.path,
            differs,
        )
        return None


def save_state(path: Path, key: str, state: dict[str, Any]) -> None:
    """Writes the state of the training that `key` identifies, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save({"key": key, **state}, buffer)
    write_atomically(path, buffer.getvalue())


def load_state(path: Path) -> dict[str, Any] | None:
    """The state in a file, with the "key" of its training, on the CPU; None if there is no file.

    Raises:
        ValueError: The file cannot be read.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read ({reason})") from error
    return state if isinstance(state, dict) else {}


def fingerprint(*parts: object) -> str:
    """SHA-256 of plain values, arrays and tensors in this order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        array = part.detach().cpu().numpy() if isinstance(part, torch.Tensor) else part
        digest.update(
            np.ascontiguousarray(array).tobytes() if isinstance(array, np.ndarray) else str(array).encode()
        )
    return digest.hexdigest()
