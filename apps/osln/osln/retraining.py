"""From corrected labels to a better network: train on approved cases, compare, publish only what is no worse.

Called by the server's training process and by `scripts/train.py`; both get the same report.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from osln.candidates import CONNECTIVITY
from osln.checkpoint import Checkpoint
from osln.column import Column, prepare
from osln.experiments import PRESETS, SEGMENTERS, Preset, Segmenter
from osln.grid import Volume
from osln.imagefile import SUFFIXES
from osln.operating import renew_operating_points
from osln.sampling import compact, reason_not_usable
from osln.splits import assign
from osln.study import companions, load_study
from osln.training import Progress, train
from osln.validation import evaluate
from osln.weights import ModelStore, Version

TUNING_LEARNING_RATE = 0.25
"""Learning rate when going on from published weights, as a share of the preset's."""
TUNING_ITERATIONS = 0.3
"""Training steps when going on from published weights, as a share of the preset's."""


@dataclass(frozen=True)
class RetrainReport:
    """What came out of a training, for the annotator who asked for it.

    Attributes:
        segmenter: Which network.
        version: Name of the stored version.
        published: Whether it is in use now.
        sentence: What happened and why.
        next_step: What to do now.
        metric, metric_before: mRecall of the new and the former network in their zone on the same
            validation patients; None if there is nothing to compare.
        version_before: Version that was in use, or None.
        cases: Nodes, found and false predictions of each validation patient, new and before.
        train_cases, validation_cases: What was learned from and compared on.
        skipped: Approved cases that were left out, with the reason.
        training: Record of the training: steps, learning rate, losses, seconds.
    """

    segmenter: str
    version: str
    published: bool
    sentence: str
    next_step: str
    metric: float | None
    metric_before: float | None
    version_before: str | None
    cases: dict[str, dict[str, Any]]
    train_cases: list[str]
    validation_cases: list[str]
    skipped: dict[str, str]
    training: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def retrain(
    root: str | Path,
    models: ModelStore | str | Path,
    segmenter_name: str,
    *,
    preset: str = "demo",
    iterations: int | None = None,
    learning_rate: float | None = None,
    from_scratch: bool = False,
    seed: int = 0,
    device: str = "cpu",
    publish: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    resume: bool = True,
) -> RetrainReport:
    """Train one network on the approved cases of a store and publish it if it is at least as good.

    Goes on from the published weights, with their preprocessing numbers, unless told otherwise. Only
    approved cases whose split is "train" are learned from; the former and the new network are compared
    on the approved cases whose split is "validation". The new version is stored in any case.

    Args:
        root: Folder of the studies.
        models: Store of the versions, or its folder.
        segmenter_name: Row of `SEGMENTERS`.
        preset: Row of `PRESETS`.
        iterations: Training steps; by default the preset's, or 30 % of them from published weights.
        learning_rate: By default the preset's, or a quarter of it from published weights.
        from_scratch: Start from random weights.
        seed: Of first weights and patches.
        device: "cpu", "cuda" or "cuda:N".
        publish: False stores the new version without putting it to use.
        on_progress: Called after each epoch.
        resume: Go on with an interrupted training of the same cases and settings.

    Raises:
        ValueError: No approved case can be learned from, or a name is unknown; says what to do.
    """
    if segmenter_name not in SEGMENTERS or preset not in PRESETS:
        raise ValueError(
            f"unknown network {segmenter_name!r} or preset {preset!r}: expected one of "
            f"{', '.join(SEGMENTERS)} and one of {', '.join(PRESETS)}"
        )
    store = models if isinstance(models, ModelStore) else ModelStore(models)
    segmenter, root = SEGMENTERS[segmenter_name], Path(root)
    before = store.published(segmenter_name)
    former = store.load(segmenter_name, before) if before else None
    initial = None if from_scratch or former is None or former.preset != preset else former
    recipe = _recipe(PRESETS[preset], learning_rate, tuned=initial is not None)
    steps = iterations or round(recipe.iterations * (TUNING_ITERATIONS if initial else 1))

    approved = approved_cases(root)
    splits = assign(root, approved)
    columns, skipped, synthetic = load_columns(
        root, [case for case in approved if splits[case] != "test"], segmenter, recipe
    )
    learned = [column for column in columns if splits[column.case] == "train"]
    compared = [column for column in columns if splits[column.case] == "validation"]
    if not learned:
        raise ValueError(_nothing_to_learn(segmenter_name, approved, splits, skipped))
    resume_path = store.root / "training" / f"{segmenter_name}.resume"
    if not resume:
        resume_path.unlink(missing_ok=True)
    checkpoint = train(
        segmenter,
        recipe,
        learned,
        compared,
        iterations=steps,
        seed=seed,
        initial=initial,
        trained_on=_trained_on(initial, learned, synthetic),
        device=device,
        threads=None,
        resume_path=resume_path,
        on_progress=on_progress,
    )
    after = evaluate(checkpoint, compared, device) if compared else {}
    earlier: dict[str, Any] = {}
    if former is not None and compared:
        same = compared if former.preset == preset else _again(root, compared, segmenter, former.preset)
        earlier = evaluate(former, same, device)
    metric, metric_before = after.get("metric"), earlier.get("metric")
    checkpoint = replace(checkpoint, metadata={**checkpoint.metadata, "base_version": before and before.name})
    version = store.add(checkpoint, metric)
    resume_path.unlink(missing_ok=True)
    better = metric is not None and (
        former is None or (metric_before is not None and metric >= metric_before)
    )
    sentence, next_step = _verdict(version, before, metric, metric_before, better, publish, bool(compared))
    if better and publish:
        store.publish(segmenter_name, version.name)
        sentence += f"; {renew_operating_points(store, segmenter_name, compared, device)}"
    return RetrainReport(
        segmenter=segmenter_name,
        version=version.name,
        published=better and publish,
        sentence=sentence,
        next_step=next_step,
        metric=metric,
        metric_before=metric_before,
        version_before=before.name if before else None,
        cases={
            case: {"after": found, "before": earlier.get("cases", {}).get(case)}
            for case, found in after.get("cases", {}).items()
        },
        train_cases=[column.case for column in learned],
        validation_cases=[column.case for column in compared],
        skipped=skipped,
        training=dict(checkpoint.metadata),
    )


