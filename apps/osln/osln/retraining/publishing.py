"""The gate between a trained network and its use: compare, store, publish only what is no worse.

The same for the networks of both stages, so that an annotator reads one kind of report.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

from osln.rows.experiments import SEGMENTERS, VERSIONED
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore, Version


@dataclass(frozen=True)
class RetrainReport:
    """What came out of a training, for the annotator who asked for it.

    Attributes:
        network: Which network.
        version: Name of the stored version.
        published: Whether it is in use now.
        sentence: What happened and why.
        next_step: What to do now.
        metric_name: "mRecall" of a segmenter in its zone, "mFROC" of a classifier.
        metric, metric_before: That figure of the new and the former network on the same validation
            patients; None if there is nothing to compare.
        version_before: Version that was in use, or None.
        cases: Nodes, found and false predictions of each validation patient, new and before.
        train_cases, validation_cases: What was learned from and compared on.
        skipped: Approved cases that were left out, with the reason.
        training: Record of the training: steps, learning rate, losses, seconds.
    """

    network: str
    version: str
    published: bool
    sentence: str
    next_step: str
    metric_name: str
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


@dataclass(frozen=True)
class Trained:
    """A network fresh from its training, with everything that decides about its use.

    Attributes:
        checkpoint: The network.
        initial: Whether it went on from the published version's weights.
        train_cases, validation_cases: What was learned from and compared on.
        skipped: Approved cases that were left out, with the reason.
        after: Figures of the new network on the validation patients; "metric" decides. {} without any.
        earlier: Those of what is in use now; None if nothing is that can be used.
        rival: What `earlier` is of, if that is not the former version: a network's name.
        note: A sentence about the training that belongs into the report; "" for none.
    """

    checkpoint: Checkpoint
    initial: bool
    train_cases: Sequence[str]
    validation_cases: Sequence[str]
    skipped: Mapping[str, str]
    after: Mapping[str, Any]
    earlier: Mapping[str, Any] | None
    rival: str | None = None
    note: str = ""


def alone(work: Callable[..., RetrainReport]) -> Callable[..., RetrainReport]:
    """A retraining that nobody else does for the same network of the same model store meanwhile.

    Two would publish after each other, the second without a look at the first.
    """

    @wraps(work)
    def guarded(
        root: str | Path, models: ModelStore | str | Path, network: str, **options: Any
    ) -> RetrainReport:
        store = models if isinstance(models, ModelStore) else ModelStore(models)
        with store.training(network) if network in VERSIONED else nullcontext():
            return work(root, store, network, **options)

    return guarded


def conclude(
    store: ModelStore,
    before: Version | None,
    trained: Trained,
    *,
    publish: bool,
    renew: Callable[[], str],
) -> RetrainReport:
    """Stores the version, publishes it if it is at least as good as what is in use, and tells.

    Args:
        store: Where to.
        before: Version in use, or None.
        trained: The new network.
        publish: False stores without publishing.
        renew: Called after publishing: sets operating points and says so.
    """
    name = trained.checkpoint.name
    earlier = trained.earlier or {}
    metric, metric_before = trained.after.get("metric"), earlier.get("metric")
    # Weights that were trained from scratch have nothing of the version that they replace.
    base = before.name if before is not None and trained.initial else None
    metadata = {**trained.checkpoint.metadata, "base_version": base}
    version = store.add(replace(trained.checkpoint, metadata=metadata), metric)
    better = metric is not None and (
        trained.earlier is None or (metric_before is not None and metric >= metric_before)
    )
    sentence, next_step = _verdict(version, before, trained, better, publish)
    if better and publish:
        store.publish(name, version.name)
        sentence += f"; {renew()}"
    return RetrainReport(
        network=name,
        version=version.name,
        published=better and publish,
        sentence=f"{trained.note}; {sentence}" if trained.note else sentence,
        next_step=next_step,
        metric_name=metric_name(name),
        metric=metric,
        metric_before=metric_before,
        version_before=before.name if before else None,
        cases={
            case: {"after": found, "before": earlier.get("cases", {}).get(case)}
            for case, found in trained.after.get("cases", {}).items()
        },
        train_cases=list(trained.train_cases),
        validation_cases=list(trained.validation_cases),
        skipped=dict(trained.skipped),
        training=metadata,
    )


def metric_name(network: str) -> str:
    """What a network is judged by on validation patients (paper, section 4.3)."""
    return "mRecall" if network in SEGMENTERS else "mFROC"


def nothing_to_learn(network: str, splits: Mapping[str, str], skipped: Mapping[str, str]) -> str:
    """Why none of the approved cases, whose splits are given, can train a network, and what to do."""
    if not splits:
        return "no approved label: review a case, submit it as final, and train again"
    kept = sum(split != "train" for split in splits.values())
    reasons = "; ".join(f"{case}: {reason}" for case, reason in skipped.items())
    return (
        f"no approved case can train {network}: of {len(splits)}, {kept} are kept for validation and test"
        + (f", and left out were {reasons}" if reasons else "")
        + "; review and submit further cases"
    )


def _verdict(
    version: Version, before: Version | None, trained: Trained, better: bool, publish: bool
) -> tuple[str, str]:
    """What happened, and what to do now."""
    by_hand = f"./scripts/osln models publish {version.network} {version.name}"
    metric, metric_before = trained.after.get("metric"), (trained.earlier or {}).get("metric")
    if metric is None:
        where = " in its zone" if version.network in SEGMENTERS else ""
        lack = (
            f"no node{where} in any validation patient"
            if trained.validation_cases
            else "no approved validation patient"
        )
        return (
            f"{version.name} was trained and stored but not published: there is {lack} to compare on",
            f"approve a case of the validation split with one and train again, or publish by hand: {by_hand}",
        )
    figures = f"{metric_name(version.network)} {metric:.3f} on validation patients"
    if metric_before is not None:
        figures += f", {trained.rival or (before and before.name)} has {metric_before:.3f}"
    if not better:
        return (
            f"{version.name} was trained and stored but not published, because it is worse: {figures}",
            f"approve further cases and train again, or publish by hand: {by_hand}",
        )
    if not publish:
        return (f"{version.name} was trained and stored, not published as asked: {figures}", by_hand)
    return (
        f"{version.name} is published: {figures}",
        f"ask for the nodes of the next case; ./scripts/osln models rollback {version.network} undoes this",
    )
