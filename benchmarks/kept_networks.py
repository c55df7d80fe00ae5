"""Networks of stage one that measurements train on phantoms, kept in a folder; a stopped training goes on."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from osln.cohorts.phantoms import PhantomCohort
from osln.files.whole import write_json
from osln.jobs.artifact import Artifact
from osln.jobs.worker import device, tell_training
from osln.learning.fit import Progress
from osln.rows.experiments import SEGMENTERS
from osln.rows.presets import Preset
from osln.stage_one.training import train
from osln.weights.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

LOOKS = 8
STEP_SECONDS = 0.35
"""Of one core, demo preset."""


@dataclass(frozen=True)
class KeptTraining:
    """A training and where its network is kept.

    Attributes:
        cohort: Patients of "train", and of "validation" to watch by.
        preset: Size and recipe.
        network: Name in `SEGMENTERS`.
        steps: Of the training.
        seed: Of first weights and patches.
    """

    cohort: PhantomCohort
    preset: Preset
    network: str
    steps: int
    seed: int = 0

    @property
    def taught(self) -> PhantomCohort:
        """The patients as the network learns from them."""
        return self.cohort.taught(SEGMENTERS[self.network].every_node)

    @cached_property
    def path(self) -> Path:
        """Its file, by all that the network depends on but the code."""
        cases = [case for split in ("train", "validation") for case in self.taught.cases(split)]
        seen = sorted(self.taught.fingerprint(case) for case in cases)
        content = (self.network, asdict(self.preset), self.steps, self.seed, LOOKS, seen)
        return self.cohort.root / "networks" / f"{sha256(repr(content).encode()).hexdigest()[:12]}.pt"

    def artifact(self, name: str) -> Artifact:
        """The work that makes it."""
        return Artifact(
            name=name,
            paths=(self.path,),
            needs=(),
            make=partial(learn, self),
            cost=STEP_SECONDS * self.steps,
            uses_network=True,
        )


def learn(training: KeptTraining) -> None:
    """Train, and keep the network with what was seen on the validation patients on the way ("looks")."""
    path, cohort = training.path, training.taught
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        split: [cohort.column(case) for case in cohort.cases(split)] for split in ("train", "validation")
    }
    resume, seen = path.with_suffix(".resume"), path.with_suffix(".json")
    looks: dict[str, float] = json.loads(seen.read_text()) if seen.is_file() else {}

    def on_progress(state: Progress) -> None:
        tell_training(state)
        # Told with every report until the next look: the first one with these figures is the look's.
        if state.validation and state.validation["metric"] not in (None, *list(looks.values())[-1:]):
            looks[str(state.step)] = state.validation["metric"]
            write_json(seen, looks)

    checkpoint = train(
        SEGMENTERS[training.network],
        training.preset,
        columns["train"],
        columns["validation"],
        iterations=training.steps,
        seed=training.seed,
        trained_on=cohort.trained_on,
        device=device(),
        validations=LOOKS,
        resume_path=resume,
        on_progress=on_progress,
    )
    save_checkpoint(path, replace(checkpoint, metadata={**checkpoint.metadata, "looks": looks}))
    for rest in (resume, seen):
        rest.unlink(missing_ok=True)


def made(trainings: Mapping[str, KeptTraining]) -> dict[str, Checkpoint]:
    """The networks that are there."""
    there: Iterable[tuple[str, KeptTraining]] = (
        (name, one) for name, one in trainings.items() if one.path.is_file()
    )
    return {name: load_checkpoint(one.path) for name, one in there}


def watched(checkpoint: Checkpoint) -> list[tuple[int, float]]:
    """Step and mRecall of each look at the validation patients, less those that say the same as the last."""
    looks: Any = checkpoint.metadata["looks"]
    return [(int(step), value) for step, value in looks.items()]
