"""Which patients a version of the weights has learned from, and who can be judged on without it."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from osln.store.patients import by_patient, patient_of
from osln.store.splits import folds
from osln.weights.model_store import Version


def cases_seen(version: Version, versions: Iterable[Version]) -> frozenset[str] | None:
    """Cases that a version learned from, it and all that it went on from.

    Args:
        version: The version asked about.
        versions: All of the same network.

    Returns:
        Case ids; None if a version of the chain is gone or keeps no record, so that nobody can tell.
    """
    seen, whole = _chain(version, versions)
    return frozenset(seen) if whole else None


def cases_not_seen(
    root: Path, version: Version, versions: Iterable[Version], cases: Iterable[str]
) -> list[str]:
    """Those of the cases of whose patients a version has seen no case; none where nobody can tell."""
    seen, whole = _chain(version, versions)
    patients = {patient_of(root, case) for case in seen}
    return [case for case in cases if patient_of(root, case) not in patients] if whole else []


def cases_known_seen(
    root: Path, version: Version, versions: Iterable[Version], cases: Iterable[str]
) -> list[str]:
    """Those of the cases of whose patients a version has seen a case, as far as its records go back."""
    patients = {patient_of(root, case) for case in _chain(version, versions)[0]}
    return [case for case in cases if patient_of(root, case) in patients]


def _chain(version: Version, versions: Iterable[Version]) -> tuple[set[str], bool]:
    """Cases that a version and all that it went on from learned from, and whether that is known of all."""
    known = {other.name: other for other in versions}
    seen: set[str] = set()
    name: str | None = version.name
    while name is not None:
        link = known.pop(name, None)
        if link is None or "train_cases" not in link.metadata:
            return seen, False
        seen.update(link.metadata["train_cases"])
        name = link.metadata.get("base_version")
    return seen, True


def unseen_parts(
    root: Path, used: Version, versions: Sequence[Version], cases: Sequence[str]
) -> list[tuple[Version, list[str]]]:
    """Parts of the training patients, each with what has not seen it: a version, or what stands for it.

    A network that the version's own round trained without a part stands for it there, and new patients are
    dealt among these; without such networks the version is asked about patients it has not seen. All cases of
    a patient are in one part.

    Args:
        root: Folder of the studies.
        used: The version in use.
        versions: All of its network.
        cases: Of the patients.
    """
    fresh = cases_not_seen(root, used, versions, cases)
    stands = [one for one in versions if one.metadata.get("stands_for") == used.name]
    if not stands:
        return [(used, part) for part in folds(root, fresh)]
    left_out = [by_patient(root, one.metadata["left_out"]).keys() for one in stands]
    dealt: list[set[str]] = [set(patients) for patients in left_out]
    for patient in by_patient(root, fresh).keys() - set().union(*left_out):
        digest = hashlib.sha256(f"part:{patient}".encode()).digest()
        dealt[digest[0] % len(stands)].add(patient)
    return [
        (one, [case for case in cases_not_seen(root, one, versions, cases) if patient_of(root, case) in mine])
        for one, mine in zip(stands, dealt, strict=True)
    ]
