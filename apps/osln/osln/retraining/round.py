"""One round of retraining, the same for the networks of both stages.

Learn from the approved cases, compare with what is in use on the same patients, store, and publish what is
not likely to be worse. With few validation patients the training patients are judged on as well, by networks
that leave out a part of them (cross-fitting). A subclass of `Round` says what differs: what is learned from,
how it is compared, and what is renewed afterwards.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from osln.learning.errors import NothingToLearnError
from osln.retraining.eligible import eligible
from osln.retraining.judgment import patients_with_nodes
from osln.retraining.publishing import Compared, RetrainReport, Trained, conclude, nothing_to_learn
from osln.retraining.seen import stand_ins, unseen_parts
from osln.retraining.settings import Settings, preset_in_use
from osln.rows.constants import TUNING_LEARNING_RATE
from osln.rows.experiments import PRESETS, SEGMENTERS, Preset
from osln.stage_two.points import FEWEST_PATIENTS
from osln.store.approved import phantoms, without_parts
from osln.store.patients import patients_of
from osln.weights.checkpoint import Checkpoint, trained_on
from osln.weights.model_store import ModelStore, Version, is_whole

Patients = Sequence[Any]
"""What a stage learns from and is compared on, one for each `case`, which may be `partial`: columns, or
candidates."""


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
        lost: Why the version in use cannot be read; what is trained from scratch then is stored, compared
            with nothing and not published.
        before: Version in use, or None.
        former: Its network, or None.
        preset_name: That of the settings, or of the weights in use.
        patient_of: The patient of each case, once `run` has looked.
        phantoms: Which of the cases are phantoms, once `run` has looked.
        made_of: `Trained.made_of`, once `gather` has looked.

    Raises:
        ValueError: Network or preset is unknown, the highest risk is none, or the weights in use cannot be
            read and are not to be replaced from scratch.
    """

    known: ClassVar[Mapping[str, Any]]
    tuning_length: ClassVar[float]

    def __init__(self, root: str | Path, models: ModelStore | str | Path, name: str, settings: Settings):
        if name not in self.known or settings.preset not in (None, *PRESETS):
            raise ValueError(
                f"unknown network {name!r} or preset {settings.preset!r}: expected one of "
                f"{', '.join(self.known)} and one of {', '.join(PRESETS)}"
            )
        if not 0 <= settings.highest_risk <= 0.5:
            raise ValueError(f"the highest risk is from 0 to .5, not {settings.highest_risk}")
        self.root, self.name, self.settings = Path(root), name, settings
        self.store = models if isinstance(models, ModelStore) else ModelStore(models)
        self.lost = self.store.lost(name)
        if not settings.from_scratch:
            self.store.check_in_use(name)
        self.before = None if self.lost else self.store.published(name)
        self.former = self.store.load(name, self.before) if self.before else None
        self.preset_name = settings.preset or preset_in_use(self.store, name)
        self.phantoms: frozenset[str] = frozenset()
        self.patient_of: Mapping[str, str] = {}
        self.made_of: Mapping[str, str] | None = None

    @property
    def preset(self) -> Preset:
        """The preset, resampled as for the weights in use: networks that answer together see one column."""
        preset = PRESETS[self.preset_name]
        in_use = [name for name in SEGMENTERS if self.store.published(name)]
        if self.lost:
            # Several may be lost with it, and each of them must be one to train from scratch first.
            in_use = [name for name in in_use if not self.store.lost(name)]
        loaded = (self.store.load(name) for name in in_use)
        used = (one.preparation for one in loaded)
        filters = (one.prefilter for one in used if one.has_voxels_of(preset))
        return replace(preset, prefilter=next(filters, preset.prefilter))

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
    def found(self, checkpoint: Checkpoint, compared: Patients) -> list[Any]:
        """What a network finds in each of the patients: sweeps, or scored candidates."""

    @abstractmethod
    def figures(self, compared: Patients, found: Sequence[Any]) -> dict[str, Any]:
        """The figures of what was found; "metric" decides, "cases" has each patient."""

    def without(self, compared: Patients) -> list[Any] | None:
        """What is found where this network is not asked at all; None if nothing is without it."""
        return None

    @abstractmethod
    def renew(self, store: ModelStore, checkpoint: Checkpoint, compared: Patients) -> str:
        """Sets the operating points that follow a network about to be published, and says so.

        Args:
            store: In which it is in use already.
            checkpoint: The network.
            compared: Validation patients.
        """

    @property
    def fits(self) -> bool:
        """Whether the version in use is one to go on from."""
        return self.former is not None and self.former.preset == self.preset_name

    @property
    def initial(self) -> Checkpoint | None:
        """Weights that the training goes on from; None for random ones."""
        return self.former if self.fits and not self.settings.from_scratch else None

    def judges(self) -> list[Version]:
        """Versions in use that what is found in the validation patients depends on."""
        return list({one.sha256: one for one in (self.before, self.rival_version) if one}.values())

    @cached_property
    def rival_version(self) -> Version | None:
        """Version that the new network has to match; None if nothing is in use."""
        return self.before

    @cached_property
    def rival(self) -> Checkpoint | None:
        """The network of `rival_version`."""
        version = self.rival_version
        if version is None:
            return None
        return self.former if version is self.before else self.store.load(version.network, version)

    @property
    def note(self) -> str:
        """Why a training that could have gone on from published weights did not; "" if there is no such."""
        if self.former is None or self.fits or self.settings.from_scratch:
            return ""
        return f"trained from scratch, because the former weights are of the preset {self.former.preset}"

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
        """Trains, compares, stores, and publishes what is not likely to be worse.

        Raises:
            ValueError: No approved case can be learned from, or something that is asked for is missing;
                says what to do.
        """
        if self.lost:
            self.settings.tell(f"{self.name} is trained from scratch and compared with nothing: {self.lost}")
        recipe = self.recipe()
        splits, waiting = self._eligible()
        learned, compared, skipped = self._gathered(recipe, splits)
        skipped |= waiting
        if not learned:
            raise ValueError(nothing_to_learn(self.name, splits, skipped))
        with self._resume_files() as folder:
            checkpoint = self._train(recipe, learned, compared, folder)
            trained = self._judged(checkpoint, learned, compared, skipped)
            if self._asks_more(trained, learned):
                trained = self._cross_fitted(recipe, trained, learned, compared, folder)
            return conclude(
                self.store,
                self.before,
                trained,
                publish=self.settings.publish,
                highest_risk=self.settings.highest_risk,
                renew=lambda store: self.renew(store, checkpoint, compared),
            )

    def learn(self, part: int) -> None:
        """Does one training of `run` and leaves its state, from which `run` goes on: workers share a round.

        Args:
            part: 0 for the network itself, from 1 on for those of cross-fitting, as far as it is certain that
                `run` asks for them.
        """
        recipe = self.recipe()
        learned, compared, _ = self._gathered(recipe, self._eligible()[0])
        folder = self.store.root / "training"
        if not learned:
            return
        if part == 0:
            self._train(recipe, learned, compared, folder)
            return
        enough = len(set(self.patients(compared))) >= FEWEST_PATIENTS
        if not self.settings.cross_fit or self.rival is None or enough:
            return
        parts = self._parts([one.case for one in learned if not one.partial])
        for version, cases in parts[part - 1 : part]:
            self._train_without(cases, version, recipe, learned, compared, folder)

    def _train(self, recipe: Preset, learned: Patients, compared: Patients, folder: Path) -> Checkpoint:
        path = folder / f"{self.name}.resume"
        return self.train(recipe, learned, compared, **self._options(learned, path, self.initial))

    def _train_without(
        self,
        part: Sequence[str],
        version: Version,
        recipe: Preset,
        learned: Patients,
        compared: Patients,
        folder: Path,
    ) -> Checkpoint | None:
        """A network of cross-fitting, which goes on from a version; None if nothing is left to learn from."""
        # All of a patient's cases are left out, also those in part, which nobody can be judged on.
        patients = {self.patient_of[case] for case in part}
        others = [one for one in learned if self.patient_of[one.case] not in patients]
        if not part or not others:
            return None
        # The state's name holds what is left out: another part must not go on from it.
        path = folder / f"{self.name}-part-{'-'.join(part)[:80]}.resume"
        initial = self.store.load(self.name, version) if self.initial is not None else None
        try:
            return self.train(recipe, others, compared, **self._options(others, path, initial))
        except NothingToLearnError as reason:
            self.settings.tell(f"{', '.join(part)} cannot be judged on: without them {reason}")
            return None

    def _eligible(self) -> tuple[Mapping[str, str], dict[str, str]]:
        """Splits of the approved cases, and why others are left out."""
        found = eligible(self.root, self.store, self.judges())
        # Asked once: a case may be removed while networks learn from what was read of it.
        self.phantoms = frozenset(phantoms(self.root, found.splits))
        # Two cases may be one patient's by way of a third one that is left out.
        self.patient_of = patients_of(self.root, [*found.splits, *found.left_out])
        return found.splits, dict(found.left_out)

    def _gathered(
        self, recipe: Preset, splits: Mapping[str, str]
    ) -> tuple[Patients, Patients, dict[str, str]]:
        """As `gather`; what was submitted in part since the cases were chosen is not compared on."""
        learned, read, skipped = self.gather(recipe, splits)
        compared, partial = without_parts(read)
        return learned, compared, skipped | partial

    def patients(self, cases: Patients) -> tuple[str, ...]:
        """The patient of each of the cases."""
        return tuple(self.patient_of[one.case] for one in cases)

    @contextmanager
    def _resume_files(self) -> Iterator[Path]:
        """The folder where trainings leave their state: an interrupted round goes on from there."""
        folder = self.store.root / "training"

        def remove() -> None:
            for path in (folder / f"{self.name}.resume", *folder.glob(f"{self.name}-part-*.resume")):
                path.unlink(missing_ok=True)

        if not self.settings.resume:
            remove()
        yield folder
        remove()

    def _options(self, learned: Patients, resume_path: Path, initial: Checkpoint | None) -> dict[str, Any]:
        cases = [one.case for one in learned]
        return {
            "seed": self.settings.seed,
            "initial": initial,
            "trained_on": trained_on(initial, cases, self.phantoms),
            "device": self.settings.device,
            "threads": None,
            "resume_path": resume_path,
            "on_progress": self.settings.on_progress,
        }

    def _judged(
        self, checkpoint: Checkpoint, learned: Patients, compared: Patients, skipped: dict[str, str]
    ) -> Trained:
        """The new network beside its rival on the validation patients."""
        rival = self.rival
        new = self.found(checkpoint, compared)
        return Trained(
            checkpoint,
            initial=self.initial is not None,
            train_cases=[one.case for one in learned],
            skipped=skipped,
            compared=Compared(
                tuple(compared),
                self.patients(compared),
                tuple(new),
                None if rival is None else tuple(self.found(rival, compared)),
                self.without(compared),
            ),
            figures=self.figures,
            rival=None if rival is None else self.rival_version,
            made_of=self.made_of,
            note=self.note,
            lost=self.lost,
        )

    def _asks_more(self, trained: Trained, learned: Patients) -> bool:
        """Whether there are too few validation patients, and others that can be judged on."""
        compared = trained.compared
        number = patients_with_nodes((one.n_nodes for one in compared.new), compared.patients)
        few = number < FEWEST_PATIENTS
        return self.settings.cross_fit and self.rival is not None and few and len(learned) > 1

    def _cross_fitted(
        self, recipe: Preset, trained: Trained, learned: Patients, compared: Patients, folder: Path
    ) -> Trained:
        """The comparison with the training patients beside the validation patients.

        For each part of the complete ones a network learns from the others as the new one did. It stands for
        the new one and goes on from what stands for the rival (`_parts`), which has not seen them either.
        """
        by_case = {one.case: one for one in learned}
        parts = self._parts([case for case, one in by_case.items() if not one.partial])
        for number, (version, part) in enumerate(parts, start=1):
            self.settings.tell(
                f"training {self.name} without {', '.join(part)} to judge on them ({number} of {len(parts)})"
            )
            fold = self._train_without(part, version, recipe, learned, compared, folder)
            if fold is None:
                continue
            rival = self.store.load(self.name, version)
            asked = [by_case[case] for case in part]
            compared_also = trained.compared.also(
                asked,
                self.patients(asked),
                self.found(fold, asked),
                self.found(rival, asked),
                self.without(asked),
            )
            base = version.name if self.initial is not None else None
            fold = replace(fold, metadata={**fold.metadata, "left_out": part, "base_version": base})
            trained = replace(trained, compared=compared_also, folds=(*trained.folds, fold))
        return trained

    def _parts(self, cases: Sequence[str]) -> list[tuple[Version, list[str]]]:
        """Parts of the training patients (`unseen_parts`); none if the rival is another network."""
        if self.before is None or self.rival is not self.former:
            return []
        versions = self.store.versions(self.name)
        lost = [one for one in stand_ins(self.before, versions) if not is_whole(one)]
        for one in lost:
            self.settings.tell(
                f"{', '.join(one.metadata['left_out'])} cannot be judged on: what stands there for the "
                f"version in use, {one.path.name} of {self.name}, is missing or was changed"
            )
        return unseen_parts(self.root, self.before, versions, cases, without=lost)
