"""The gate between a trained network and its use: judge, store, publish only what is not likely to be worse.

The same for the networks of both stages, so that an annotator reads one kind of report.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

from osln.retraining.judgment import HIGHEST_RISK, Judgment, judge
from osln.retraining.verdict import IN_USE, REPLACED, WITHOUT, Verdict, metric_name
from osln.rows.experiments import CLASSIFIERS, VERSIONED
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore, ReplacedError, Version

MANY_ROUNDS = 5
"""Rounds judged on the same patients from which on a report says so: each choice fits them a little."""


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
        metric, metric_before: That figure of the new and the former network on the same patients; None if
            there is nothing to compare.
        judgments: The new network against what is "in use" and, for stage two, against "stage one alone":
            `judgment.Judgment` as JSON values.
        version_before: Version that was in use, or None.
        cases: Nodes, found and false predictions of each validation patient, new and before.
        train_cases: What was learned from.
        validation_cases: What was compared on; with few validation patients also training patients, for
            which networks stand that have not seen them.
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
    judgments: dict[str, dict[str, Any]]
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
class Compared:
    """What is found in the same cases in the same order; of whose patients none of those asked has learned.

    Attributes:
        cases: Each with its id as `case`.
        patients: The patient of each.
        new: Of the new network, for each case.
        earlier: Of what is in use; None if nothing is that can be used.
        without: Where no network of this kind is asked (the candidates under stage one's scores); None if
            nothing is found without it.
    """

    cases: tuple[Any, ...]
    patients: tuple[str, ...]
    new: tuple[Any, ...]
    earlier: tuple[Any, ...] | None
    without: Sequence[Any] | None = None

    def also(
        self,
        cases: Sequence[Any],
        patients: Sequence[str],
        new: Sequence[Any],
        earlier: Sequence[Any],
        without: Sequence[Any] | None,
    ) -> "Compared":
        """With further cases."""
        return Compared(
            (*self.cases, *cases),
            (*self.patients, *patients),
            (*self.new, *new),
            (*(self.earlier or ()), *earlier),
            None if self.without is None or without is None else [*self.without, *without],
        )


@dataclass(frozen=True)
class Trained:
    """A network fresh from its training, with everything that decides about its use.

    Attributes:
        checkpoint: The network.
        initial: Whether it went on from the published version's weights.
        train_cases: What was learned from.
        skipped: Approved cases that were left out, with the reason.
        compared: What it and its rival find.
        figures: From cases and what was found in them to figures; "metric" decides.
        rival: Version that `compared.earlier` is of; None if nothing can be compared with.
        made_of: Of stage two, what the compared candidates were made of: `ModelStore.weights_of` its network.
        note: A sentence about the training that belongs into the report; "" for none.
        lost: Why the version in use cannot be read and nothing is compared with it; "" if it can.
        folds: Networks that stand for it on a part of its own training patients, which they left out
            (`left_out` of their metadata, and `base_version`, what they went on from).
    """

    checkpoint: Checkpoint
    initial: bool
    train_cases: Sequence[str]
    skipped: Mapping[str, str]
    compared: Compared
    figures: Callable[[Sequence[Any], Sequence[Any]], dict[str, Any]]
    rival: Version | None = None
    made_of: Mapping[str, str] | None = None
    note: str = ""
    lost: str = ""
    folds: tuple[Checkpoint, ...] = ()

    def of(self, found: Sequence[Any] | None) -> dict[str, Any]:
        """The figures of what was found in the compared cases; {} without any."""
        return self.figures(self.compared.cases, found) if self.compared.cases and found else {}

    def outdated(self, store: ModelStore) -> bool:
        """Whether the candidates that were compared on would be made of something else by now."""
        if self.made_of is None:
            return False
        network = self.checkpoint.name
        now, then = (
            {name: told for name, told in weights.items() if name != network}
            for weights in (store.weights_of(network), self.made_of)
        )
        return now != then


def alone(work: Callable[..., RetrainReport]) -> Callable[..., RetrainReport]:
    """A retraining that nobody else does for the same network of the same model store meanwhile.

    Two would publish after each other, the second without a look at the first. With `held` whoever asks for
    it holds the lock of the network already (`ModelStore.training`), in another process.
    """

    @wraps(work)
    def guarded(
        root: str | Path,
        models: ModelStore | str | Path,
        network: str,
        *,
        held: bool = False,
        **options: Any,
    ) -> RetrainReport:
        store = models if isinstance(models, ModelStore) else ModelStore(models)
        with nullcontext() if held or network not in VERSIONED else store.training(network):
            return work(root, store, network, **options)

    return guarded


def conclude(
    store: ModelStore,
    before: Version | None,
    trained: Trained,
    *,
    publish: bool,
    renew: Callable[[ModelStore], str],
    highest_risk: float = HIGHEST_RISK,
) -> RetrainReport:
    """Stores the version, publishes it if it is not likely to be worse than what is in use, and tells.

    The first version of a network is published if there was a node to judge it by. One of stage two must
    not find less than stage one finds by its own scores, on the same patients.

    Args:
        store: Where to.
        before: Version in use, or None.
        trained: The new network.
        publish: False stores without publishing.
        renew: Called before publishing with the store as it will be: sets operating points and says so.
        highest_risk: Probability of being worse below which it is published.
    """
    name, compared = trained.checkpoint.name, trained.compared
    after, earlier = trained.of(compared.new), trained.of(compared.earlier)
    metric, metric_before = after.get("metric"), earlier.get("metric")
    # Weights that were trained from scratch have nothing of the version that they replace.
    base = before.name if before is not None and trained.initial else None
    judged_on = [one.case for one in compared.cases]
    metadata = {**trained.checkpoint.metadata, "base_version": base, "judged_on": judged_on}
    version = store.add(replace(trained.checkpoint, metadata=metadata), metric)
    for fold in trained.folds:
        store.add(replace(fold, metadata={**fold.metadata, "stands_for": version.name}))
    judgments = _judgments(compared, highest_risk)
    verdict = Verdict(
        version,
        before,
        store.published(name),
        trained.outdated(store),
        trained.rival.network if trained.rival and trained.rival.network != name else None,
        metric,
        metric_before,
        judgments,
        highest_risk,
        trained.lost,
    )
    published = verdict.passes and publish
    sentence, next_step = verdict.told(asked=publish)
    stays = publish and not published and verdict.compared
    if stays and (why := _worse_than_none(store, trained, highest_risk)):
        sentence += f"; {why}, so the candidates keep stage one's own score"
    if published:
        published, more, step = _into_use(store, version, verdict.now, trained, renew)
        sentence = "; ".join(part for part in (sentence, more) if part) if published else more
        next_step = step or next_step
    if judged_on and (used := _rounds_before(store, version, judged_on)) >= MANY_ROUNDS:
        sentence += (
            f"; {used} rounds before were judged on most of these patients, so whatever passed fits them "
            "better than others: approve further cases"
        )
    return RetrainReport(
        network=name,
        version=version.name,
        published=published,
        sentence=f"{trained.note}; {sentence}" if trained.note else sentence,
        next_step=next_step,
        metric_name=metric_name(name),
        metric=metric,
        metric_before=metric_before,
        judgments={against: asdict(found) for against, found in judgments.items()},
        version_before=before.name if before else None,
        cases={
            case: {"after": found, "before": earlier.get("cases", {}).get(case)}
            for case, found in after.get("cases", {}).items()
        },
        train_cases=list(trained.train_cases),
        validation_cases=judged_on,
        skipped=dict(trained.skipped),
        training=metadata,
    )


def _into_use(
    store: ModelStore,
    version: Version,
    now: Version | None,
    trained: Trained,
    renew: Callable[[ModelStore], str],
) -> tuple[bool, str, str]:
    """Measures a version and puts it into use, unless another one, or stage one, is by then.

    Measured first, the new weights never answer at the operating points of the former ones. If what answers
    together with it was replaced meanwhile, they are measured once more.

    Returns:
        Whether it is in use; what was set, or why not; what to do then.
    """
    network, not_published = version.network, f"{version.name} was trained and stored but not published"
    by_hand = f"publish by hand: ./scripts/osln models publish {network} {version.name}"

    def decided_on_another() -> str:
        if store.published(network) != now:
            other = store.published(network)
            return f"{not_published}: meanwhile {other.name if other else 'nothing'} was put to use"
        return f"{not_published}: {REPLACED}" if trained.outdated(store) else ""

    said, seen = "", None
    while seen != (others := _others(store, network)) and not trained.outdated(store):
        seen = others
        try:
            said = renew(store.trying(version))
        except (ValueError, OSError, RuntimeError) as error:
            reason = str(error) or type(error).__name__
            told = f"{not_published}, because its operating points cannot be measured: {reason}"
            return False, told, f"mend that and train again, or {by_hand}"
    try:
        store.publish(network, version.name, unless=decided_on_another)
    except ReplacedError as error:
        return False, str(error), f"train again, or {by_hand}"
    return True, said, ""


def _others(store: ModelStore, network: str) -> dict[str, Any]:
    """All that answers together with a network: weights, and where stage one hands over."""
    weights = {name: store.checksum(name) for name in VERSIONED if name != network}
    return weights | {f"candidates of {name}": store.weights_of(name) for name in CLASSIFIERS}


def _rounds_before(store: ModelStore, version: Version, judged_on: Sequence[str]) -> int:
    """How many earlier versions of the network had at least half of the patients to be judged by."""
    patients = set(judged_on)
    earlier = [one for one in store.versions(version.network) if one.name != version.name]
    # Networks that only stand for another one on patients that they left out were no round.
    told = [one.metadata for one in earlier if "stands_for" not in one.metadata]
    # Former software kept the validation patients alone.
    before = [set(about.get("judged_on") or about.get("validation_cases") or ()) for about in told]
    return sum(2 * len(patients & cases) >= len(patients) for cases in before)


def _worse_than_none(store: ModelStore, trained: Trained, highest_risk: float) -> str | None:
    """Notes whether what stays in use is likely to be worse than stage one alone, and why."""
    compared = trained.compared
    used = trained.rival
    if used is None or not compared.earlier or not compared.without or trained.outdated(store):
        return None
    if (now := store.published(used.network)) is None or now.sha256 != used.sha256:
        return None
    judged = judge(compared.earlier, compared.without, compared.patients, highest_risk)
    if judged.risk is None:
        return store.worse_than_none(used.network)
    why = None
    if judged.risk > 1 - highest_risk:
        why = (
            f"stage one alone finds more than {used.network} ({used.name}: {judged.difference:+.3f} "
            f"{metric_name(used.network)} on {judged.patients} patients)"
        )
    store.set_worse_than_none(used, why)
    return why


def _judgments(compared: Compared, highest_risk: float) -> dict[str, Judgment]:
    """The new network against what is in use, and against no network of its kind."""
    rivals = {IN_USE: compared.earlier, WITHOUT: compared.without}
    return {
        against: judge(compared.new, rival, compared.patients, highest_risk)
        for against, rival in rivals.items()
        if rival is not None and compared.cases
    }


def nothing_to_learn(network: str, splits: Mapping[str, str], skipped: Mapping[str, str]) -> str:
    """Why none of the approved cases, whose splits are given, can train a network, and what to do."""
    if not splits and not skipped:
        return (
            "no approved label: review a case, submit it as final, and train again; or put nodes that are "
            "known into labels/final/<case>.nii.gz"
        )
    kept = sum(split != "train" for split in splits.values())
    reasons = "; ".join(f"{case}: {reason}" for case, reason in skipped.items())
    return (
        f"no approved case can train {network}: of {len(splits)}, {kept} are kept for validation and test"
        + (f", and left out were {reasons}" if reasons else "")
        + "; review and submit further cases"
    )
