"""From corrected labels to a better network: train on approved cases, compare, publish only what is no worse.

Called by the server's training process and by `./scripts/osln train`; both get the same report.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from osln.imaging.lung_column import Column
from osln.learning.fit import Progress
from osln.retraining.operating_points import renew_operating_points, renew_score_thresholds
from osln.retraining.publishing import RetrainReport, Trained, checked_rate, conclude, nothing_to_learn
from osln.rows.experiments import PRESETS, SEGMENTERS, Segmenter
from osln.stage_one.training import train
from osln.stage_one.validation import evaluate
from osln.store.approved import approved_cases, load_columns
from osln.store.splits import assign
from osln.weights.checkpoint import trained_on
from osln.weights.model_store import ModelStore

TUNING_LEARNING_RATE = 0.25
"""Learning rate when going on from published weights, as a share of the preset's."""
TUNING_ITERATIONS = 0.3
"""Training steps when going on from published weights, as a share of the preset's."""


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
    tagger_path: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_step: Callable[[str], None] | None = None,
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
        tagger_path: File of the tagger in use: stage two is asked for its operating points anew.
        on_progress: Called after each epoch.
        on_step: Called with a sentence before other steps that take their time.
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
    share = TUNING_LEARNING_RATE if initial else 1
    rate = checked_rate(learning_rate, PRESETS[preset].learning_rate * share)
    recipe = replace(PRESETS[preset], learning_rate=rate)
    steps = iterations or round(recipe.iterations * (TUNING_ITERATIONS if initial else 1))

    approved = approved_cases(root)
    splits = assign(root, approved)
    columns, skipped, synthetic = load_columns(
        root, [case for case in approved if splits[case] != "test"], segmenter, recipe
    )
    learned = [column for column in columns if splits[column.case] == "train"]
    compared = [column for column in columns if splits[column.case] == "validation"]
    if not learned:
        raise ValueError(nothing_to_learn(segmenter_name, approved, splits, skipped))
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
        trained_on=trained_on(initial, [column.case for column in learned], synthetic),
        device=device,
        threads=None,
        resume_path=resume_path,
        on_progress=on_progress,
    )
    after = evaluate(checkpoint, compared, device) if compared else {}
    earlier: dict[str, Any] | None = None
    if former is not None:
        same = compared if former.preset == preset else _again(root, compared, segmenter, former.preset)
        earlier = evaluate(former, same, device) if compared else {}
    cases = [column.case for column in compared]

    def renew() -> str:
        if on_step is not None:
            on_step("setting the operating points")
        points = renew_operating_points(store, segmenter_name, compared, device)
        scores = renew_score_thresholds(store, root, segmenter_name, cases, tagger_path, device)
        return "; ".join(part for part in (points, scores) if part)

    trained = Trained(
        checkpoint, initial is not None, [column.case for column in learned], cases, skipped, after, earlier
    )
    report = conclude(store, before, trained, publish=publish, renew=renew)
    resume_path.unlink(missing_ok=True)
    return report


def _again(root: Path, columns: Sequence[Column], segmenter: Segmenter, preset: str) -> list[Column]:
    """The same patients on the working grid of another preset."""
    return load_columns(root, [column.case for column in columns], segmenter, PRESETS[preset])[0]
