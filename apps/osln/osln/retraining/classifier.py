"""From corrected labels to better scores: a network of stage two that learns from the approved cases.

Called by the server's training process and by `./scripts/osln train`; both get the same report.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from osln.learning.fit import Progress
from osln.metrics.matching import Scored
from osln.retraining.candidate_cache import Asked, CandidateCache
from osln.retraining.judgment import HIGHEST_RISK, patients_with_nodes
from osln.retraining.matched_points import MOST_CASES, unlabeled_cases
from osln.retraining.publishing import RetrainReport, alone
from osln.retraining.round import Round
from osln.retraining.score_points import match_score_thresholds, set_score_thresholds
from osln.retraining.settings import Settings
from osln.retraining.unseen import Training, unseen_versions
from osln.rows.experiments import CLASSIFIERS, HANDED, PRESETS, ROWS, Preset, Row
from osln.stage_two.answering import FALLBACK, reason_not_answering, reason_not_trainable
from osln.stage_two.candidate_sets import CandidateSet
from osln.stage_two.points import FEWEST_PATIENTS
from osln.stage_two.training import train_classifier
from osln.stage_two.validation import figures_of, scored_patients
from osln.store.approved import approved_cases
from osln.tagging.tagger import Tagger
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore, Version


@alone
def retrain_classifier(
    root: str | Path,
    models: ModelStore | str | Path,
    name: str,
    *,
    preset: str | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    from_scratch: bool = False,
    seed: int = 0,
    device: str = "cpu",
    publish: bool = True,
    highest_risk: float = HIGHEST_RISK,
    cross_fit: bool = True,
    tagger_path: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_step: Callable[[str], None] | None = None,
    resume: bool = True,
) -> RetrainReport:
    """Train one network of stage two on the approved cases and publish it if it is not likely to be worse.

    The candidates of stage one are compared with the approved nodes: a node that an annotator has drawn
    is an example of a node, a candidate that was deleted one of none. Training patients'
    candidates come from versions of stage one that have not seen them (`unseen`). The former and the new
    network are compared on the same candidates of the approved cases whose split is "validation" and, where
    these are few, by cross-fitting (`Round`). The version is stored in any case.

    Goes on from the published weights if those learned from the tags of the same tagger. Where they did
    not, or there are none, the new network is compared with what scores the candidates meanwhile
    (`answering.FALLBACK`).

    Args:
        root: Folder of the studies.
        models: Store of the versions, or its folder.
        name: Row of `CLASSIFIERS`.
        epochs: Passes through the candidates; by default the preset's, or half of them from published
            weights.

    The others are those of `Settings`.

    Raises:
        ValueError: No approved case can be learned from, stage one or the tagger is missing, or a name is
            unknown; says what to do.
    """
    settings = Settings(
        preset, epochs, learning_rate, from_scratch, seed, device, publish, highest_risk,
        cross_fit, tagger_path, on_progress, on_step, resume,
    )  # fmt: skip
    return _ClassifierRound(root, models, name, settings).run()


@dataclass(frozen=True)
class _Candidates:
    """Candidates of one patient.

    Attributes:
        content: The candidates.
        tags: (n, 171) tags of them; None if the network reads none.
        versions: The stage-one networks that found them, by name.
    """

    content: CandidateSet
    tags: np.ndarray | None
    versions: Mapping[str, Version]

    @property
    def case(self) -> str:
        return self.content.case

    @property
    def partial(self) -> bool:
        return self.content.partial


class _ClassifierRound(Round):
    known = CLASSIFIERS
    tuning_length = 0.5

    def __init__(self, root: str | Path, models: ModelStore | str | Path, name: str, settings: Settings):
        super().__init__(root, models, name, settings)
        self.tagger: Tagger | None = None
        if CLASSIFIERS[name].tags:
            if settings.tagger_path is None:
                raise ValueError(reason_not_trainable(name))
            self.tagger = Tagger.load(settings.tagger_path, settings.device)
        self.told = self.tagger.describe() if self.tagger else None

    @property
    def fits(self) -> bool:
        return super().fits and reason_not_answering(self.name, self.before, self.told) is None

    @property
    def comparable(self) -> bool:
        """Whether the version in use scores the candidates that the new one learns from."""
        used = self.former is not None and self.former.preparation.cuts_as(self.preset)
        return used and reason_not_answering(self.name, self.before, self.told) is None

    def judges(self) -> list[Version]:
        """Also those that the candidates come from."""
        found = [self.store.published(name) for name in self._row.segmenters]
        return [*super().judges(), *(one for one in found if one)]

    @property
    def initial(self) -> Checkpoint | None:
        """A regression is solved anew from the patients alone."""
        return None if CLASSIFIERS[self.name].network == "numbers" else super().initial

    @cached_property
    def rival_version(self) -> Version | None:
        """The version in use, or what scores the candidates while it cannot be used."""
        if self.comparable:
            return self.before
        if not self.tagger:
            return None
        self.store.check_in_use(FALLBACK)
        version = self.store.published(FALLBACK)
        cuts = version and self.store.load(FALLBACK, version).preparation.cuts_as(self.preset)
        return version if cuts else None

    @property
    def note(self) -> str:
        """Why a training that could have gone on from published weights did not."""
        if self.former is None or self.fits or self.settings.from_scratch:
            return ""
        if self.former.preset != self.preset_name:
            return super().note
        told = self.former.metadata.get("tagger") or {}
        return (
            f"trained from scratch, because {self.name} had learned from the tags of another tagger "
            f"({told.get('origin', 'unknown')}, {str(told.get('sha256'))[:12]})"
        )

    def recipe(self) -> Preset:
        preset = self.preset
        rate = self.rate(preset.stage_two.learning_rate)
        return replace(preset, stage_two=replace(preset.stage_two, learning_rate=rate))

    def gather(
        self, recipe: Preset, splits: Mapping[str, str]
    ) -> tuple[list[_Candidates], list[_Candidates], dict[str, str]]:
        # Before anything is made: what comes into use meanwhile makes it differ.
        self.made_of = self.store.weights_of(self.name)
        cache = self._cache(recipe)
        cache.keep_only([*approved_cases(self.root), *unlabeled_cases(self.root)])
        cases = [case for case, split in splits.items() if split == "train"]
        if not cases:
            return [], [], {}
        in_use = cache.in_use()
        _check_stage_one(in_use, recipe)
        training = Training(self.root, cases, self.settings, self.phantoms)
        unseen, skipped = unseen_versions(self.store, self._row.segmenters, recipe, training)
        learned, lacking = self._collected(cache, unseen, add_nodes=True)
        skipped |= lacking
        if not learned:
            return [], [], skipped
        current = {case: in_use for case, split in splits.items() if split == "validation"}
        compared, lacking = self._collected(cache, current, add_nodes=False)
        return learned, compared, skipped | lacking

    def train(
        self, recipe: Preset, learned: Sequence[_Candidates], compared: Sequence[_Candidates], **options: Any
    ) -> Checkpoint:
        checkpoint = train_classifier(
            CLASSIFIERS[self.name],
            recipe,
            *_given(learned, self.name),
            _given(compared, self.name),
            epochs=self.length(recipe.stage_two.epochs),
            tagger=self.told,
            **options,
        )
        found_by = {one.case: {n: version.name for n, version in one.versions.items()} for one in learned}
        return replace(
            checkpoint,
            metadata={
                **checkpoint.metadata,
                HANDED: self._row.teacher.setting.key,
                "candidates_of": found_by,
            },
        )

    def found(self, checkpoint: Checkpoint, compared: Sequence[_Candidates]) -> list[Scored]:
        given = _given(compared, checkpoint.name)
        return scored_patients(checkpoint, *given, device=self.settings.device)

    def without(self, compared: Sequence[_Candidates]) -> list[Scored]:
        # Of the same candidates, so that scores alone differ; a row whose network is worse ends with stage
        # one at the paper's precision, which may hand over fewer.
        return [one.content.scored() for one in compared]

    def figures(self, compared: Sequence[_Candidates], found: Sequence[Scored]) -> dict[str, Any]:
        return figures_of([one.content for one in compared], found)

    def renew(self, store: ModelStore, checkpoint: Checkpoint, compared: Sequence[_Candidates]) -> str:
        # Candidates of the stage one that was there: whatever replaces it has no part in these points.
        weights = {**(self.made_of or {}), self.name: store.checksum(self.name) or ""}
        scored, patients = self.found(checkpoint, compared), self.patients(compared)
        number = patients_with_nodes((one.n_nodes for one in scored), patients)
        if number < FEWEST_PATIENTS and self.comparable and store.thresholds(self.name):
            if told := self._matched_points(store, checkpoint, weights):
                return told
        return set_score_thresholds(store, self.name, scored, patients, weights)

    def _matched_points(self, store: ModelStore, checkpoint: Checkpoint, weights: Mapping[str, str]) -> str:
        """With few validation patients: as many candidates of unlabeled cases are kept as before."""
        cache = self._cache(self.recipe())
        in_use = cache.in_use()
        wanted = dict.fromkeys(unlabeled_cases(self.root), Asked(in_use, add_nodes=False, labeled=False))
        sets, tags, _ = cache.collect(wanted, self.settings.on_step, MOST_CASES)
        if not sets or self.former is None:
            return ""
        given = (sets, tags if CLASSIFIERS[self.name].tags else None)
        before, after = (
            np.concatenate(
                [one.scores for one in scored_patients(network, *given, device=self.settings.device)]
            )
            for network in (self.former, checkpoint)
        )
        if not len(after):
            return ""
        return match_score_thresholds(store, self.name, before, after, len(sets), weights)

    @property
    def _row(self) -> Row:
        return next(row for row in ROWS.values() if row.classifier == self.name)

    def _cache(self, recipe: Preset) -> CandidateCache:
        place = (self.root, self.store, self._row.name, recipe, self.tagger, self.settings.device)
        return CandidateCache(*place, overlaps=CLASSIFIERS[self.name].needs_overlap)

    def _collected(
        self, cache: CandidateCache, versions: Mapping[str, Mapping[str, Version]], *, add_nodes: bool
    ) -> tuple[list[_Candidates], dict[str, str]]:
        """The candidates of cases, found by these versions, and the reasons for the cases without."""
        # Cases that ask the same versions one after the other: each network is loaded once.
        ordered = sorted(versions, key=lambda case: [one.sha256 for one in versions[case].values()])
        wanted = {case: Asked(versions[case], add_nodes) for case in ordered}
        sets, tags, skipped = cache.collect(wanted, self.settings.on_step)
        told = dict(zip((one.case for one in sets), tags or (), strict=False))
        return [_Candidates(one, told.get(one.case), versions[one.case]) for one in sets], skipped


def _given(
    patients: Sequence[_Candidates], classifier: str
) -> tuple[list[CandidateSet], list[np.ndarray] | None]:
    """The sets of patients and, for a network that reads them, their tags."""
    tags = [one.tags for one in patients if one.tags is not None]
    return [one.content for one in patients], tags if CLASSIFIERS[classifier].tags else None


def _check_stage_one(versions: Mapping[str, Version], recipe: Preset) -> None:
    presets = {name: PRESETS.get(one.metadata.get("preset", recipe.name)) for name, one in versions.items()}
    if other := sorted(name for name, one in presets.items() if not (one and one.has_voxels_of(recipe))):
        raise ValueError(
            f"stage two is trained on the voxels of stage one, and {', '.join(other)} have others than the "
            f"preset {recipe.name}: choose their preset, or train them with {recipe.name} first"
        )
