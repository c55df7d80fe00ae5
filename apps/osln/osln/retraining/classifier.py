"""From corrected labels to better scores: train a stage-two network on approved cases, compare, publish.

Called by the server's training process and by `./scripts/osln train`; both get the same report.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from osln.learning.fit import Progress
from osln.retraining.candidate_cache import Asked, CandidateCache
from osln.retraining.operating_points import set_score_thresholds
from osln.retraining.publishing import RetrainReport, Trained, checked_rate, conclude, nothing_to_learn
from osln.retraining.unseen import Training, unseen_versions
from osln.rows.experiments import CLASSIFIERS, EXPERIMENTS, PRESETS, Classifier, Preset
from osln.stage_two.answering import learned_from
from osln.stage_two.candidate_sets import CandidateSet
from osln.stage_two.training import train_classifier
from osln.stage_two.validation import evaluate_classifier, scored_patients
from osln.store.approved import approved_cases
from osln.store.layout import companions
from osln.store.splits import assign
from osln.tagging.tagger import Tagger
from osln.weights.checkpoint import Checkpoint, trained_on
from osln.weights.model_store import ModelStore, Version

TUNING_LEARNING_RATE = 0.25
"""Learning rate when going on from published weights, as a share of the preset's."""
TUNING_EPOCHS = 0.5
"""Passes through the candidates when going on from published weights, as a share of the preset's."""
WITHOUT_TAGS = "local-ct-pet"
"""Scores the candidates where a network that reads tags has none that it understands."""


@dataclass(frozen=True)
class _Patients:
    """Candidates of one split.

    Attributes:
        sets: One of each patient.
        tags: Tags of their candidates; None if the network reads none.
    """

    sets: Sequence[CandidateSet]
    tags: Sequence[np.ndarray] | None

    @property
    def cases(self) -> list[str]:
        return [one.case for one in self.sets]

    def told(self, classifier: Classifier) -> Sequence[np.ndarray] | None:
        """The tags, for a network that reads them."""
        return self.tags if classifier.tags else None


def retrain_classifier(
    root: str | Path,
    models: ModelStore | str | Path,
    name: str,
    *,
    preset: str = "demo",
    epochs: int | None = None,
    learning_rate: float | None = None,
    from_scratch: bool = False,
    seed: int = 0,
    device: str = "cpu",
    publish: bool = True,
    tagger_path: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_step: Callable[[str], None] | None = None,
    resume: bool = True,
) -> RetrainReport:
    """Train one network of stage two on the approved cases and publish it if it is at least as good.

    The candidates of stage one are compared with the approved nodes: a node that an annotator has drawn
    is an example of a node, a candidate that was deleted one of none. Training patients'
    candidates come from versions of stage one that have not seen them (`unseen`). The former and the new
    network are compared on the same candidates of the approved cases whose split is "validation". The
    version is stored in any case.

    Goes on from the published weights if those learned from the tags of the same tagger. Where they did
    not, or there are none, the new network is compared with what scores the candidates meanwhile,
    `WITHOUT_TAGS`.

    Args:
        root: Folder of the studies.
        models: Store of the versions, or its folder.
        name: Row of `CLASSIFIERS`.
        preset: Row of `PRESETS`; that of the stage-one networks.
        epochs: Passes through the candidates; by default the preset's, or half of them from published
            weights.
        learning_rate: By default the preset's, or a quarter of it from published weights.
        from_scratch: Start from random weights.
        seed: Of first weights and batches.
        device: "cpu", "cuda" or "cuda:N".
        publish: False stores the new version without putting it to use.
        tagger_path: File of the tagger in use; needed by a network that reads tags.
        on_progress: Called after each epoch.
        on_step: Called with a sentence before each longer step of the preparation.
        resume: Go on with an interrupted training of the same candidates and settings.

    Raises:
        ValueError: No approved case can be learned from, stage one or the tagger is missing, or a name is
            unknown; says what to do.
    """
    if name not in CLASSIFIERS or preset not in PRESETS:
        raise ValueError(
            f"unknown network {name!r} or preset {preset!r}: expected one of {', '.join(CLASSIFIERS)} and "
            f"one of {', '.join(PRESETS)}"
        )
    store = models if isinstance(models, ModelStore) else ModelStore(models)
    classifier, root = CLASSIFIERS[name], Path(root)
    tagger = _tagger(classifier, tagger_path, device)
    before = store.published(name)
    former = store.load(name, before) if before else None
    fits = former is not None and _understands(former, tagger) and former.preset == preset
    initial = former if fits and not from_scratch else None
    share = TUNING_LEARNING_RATE if initial else 1
    stage_two = PRESETS[preset].stage_two
    rate = checked_rate(learning_rate, stage_two.learning_rate * share)
    recipe = replace(PRESETS[preset], stage_two=replace(stage_two, learning_rate=rate))
    passes = epochs or max(1, round(stage_two.epochs * (TUNING_EPOCHS if initial else 1)))

    approved = approved_cases(root)
    splits = assign(root, approved)
    row = next(row for row in EXPERIMENTS.values() if row.classifier == name)
    cache = CandidateCache(root, store, row.stage_one, recipe, tagger, device)
    cache.keep_only(approved)
    training = Training(
        root, [case for case in approved if splits[case] == "train"], seed, device, on_progress, on_step
    )
    if not training.cases:
        raise ValueError(nothing_to_learn(name, approved, splits, {}))
    current = Asked(cache.in_use(), add_nodes=False)
    _check_stage_one(current.versions, preset)
    unseen, skipped = unseen_versions(store, row.segmenters, recipe, training)
    learned, lacking = _collected(
        cache, {case: Asked(versions, add_nodes=True) for case, versions in unseen.items()}, on_step
    )
    skipped |= lacking
    if not learned.sets:
        raise ValueError(nothing_to_learn(name, approved, splits, skipped))
    compared, lacking = _collected(
        cache, {case: current for case in approved if splits[case] == "validation"}, on_step
    )
    skipped |= lacking

    resume_path = store.root / "training" / f"{name}.resume"
    if not resume:
        resume_path.unlink(missing_ok=True)
    synthetic = {case for case in learned.cases if companions(root, case).truth is not None}
    checkpoint = train_classifier(
        classifier,
        recipe,
        learned.sets,
        learned.told(classifier),
        (compared.sets, compared.told(classifier)),
        epochs=passes,
        seed=seed,
        initial=initial,
        tagger=tagger.describe() if tagger else None,
        trained_on=trained_on(initial, learned.cases, synthetic),
        device=device,
        threads=None,
        resume_path=resume_path,
        on_progress=on_progress,
    )
    versions = {case: {n: one.name for n, one in asked.items()} for case, asked in unseen.items()}
    checkpoint = replace(checkpoint, metadata={**checkpoint.metadata, "candidates_of": versions})
    rival = former if fits else _rival(store, classifier, recipe)
    trained = Trained(
        checkpoint,
        initial is not None,
        learned.cases,
        compared.cases,
        skipped,
        _figures(checkpoint, compared, device),
        None if rival is None else _figures(rival, compared, device),
        rival=None if rival is None or fits else rival.name,
        note=_note(former, tagger, preset, from_scratch),
    )

    def renew() -> str:
        patients = scored_patients(checkpoint, compared.sets, compared.told(classifier), device=device)
        return set_score_thresholds(store, name, patients)

    report = conclude(store, before, trained, publish=publish, renew=renew)
    resume_path.unlink(missing_ok=True)
    return report


