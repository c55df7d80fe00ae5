"""One round of retraining, the same for the networks of both stages.

Learn from the approved cases, compare with what is in use on the same patients, store, and publish what is
at least as good. A subclass of `Round` says what differs: what is learned from, how it is compared, and
what is renewed afterwards.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from osln.learning.fit import Progress
from osln.retraining.publishing import RetrainReport, Trained, conclude, nothing_to_learn
from osln.rows.experiments import PRESETS, Preset
from osln.store.approved import approved_cases, phantoms
from osln.store.splits import assign
from osln.weights.checkpoint import Checkpoint, trained_on
from osln.weights.model_store import ModelStore

TUNING_LEARNING_RATE = 0.25
"""Learning rate when going on from published weights, as a share of the preset's."""


@dataclass(frozen=True)
class Settings:
    """How a network is retrained.

    Attributes:
        preset: Row of `PRESETS`; for stage two that of the stage-one networks.
        length: Steps of stage one, passes through the candidates of stage two; by default the preset's, or
            `Round.tuning_length` of them from published weights.
        learning_rate: By default the preset's, or `TUNING_LEARNING_RATE` of it from published weights.
        from_scratch: Start from random weights.
        seed: Of first weights, and of patches or batches.
        device: "cpu", "cuda" or "cuda:N".
        publish: False stores the new version without putting it to use.
        tagger_path: File of the tagger in use; needed where a network reads tags.
        on_progress: Called after each epoch.
        on_step: Called with a sentence before other steps that take their time.
        resume: Go on with an interrupted training of the same cases and settings.
    """

    preset: str = "demo"
    length: int | None = None
    learning_rate: float | None = None
    from_scratch: bool = False
    seed: int = 0
    device: str = "cpu"
    publish: bool = True
    tagger_path: Path | None = None
    on_progress: Callable[[Progress], None] | None = None
    on_step: Callable[[str], None] | None = None
    resume: bool = True

    def tell(self, step: str) -> None:
        """Says what is done next to whoever listens."""
        if self.on_step is not None:
            self.on_step(step)


Patients = Sequence[Any]
"""What a stage learns from and is compared on, one for each `case`: columns, or candidates."""


class Round(ABC):
    """One retraining of one network.

    Args:
        root: Folder of the studies.
        models: Store of the versions, or its folder.
        name: Which network.
        settings: How.

    Attributes:
        known: Rows of the stage's networks, by name.
        tuning_length: Length when going on from published weights, as a share of the preset's.
        before: Version in use, or None.
        former: Its network, or None.

    Raises:
        ValueError: Network or preset is unknown, or the weights in use cannot be loaded.
    """

    known: ClassVar[Mapping[str, Any]]
    tuning_length: ClassVar[float]

    def __init__(self, root: str | Path, models: ModelStore | str | Path, name: str, settings: Settings):
        if name not in self.known or settings.preset not in PRESETS:
            raise ValueError(
                f"unknown network {name!r} or preset {settings.preset!r}: expected one of "
                f"{', '.join(self.known)} and one of {', '.join(PRESETS)}"
            )
        self.root, self.name, self.settings = Path(root), name, settings
        self.store = models if isinstance(models, ModelStore) else ModelStore(models)
        self.before = self.store.published(name)
        self.former = self.store.load(name, self.before) if self.before else None

    @abstractmethod
    def recipe(self) -> Preset:
        """The preset with the learning rate of this round."""

    @abstractmethod
    def gather(self, recipe: Preset, splits: Mapping[str, str]) -> tuple[Patients, Patients, dict[str, str]]:
        """Patients to learn from and to compare on, and why the other approved cases are left out."""

    @abstractmethod
    def train(self, recipe: Preset, learned: Patients, compared: Patients, **options: Any) -> Checkpoint:
        """The trained network; the options are those that the trainers of both stages take."""

    @abstractmethod
    def figures(self, checkpoint: Checkpoint, compared: Patients) -> dict[str, Any]:
        """What a network finds in the validation patients; "metric" decides."""

    @abstractmethod
    def renew(self, checkpoint: Checkpoint, compared: Patients) -> str:
        """Sets the operating points that follow a network just published, and says so."""

    @property
    def fits(self) -> bool:
        """Whether the version in use is one to go on from."""
        return self.former is not None and self.former.preset == self.settings.preset

    @property
    def initial(self) -> Checkpoint | None:
        """Weights that the training goes on from; None for random ones."""
        return self.former if self.fits and not self.settings.from_scratch else None

    @property
    def rival(self) -> Checkpoint | None:
        """What the new network has to match; None if nothing is in use."""
        return self.former

    @property
    def note(self) -> str:
        """What the report has to say about the training besides; "" for nothing."""
        return ""

    def rate(self, usual: float) -> float:
        """The learning rate of this round, where a preset has the usual one.

        Raises:
            ValueError: The one that was asked for is not above 0.
        """
        asked = self.settings.learning_rate
        if asked is not None and not asked > 0:
            raise ValueError(f"the learning rate must be above 0, not {asked}")
        return asked or usual * (TUNING_LEARNING_RATE if self.initial else 1)

    def length(self, usual: int) -> int:
        """The length of this round, where a preset has the usual one."""
        return self.settings.length or max(1, round(usual * (self.tuning_length if self.initial else 1)))

    def run(self) -> RetrainReport:
        """Trains, compares, stores, and publishes what is at least as good.

        Raises:
            ValueError: No approved case can be learned from, or something that is asked for is missing;
                says what to do.
        """
        recipe = self.recipe()
        splits = assign(self.root, approved_cases(self.root))
        learned, compared, skipped = self.gather(recipe, splits)
        if not learned:
            raise ValueError(nothing_to_learn(self.name, splits, skipped))
        with self._resume_file() as path:
            checkpoint = self.train(recipe, learned, compared, **self._options(learned, path))
            trained = self._judged(checkpoint, learned, compared, skipped)
            return conclude(
                self.store,
                self.before,
                trained,
                publish=self.settings.publish,
                renew=lambda: self.renew(checkpoint, compared),
            )

    @contextmanager
    def _resume_file(self) -> Iterator[Path]:
        """Where a training leaves its state: an interrupted round goes on from it."""
        path = self.store.root / "training" / f"{self.name}.resume"
        if not self.settings.resume:
            path.unlink(missing_ok=True)
        yield path
        path.unlink(missing_ok=True)

    def _options(self, learned: Patients, resume_path: Path) -> dict[str, Any]:
        cases = [one.case for one in learned]
        return {
            "seed": self.settings.seed,
            "initial": self.initial,
            "trained_on": trained_on(self.initial, cases, phantoms(self.root, cases)),
            "device": self.settings.device,
            "threads": None,
            "resume_path": resume_path,
            "on_progress": self.settings.on_progress,
        }

    def _judged(
        self, checkpoint: Checkpoint, learned: Patients, compared: Patients, skipped: dict[str, str]
    ) -> Trained:
        """The new network beside its rival on the same patients."""

        def found(one: Checkpoint) -> dict[str, Any]:
            return self.figures(one, compared) if compared else {}

        rival = self.rival
        return Trained(
            checkpoint,
            initial=self.initial is not None,
            train_cases=[one.case for one in learned],
            validation_cases=[one.case for one in compared],
            skipped=skipped,
            after=found(checkpoint),
            earlier=None if rival is None else found(rival),
            rival=None if rival is None or rival is self.former else rival.name,
            note=self.note,
        )
