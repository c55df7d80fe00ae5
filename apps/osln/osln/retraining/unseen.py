"""Which version of a stage-one network has not seen a patient: only its candidates may teach stage two.

A network finds the nodes that it learned from too well, so that the candidates of its own training
patients are not those of others. For each patient the newest version that has not seen it is asked. Only
if there is none, because a network was trained from scratch on the cohort itself, versions are trained
that leave out a part of the patients (out-of-fold); they are stored like all others, never
published, and found like all others.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from osln.retraining.seen import cases_not_seen, patients_with_seen
from osln.retraining.settings import Settings
from osln.rows.experiments import PRESETS, SEGMENTERS, Preset
from osln.stage_one.training import train
from osln.store.approved import load_columns
from osln.store.splits import folds
from osln.weights.checkpoint import trained_on
from osln.weights.model_store import ModelStore, Version, is_whole

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """How versions that leave out patients are trained.

    Attributes:
        root: Folder of the studies.
        cases: Approved cases of the training split.
        settings: Seed, device and who is told.
        phantoms: Those of the cases that are phantoms. Asked before: a case may be removed meanwhile.
    """

    root: Path
    cases: Sequence[str]
    settings: Settings
    phantoms: Collection[str] = ()


def newest_unseen(
    root: Path, store: ModelStore, network: str, preset: Preset, cases: Iterable[str]
) -> dict[str, Version]:
    """The version to ask for each case: the published one if it has not seen the patient, else the newest.

    Versions that were rejected by the gate or rolled back are not asked, nor those that stood for them;
    others that were trained to leave out patients are. One whose file is gone or damaged is passed over and
    told in the log, unless it is in use.

    Args:
        root: Folder of the studies.
        store: Versions of the weights.
        network: Row of `SEGMENTERS`.
        preset: Gives the voxels; versions with others are not asked.
        cases: Case ids.

    Returns:
        By case id; a case whose patient every version has seen is left out.
    """
    versions = store.versions(network)
    good = {version.name for version in store.history(network)}
    asked = [one for one in versions if one.name in good or _stands(one, good)]
    published = store.published(network)
    asked = [*reversed(asked)] if published is None else [published, *reversed(asked)]
    # Newer software may have left versions of presets that are unknown here.
    fitting = [
        version
        for version in asked
        if (known := PRESETS.get(version.metadata.get("preset", preset.name))) and known.has_voxels_of(preset)
    ]
    found: dict[str, Version] = {}
    wanted = list(cases)
    patient_of = patients_with_seen(root, versions, wanted)
    for version in fitting:
        rest = [case for case in wanted if case not in found]
        unseen = cases_not_seen(patient_of, version, versions, rest)
        if unseen and version != published and not is_whole(version):
            logger.warning(
                "%s of %s is not asked about %s: it is missing or was changed after it was stored",
                version.path.name,
                network,
                ", ".join(unseen),
            )
            continue
        found |= dict.fromkeys(unseen, version)
    return {case: found[case] for case in wanted if case in found}


def _stands(version: Version, good: set[str]) -> bool:
    """Whether a version leaves out patients, by itself or for one that is good."""
    return bool(version.metadata.get("left_out")) and version.metadata.get("stands_for") in {None, *good}


def unseen_versions(
    store: ModelStore, networks: Sequence[str], preset: Preset, training: Training
) -> tuple[dict[str, dict[str, Version]], dict[str, str]]:
    """For every training case and network a version that has not seen the case, trained if need be.

    Args:
        store: Versions of the weights.
        networks: Rows of `SEGMENTERS`.
        preset: Of the training; what it lacks is trained in the size of the network in use.
        training: The cases, and how versions that leave out some are trained.

    Returns:
        {case: {network: version}}, and the reasons for the cases that a network cannot be had for.

    Raises:
        ValueError: A network has no weights at all.
    """
    found: dict[str, dict[str, Version]] = {case: {} for case in training.cases}
    skipped: dict[str, str] = {}
    for network in networks:
        if store.published(network) is None:
            store.load(network)
        versions = newest_unseen(training.root, store, network, preset, training.cases)
        if set(training.cases) - versions.keys():
            # Two rounds of stage two may lack the same ones: the second waits, and finds those of the first.
            folder = store.root / network
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".left-out.lock"):
                versions = newest_unseen(training.root, store, network, preset, training.cases)
                if lacking := [case for case in training.cases if case not in versions]:
                    size = replace(store.load(network).preparation, prefilter=preset.prefilter)
                    skipped |= train_left_out(store, network, size, training, lacking)
                    versions = newest_unseen(training.root, store, network, preset, training.cases)
        for case, version in versions.items():
            found[case][network] = version
    return {case: named for case, named in found.items() if len(named) == len(networks)}, skipped


def train_left_out(
    store: ModelStore, network: str, preset: Preset, training: Training, lacking: Sequence[str]
) -> dict[str, str]:
    """Trains and stores versions of a network so that none of the lacking cases is seen by all.

    The usable training cases are dealt into `FOLDS` parts, patient by patient; for each part that holds a
    lacking case a version is trained from scratch on the others. A version is stored as soon as it is
    trained and a training leaves its state after each epoch, so that an interrupted call goes on.

    Returns:
        Reasons for the cases that no version could be trained for.
    """
    root, settings = training.root, training.settings
    columns, skipped = load_columns(root, training.cases, SEGMENTERS[network], preset)
    parts = folds(root, [column.case for column in columns])
    wanted = [part for part in parts if set(part) & set(lacking)]
    for number, part in enumerate(wanted, start=1):
        learned = [column for column in columns if column.case not in part]
        if not learned:
            skipped |= dict.fromkeys(
                part, f"every version of {network} has learned from it, and there is no other case to "
                "train one without it: approve further cases"
            )  # fmt: skip
            continue
        settings.tell(f"training {network} without {', '.join(part)} ({number} of {len(wanted)})")
        seen = [column.case for column in learned]
        resume_path = store.root / "training" / f"{network}-left-out.resume"
        try:
            checkpoint = train(
                SEGMENTERS[network],
                preset,
                learned,
                seed=settings.seed,
                trained_on=trained_on(None, seen, training.phantoms),
                device=settings.device,
                threads=None,
                resume_path=resume_path,
                on_progress=settings.on_progress,
            )
        except ValueError as error:
            skipped |= dict.fromkeys(part, f"no version of {network} could be trained without it: {error}")
            continue
        metadata: Mapping[str, object] = {**checkpoint.metadata, "left_out": list(part)}
        store.add(replace(checkpoint, metadata=metadata))
        resume_path.unlink(missing_ok=True)
    return {case: reason for case, reason in skipped.items() if case in lacking}
