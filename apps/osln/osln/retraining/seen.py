"""Which patients a version of the weights has learned from, and who can be judged on without it."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from osln.store.known_patients import case_of, former_ids
from osln.store.patients import patients_of
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


def patients_with_seen(root: Path, versions: Iterable[Version], cases: Iterable[str]) -> dict[str, str]:
    """The patient (`patients_of`) of each of the cases and of all that any of the versions learned from.

    Also of what a case has been that a version learned from (`former_ids`): nobody knows which it was then.
    """
    seen = dict.fromkeys(case for one in versions for case in one.metadata.get("train_cases", ()))
    return patients_of(root, dict.fromkeys([*cases, *seen, *former_ids(root, seen)]))


def cases_not_seen(
    patient_of: Mapping[str, str], version: Version, versions: Iterable[Version], cases: Iterable[str]
) -> list[str]:
    """Those of the cases of whose patients a version has seen no case; none where nobody can tell.

    Args:
        patient_of: From `patients_with_seen`.
        version: The version asked about.
        versions: All of the same network.
        cases: Case ids.
    """
    seen, whole = _chain(version, versions)
    patients = _patients_seen(patient_of, seen)
    return [case for case in cases if patient_of[case] not in patients] if whole else []


def cases_known_seen(
    patient_of: Mapping[str, str], version: Version, versions: Iterable[Version], cases: Iterable[str]
) -> list[str]:
    """Those of the cases of whose patients a version has seen a case, as far as its records go back.

    Arguments as in `cases_not_seen`.
    """
    patients = _patients_seen(patient_of, _chain(version, versions)[0])
    return [case for case in cases if patient_of[case] in patients]


def _patients_seen(patient_of: Mapping[str, str], seen: Collection[str]) -> set[str]:
    """The patients of these cases, and of what they have been."""
    return {patient for case, patient in patient_of.items() if case_of(case) in seen}


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


def stand_ins(used: Version, versions: Iterable[Version]) -> list[Version]:
    """Networks that stand for a version on the patients that they left out."""
    return [one for one in versions if one.metadata.get("stands_for") == used.name]


def unseen_parts(
    root: Path,
    used: Version,
    versions: Sequence[Version],
    cases: Sequence[str],
    without: Sequence[Version] = (),
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
        without: Those that cannot be asked; their parts are left out.
    """
    stands = [one for one in stand_ins(used, versions) if one not in without]
    own = [one.metadata["left_out"] for one in stands]
    patient_of = patients_with_seen(root, versions, [*cases, *(case for part in own for case in part)])
    fresh = cases_not_seen(patient_of, used, versions, cases)
    if not stands:
        return [(used, part) for part in folds(root, fresh)]
    dealt = [{patient_of[case] for case in part} for part in own]
    for patient in {patient_of[case] for case in fresh} - set().union(*dealt):
        digest = hashlib.sha256(f"part:{patient}".encode()).digest()
        dealt[digest[0] % len(stands)].add(patient)
    return [
        (one, [case for case in cases_not_seen(patient_of, one, versions, cases) if patient_of[case] in mine])
        for one, mine in zip(stands, dealt, strict=True)
    ]
