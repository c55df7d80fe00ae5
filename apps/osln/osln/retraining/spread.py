"""Rounds of several networks as artifacts: workers train at the same time, and the rounds follow in order.

A round compares, publishes and renews operating points that belong to several networks, so its result depends
on the rounds before it. The trainings of stage one do not: they are done first and leave their states, from
which the rounds go on.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from osln.jobs.artifact import Artifact
from osln.jobs.worker import device, tell_training
from osln.retraining.publishing import RetrainReport
from osln.retraining.segmenter import SegmenterRound
from osln.retraining.settings import Settings
from osln.rows.experiments import SEGMENTERS
from osln.store.splits import FOLDS

TRAINING_SECONDS, ROUND_SECONDS = 600.0, 60.0
"""About what one core takes; for the bar alone."""


@dataclass(frozen=True)
class Trainings:
    """Rounds of several networks of a store.

    Attributes:
        root: Folder of the studies.
        models: Folder of the versions.
        settings: Of the networks of stage one; the device is the worker's.
        round: Does the whole round of a network on a device: a function of a module with its arguments.
    """

    root: Path
    models: Path
    settings: Settings
    round: Callable[[str, str], RetrainReport]

    def artifacts(self, names: Sequence[str]) -> list[Artifact]:
        """The rounds in this order, each behind its trainings; the value is a report or why there is none."""
        rounds: list[Artifact] = []
        for name in names:
            ahead = [
                Artifact(
                    f"training {name}" + (f" part {part}" if part else ""),
                    (),
                    (),
                    partial(learn, self, name, part),
                    TRAINING_SECONDS,
                    True,
                )
                for part in range(FOLDS + 1 if self.settings.cross_fit else 1)
                if name in SEGMENTERS
            ]
            work = partial(whole_round, self, name)
            rounds.append(Artifact(name, (), (*ahead, *rounds[-1:]), work, ROUND_SECONDS, True))
        return rounds


def learn(trainings: Trainings, name: str, part: int) -> None:
    """A training of a network in a worker; what cannot be done is told by the round."""
    settings = replace(trainings.settings, device=device(), on_progress=tell_training)
    try:
        SegmenterRound(trainings.root, trainings.models, name, settings).learn(part)
    except Exception:
        # The round repeats it, and tells.
        logging.getLogger(__name__).warning("training of %s, part %d", name, part, exc_info=True)


def whole_round(trainings: Trainings, name: str) -> RetrainReport | str:
    """A round in a worker."""
    try:
        return trainings.round(name, device())
    except ValueError as error:
        return str(error)
    except Exception as error:
        # The rounds of the other networks are not to end with this one's.
        logging.getLogger(__name__).warning("round of %s", name, exc_info=True)
        return f"{type(error).__name__}: {error}"