def _tagger(classifier: Classifier, path: Path | None, device: str) -> Tagger | None:
    if not classifier.tags:
        return None
    if path is None:
        raise ValueError(
            f"{classifier.name} reads tags and there is no tagger: convert the public LesaNet "
            "(./scripts/osln convert-tagger) or train one (./scripts/osln train-tagger) and name it "
            "(server: --conf lesanet PATH, ./scripts/osln train: --tagger PATH), or train "
            f"{WITHOUT_TAGS}, without them"
        )
    return Tagger.load(path, device)


def _check_stage_one(versions: Mapping[str, Version], preset: str) -> None:
    other = sorted(name for name, one in versions.items() if one.metadata.get("preset", preset) != preset)
    if other:
        raise ValueError(
            f"stage two is trained with the preset of stage one, and {', '.join(other)} are not of the "
            f"preset {preset}: choose their preset, or train them with {preset} first"
        )


def _understands(checkpoint: Checkpoint, tagger: Tagger | None) -> bool:
    """Whether a network can be asked with the tags at hand."""
    if not CLASSIFIERS[checkpoint.name].tags:
        return True
    return tagger is not None and learned_from(checkpoint, tagger)


def _rival(store: ModelStore, classifier: Classifier, preset: Preset) -> Checkpoint | None:
    """What scores the candidates while a network that reads tags cannot be used; None for nothing."""
    version = store.published(WITHOUT_TAGS) if classifier.tags else None
    checkpoint = store.load(WITHOUT_TAGS, version) if version else None
    return checkpoint if checkpoint is not None and checkpoint.preset == preset.name else None


def _collected(
    cache: CandidateCache, wanted: Mapping[str, Asked], on_step: Callable[[str], None] | None
) -> tuple[_Patients, dict[str, str]]:
    # Cases that ask the same versions one after the other: each network is loaded once.
    ordered = dict(
        sorted(wanted.items(), key=lambda entry: [one.sha256 for one in entry[1].versions.values()])
    )
    sets, tags, skipped = cache.collect(ordered, on_step)
    return _Patients(sets, tags), skipped


def _figures(checkpoint: Checkpoint, patients: _Patients, device: str) -> dict[str, Any]:
    """Figures on validation patients; {} without any."""
    if not patients.sets:
        return {}
    told = patients.told(CLASSIFIERS[checkpoint.name])
    return evaluate_classifier(checkpoint, patients.sets, told, device=device)


def _note(former: Checkpoint | None, tagger: Tagger | None, preset: str, from_scratch: bool) -> str:
    """Why a training that could have gone on from published weights did not."""
    if former is None or from_scratch:
        return ""
    if former.preset != preset:
        return f"trained from scratch, because the former weights are of the preset {former.preset}"
    if _understands(former, tagger):
        return ""
    told = former.metadata.get("tagger") or {}
    return (
        f"trained from scratch, because {former.name} had learned from the tags of another tagger "
        f"({told.get('origin', 'unknown')}, {str(told.get('sha256'))[:12]})"
    )
