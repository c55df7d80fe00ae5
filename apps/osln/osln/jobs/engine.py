"""What makes artifacts, whatever it runs on."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Protocol

from osln.jobs.artifact import Artifact, Made

CPU, GPU = "cpu", "gpu"
"""Kinds of places."""


class LostError(RuntimeError):
    """A worker ended without an answer."""


class Engine(Protocol):
    """A context: places are there inside."""

    def __enter__(self) -> "Engine": ...

    def __exit__(self, *_: object) -> None: ...

    tries: int
    """How often an artifact is begun again whose worker was lost."""

    def place(self, one: Artifact) -> str:
        """Where an artifact is made: what uses networks on a GPU, where there is any."""

    def room(self) -> Mapping[str, int]:
        """How many further artifacts can be made at once now, by kind of place."""

    def submit(self, one: Artifact) -> "Future[Made]":
        """Has an artifact made; only where `room` says that there is room.

        Returns:
            What came of it; `LostError` if its worker ended without an answer, else what it raised.
        """

    def told(self) -> Iterator[tuple[str, float, str]]:
        """What workers have told since the last call: name of the artifact, share and words."""

    def cancel(self) -> None:
        """Nothing further is started."""
