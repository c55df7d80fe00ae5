"""Which patients a version of the weights has learned from."""

from collections.abc import Iterable

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
