"""What is known of one stored label."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Revision:
    """One stored label.

    Attributes:
        revision: Number, from 1; gaps are writes that never became the head.
        by: Who submitted it.
        at: When, ISO 8601 in UTC.
        base: Revision that was the head before, None for the first.
        sha256: Of the compressed file.
        source: What made it: "submission", "restored" (an older revision again), "external" (a file that
            appeared in the store), ...
        label_info: Names of the segments as they were sent.
        counts: Numbers about the content, for instance nodes and voxels; `undecided` of a case in part.
        reference: What it was read from, for instance the SOP Instance UID of a segmentation.
        changes: Nodes added, removed, changed and unchanged against what was there before; None if unknown.
        complete: False if the case was submitted in part (`reviews.in_part`); None without a review.
        seconds: That the annotator worked on the case; None without a review.
        restored_from: The older revision that was stored again, None for all others.
        images: Tells which images of the CT it was drawn on, without telling who the patient is; "" if that
            was not noted.
        unpacked_sha256: Of the file without its compression, whose header holds a time, so that the same
            label packed again has another `sha256`; "" in revisions of former versions.
    """

    revision: int
    by: str
    at: str
    base: int | None
    sha256: str
    source: str
    label_info: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    reference: str = ""
    changes: dict[str, int] | None = None
    complete: bool | None = None
    seconds: float | None = None
    restored_from: int | None = None
    images: str = ""
    unpacked_sha256: str = ""


_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("by", "at", "sha256", "source", "reference", "images", "unpacked_sha256"), (str,)),
    "revision": (int,),
    "base": (int, type(None)),
    "label_info": (list,),
    "counts": (dict,),
    "changes": (dict, type(None)),
    "complete": (bool, type(None)),
    "seconds": (int, float, type(None)),
    "restored_from": (int, type(None)),
}
"""Of the values of a description in JSON."""


def time_of(at: str) -> datetime:
    """The time of a revision as a moment; one without a zone is UTC.

    Raises:
        ValueError: If it is no time.
    """
    # Python 3.10 does not know the Z.
    moment = datetime.fromisoformat(f"{at[:-1]}+00:00" if at.endswith("Z") else at)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def read_revision(path: Path) -> Revision | None:
    """The revision that a file describes; None if there is no such file.

    Raises:
        ValueError: If it is no description of a revision.
    """
    try:
        revision = Revision(**json.loads(path.read_text()))
        _check(revision)
        return revision
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        message = f"{path} is not the description of a revision ({error}); restore it from a backup"
        raise ValueError(message) from error


def _check(revision: Revision) -> None:
    for name, kinds in _KINDS.items():
        # Not isinstance, to which true is a number.
        if type(value := getattr(revision, name)) not in kinds:
            raise ValueError(f"{name} cannot be {value!r}")
    try:
        time_of(revision.at)
    except ValueError as error:
        raise ValueError(f"at is a time such as 2026-01-31T12:00:00+00:00, not {revision.at!r}") from error