def approved_cases(root: Path) -> list[str]:
    """Ids of the cases with an approved label, sorted."""
    found = set()
    for path in (root / "labels" / "final").glob("*"):
        for suffix in SUFFIXES:
            if path.is_file() and path.name.endswith(suffix) and not path.name.startswith("."):
                found.add(path.name[: -len(suffix)])
                break
    return sorted(found)


def load_columns(
    root: Path, cases: Sequence[str], segmenter: Segmenter, preset: Preset
) -> tuple[list[Column], dict[str, str], set[str]]:
    """Columns of the cases that a network can use, the reasons for the others, and which are phantoms.

    The nodes of an approved label are its 26-connected components.
    """
    columns, skipped, synthetic = [], {}, set()
    for case in cases:
        try:
            paths = companions(root, case)
            study = load_study(paths)
            if study.nodes is not None:
                instances, _ = ndimage.label(study.nodes.array, CONNECTIVITY)
                nodes = Volume(instances.astype(np.int32), study.nodes.grid, study.nodes.file_grid)
                study = replace(study, nodes=nodes)
            column = prepare(study, preset)
        except ValueError as error:
            skipped[case] = str(error)
            continue
        if reason := reason_not_usable(column, segmenter):
            skipped[case] = reason
            continue
        columns.append(compact(column))
        if paths.truth is not None:
            synthetic.add(case)
    return columns, skipped, synthetic


def _recipe(preset: Preset, learning_rate: float | None, *, tuned: bool) -> Preset:
    if learning_rate is not None and not learning_rate > 0:
        raise ValueError(f"the learning rate must be above 0, not {learning_rate}")
    default = preset.learning_rate * (TUNING_LEARNING_RATE if tuned else 1)
    return replace(preset, learning_rate=learning_rate or default)


def _again(root: Path, columns: Sequence[Column], segmenter: Segmenter, preset: str) -> list[Column]:
    """The same patients on the working grid of another preset."""
    return load_columns(root, [column.case for column in columns], segmenter, PRESETS[preset])[0]


def _trained_on(initial: Checkpoint | None, learned: Sequence[Column], synthetic: set[str]) -> str:
    """What the weights have seen; "phantom" only if nothing else."""
    patients = sum(column.case not in synthetic for column in learned)
    own = _number(patients, "approved patient") if patients else "phantom"
    if patients and patients < len(learned):
        own += f" and {_number(len(learned) - patients, 'phantom')}"
    return own if initial is None or initial.trained_on == own else f"{initial.trained_on}, then {own}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _nothing_to_learn(
    segmenter: str, approved: Sequence[str], splits: dict[str, str], skipped: dict[str, str]
) -> str:
    if not approved:
        return "no approved label: review a case, submit it as final, and train again"
    kept = sum(splits[case] != "train" for case in approved)
    reasons = "; ".join(f"{case}: {reason}" for case, reason in skipped.items())
    return (
        f"no approved case can train {segmenter}: of {len(approved)}, {kept} are kept for validation and test"
        + (f", and left out were {reasons}" if reasons else "")
        + "; review and submit further cases"
    )


def _verdict(
    version: Version,
    before: Version | None,
    metric: float | None,
    metric_before: float | None,
    better: bool,
    publish: bool,
    compared: bool,
) -> tuple[str, str]:
    """What happened, and what to do now."""
    by_hand = f"scripts/models.py publish {version.network} {version.name}"
    if not compared or metric is None:
        lack = (
            "no approved validation patient"
            if not compared
            else "no node in its zone in any validation patient"
        )
        return (
            f"{version.name} was trained and stored but not published: there is {lack} to compare on",
            f"approve a case of the validation split with one and train again, or publish by hand: {by_hand}",
        )
    figures = f"mRecall {metric:.3f} on validation patients"
    if metric_before is not None and before is not None:
        figures += f", {before.name} has {metric_before:.3f}"
    if not better:
        return (
            f"{version.name} was trained and stored but not published, because it is worse: {figures}",
            f"approve further cases and train again, or publish by hand: {by_hand}",
        )
    if not publish:
        return (f"{version.name} was trained and stored, not published as asked: {figures}", by_hand)
    return (
        f"{version.name} is published: {figures}",
        f"ask for the nodes of the next case; scripts/models.py rollback {version.network} undoes this",
    )
