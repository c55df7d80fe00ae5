"""Which patients a version of the weights has learned from, and who can be judged on without it."""

import hashlib
from collections.abc import Iterable, Sequence

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
    known = {other.name: other for other in versions}
    seen: set[str] = set()
    name: str | None = version.name
    while name is not None:
        link = known.pop(name, None)
        if link is None or "train_cases" not in link.metadata:
            return None
        seen.update(link.metadata["train_cases"])
        name = link.metadata.get("base_version")
    return frozenset(seen)


def unseen_parts(
    used: Version, versions: Sequence[Version], cases: Sequence[str]
) -> list[tuple[Version, list[str]]]:
    """Parts of the training patients, each with what has not seen it: a version, or what stands for it.

    A network that the version's own round trained without a part stands for it there, and new patients are
    dealt among these; without such networks the version is asked about patients it has not seen.

    Args:
        used: The version in use.
        versions: All of its network.
        cases: Patients.
    """
    seen = cases_seen(used, versions)
    fresh = [] if seen is None else [case for case in cases if case not in seen]
    stands = [one for one in versions if one.metadata.get("stands_for") == used.name]
    if not stands:
        return [(used, part) for part in folds(fresh)]
    parts = [[case for case in cases if case in one.metadata["left_out"]] for one in stands]
    for case in fresh:
        digest = hashlib.sha256(f"part:{case}".encode()).digest()
        parts[digest[0] % len(parts)].append(case)
    return list(zip(stands, parts, strict=True))
