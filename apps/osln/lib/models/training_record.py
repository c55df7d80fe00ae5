"""What a training writes down for the server process, and what it tells in the log."""

import json
import logging
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from osln.files.arrays import plain
from osln.files.images import write_atomically
from osln.learning.fit import Progress

logger = logging.getLogger(__name__)


class TrainingRecord:
    """State of a training in a file, for the server process.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.began = time.monotonic()
        self.state: dict[str, Any] = {
            "start_ts": int(time.time()),
            "epoch": 0,
            # Slicer divides by it before the first epoch has ended.
            "total_epochs": 1,
            "best_metric": 0.0,
            "curve": [],
        }

    def write(self, **changes: Any) -> None:
        """Notes changes of the state."""
        self.state.update(changes)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(plain(self.state)).encode())

    def note(self, **changes: Any) -> None:
        """As `write`; where the disk refuses it that is told and the training goes on."""
        try:
            self.write(**changes)
        except OSError as error:
            logger.warning("%s cannot be written (%s): viewers show what was noted before", self.path, error)

    def progress(self, progress: Progress) -> None:
        """Notes a report."""
        figures = progress.validation or {}
        point = {
            "epoch": progress.epoch,
            "loss": progress.loss,
            "metric": figures.get("metric"),
            "recall": figures.get("recall"),
        }
        self.note(
            curve=[*self.state["curve"], point],
            epoch=progress.epoch,
            total_epochs=progress.epochs,
            loss=progress.loss,
            best_metric=max(self.state["best_metric"], figures.get("metric") or 0.0),
            lesion_recall=figures.get("recall"),
            false_positives_per_patient=figures.get("false_positives"),
            seconds_left=progress.seconds_left,
            status="running",
            step=None,
        )

    def end(self, **changes: Any) -> None:
        """Notes the last changes and how long it took."""
        # Slicer shows no progress of a training that has a total time.
        seconds = round(time.monotonic() - self.began)
        self.note(total_time=str(timedelta(seconds=seconds)), **changes)


def line(progress: Progress) -> str:
    """A training's state as a line of the log; `/train/` shows the last twenty."""
    figures = progress.validation or {}
    shown_figures = [
        f"{title} {figures[key]:.2f}"
        for title, key in (("lesion recall", "recall"), ("FP per patient", "false_positives"))
        if figures.get(key) is not None
    ]
    left = timedelta(seconds=round(progress.seconds_left))
    parts = [
        f"epoch {progress.epoch}/{progress.epochs}",
        f"loss {progress.loss:.3f}",
        *shown_figures,
        f"{left} left",
    ]
    return ", ".join(parts)
