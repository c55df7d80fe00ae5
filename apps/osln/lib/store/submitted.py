"""What comes beside a label: the revision that was edited, what was decided, what the values mean."""

import re
from collections.abc import Mapping
from typing import Any

from lib.store.copied_labels import LOOKED_AT
from lib.store.segments import Segments
from osln.store.reviews import checked_review, renumbered
from osln.store.revisions import Revision

OF_ONE_CANDIDATE = re.compile(r"rejected candidate \d+")


def base_revision(params: dict[str, Any], name: str = "base_revision") -> int | None:
    """The revision that was edited; None if that was not said.

    Args:
        params: What came beside a label.
        name: "base_revision", or "tumor_base_revision" of the tumor that comes with nodes.

    Raises:
        ValueError: If it is no number of a revision.
    """
    base = params.get(name)
    if base is not None and (not isinstance(base, int) or isinstance(base, bool) or base < 0):
        raise ValueError(f"{name} must be the number of the revision that was edited, got {base!r}")
    return base


def tumor_base_revision(params: dict[str, Any], tag: str) -> int | None:
    """The revision of the tumor that was edited; None if that was not said.

    Args:
        params: What came beside a label.
        tag: Of the label; what `base_revision` is of.

    Raises:
        ValueError: If it is no number of a revision.
    """
    base = base_revision(params, "tumor_base_revision")
    return base_revision(params) if base is None and tag == "gtv" else base


def tumor_base_mark(params: dict[str, Any]) -> str | None:
    """The mark of the tumor that was shown, "" for none; None if that was not said.

    Raises:
        ValueError: If it is no text.
    """
    mark = params.get("tumor_base_mark")
    if mark is not None and not isinstance(mark, str):
        raise ValueError(f"tumor_base_mark must be the text that came with the label, got {mark!r}")
    return mark


def sent_review(params: dict[str, Any], sent: Segments, tag: str) -> dict[str, Any] | None:
    """The decisions that came with a label, with the values of `sent.nodes`; None if none came.

    Raises:
        ValueError: If they are not what they must be, or do not belong to the label.
    """
    if params.get("review") is None:
        return None
    if tag != "final" or sent.nodes is None:
        raise ValueError("a review goes with a label of nodes (tag=final), an empty one if there are none")
    if sent.nodes.any() and not sent.sources:
        raise ValueError("a label with a review is one label map with a value for each node, not layers")
    review = checked_review(params["review"])
    return renumbered(review, {value: stored for stored, value in enumerate(sent.sources, start=1)})


def notes(params: dict[str, Any], revision: Revision) -> dict[str, Any]:
    """What the index says of a label, without the review: the index is written whole with each change."""
    told = {key: value for key, value in params.items() if key != "review"}
    return told | about(revision)


def notes_past(former: Mapping[str, Any], revision: Revision) -> dict[str, Any]:
    """What the index says of a revision that it was not told of so far; `former` is what it said."""
    told = about(revision) | {"label_info": revision.label_info}
    if "revision" in former:
        return told
    # They are about this label, for instance those of another server that the folder was of.
    told |= {key: value for key, value in former.items() if key != "ts"}
    author = former.get("client_id")
    return told | {"by": author if isinstance(author, str) and author else revision.by}


def about(revision: Revision) -> dict[str, Any]:
    """What the index says of any label."""
    known: dict[str, Any] = {"revision": revision.revision, "by": revision.by, "sha256": revision.sha256}
    if revision.source == "external":
        known[LOOKED_AT] = None
    # Whose work it is, its older revision tells.
    return known | ({"restored_from": revision.restored_from} if revision.restored_from else {})


def rejected_values(info: dict[str, Any]) -> list[int]:
    """Values of a map of all candidates whose candidates are not kept.

    Args:
        info: What came beside a prediction.
    """
    # Anybody who may store a prediction writes its notes.
    params = info.get("params")
    names = params.get("label_names") if isinstance(params, dict) else None
    if not isinstance(names, dict):
        return []
    found = [value for name, value in names.items() if OF_ONE_CANDIDATE.fullmatch(name)]
    return [value for value in found if isinstance(value, int)]
