"""Every case with what an annotator chooses the next one by, from the index alone: no image is read."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lib.store.copied_labels import MISFIT
from lib.store.found import in_short
from lib.store.reviews import review_in_short
from osln.dicom.served.uids import study_uid
from osln.store.splits import stored_splits

IN_SHORT = {"candidates", "kept", "doubt", "warnings"}
"""What is told of a prediction, from `in_short`."""
STATES = ("new", "found", "in review", "partly", "approved", "skipped")
JUDGED_BY = ("validation", "test")
"""Splits whose cases count only when they are complete."""


def worklist(store: Any) -> list[dict[str, Any]]:
    """One entry for each case that is served, by name.

    Args:
        store: An `OslnDatastore`.

    Returns:
        `case`, `name` (of the patient on a PACS, else the case), `study_uid`, `series_uid` (of the CT, on a
        PACS), `series` (what tells it from other cases of its study, if there are any), `state` (of
        `STATES`), `by` and `at` (ISO 8601) of what made it so, `candidates`, `kept`, `doubt` (bits,
        `found.doubt_of`), `seconds` of the review, `revision` of the nodes (0 before the first), `lease`,
        `split`, `skip_reason` (whatever the state is), `warnings`, `found_at` (of the model's candidates);
        `undecided` (candidates of a case in part) and `to_complete`: it is one that networks are judged by,
        so that its review has to be completed. What is not known is None.
    """
    store.list_images()
    objects = store.index().objects
    leases, skipped, splits = store.leases(), store.skipped(), _splits(store.root)
    found = []
    for case in sorted(objects):
        entry = objects[case]
        about = _found(entry) | _approved(store.root, case, entry)
        skip = skipped.get(case)
        about |= {"lease": leases.get(case), "split": splits.get(case)}
        about |= {"skip_reason": skip and skip.get("reason")} | _state(about, skip)
        about["warnings"] = [*_misfits(entry), *about["warnings"]]
        about["to_complete"] = about["undecided"] is not None and about["split"] in JUDGED_BY
        names = store.names_in(entry.image.info)
        about |= {"case": case, "name": names.get("PatientID") or case, "why": None}
        about |= {"study_uid": names.get("StudyInstanceUID") or study_uid(case)}
        about |= {"series_uid": names.get("SeriesInstanceUID"), "series": _series(names)}
        found.append(about)
    shared = Counter(entry["study_uid"] for entry in found)
    for entry in found:
        if shared[entry["study_uid"]] == 1:
            entry["series"] = None
    return found


def to_complete(store: Any) -> list[str]:
    """Cases of validation and test that were submitted in part, by name: they judge nothing yet."""
    splits = _splits(store.root)
    return [
        case
        for case in sorted(store.index().objects)
        if splits.get(case) in JUDGED_BY and in_part(store, case)
    ]


def in_part(store: Any, case: str) -> bool:
    """Whether the case has a label that leaves candidates undecided; not so if there is no such case."""
    entry = store.index().objects.get(case)
    return entry is not None and _approved(store.root, case, entry)["undecided"] is not None


def _series(names: Mapping[str, str]) -> str | None:
    """A CT among others of its study: its number and description; its UID if it has neither."""
    number, described = names.get("SeriesNumber"), names.get("SeriesDescription")
    told = [f"series {number}" if number else "", described or ""]
    return ", ".join(filter(None, told)) or names.get("SeriesInstanceUID")


def _misfits(entry: Any) -> list[str]:
    return [reason for label in entry.labels.values() if (reason := _text(label.info, MISFIT))]


def _found(entry: Any) -> dict[str, Any]:
    label = entry.labels.get("original")
    if label is None:
        return {"candidates": None, "kept": None, "doubt": None, "warnings": [], "found": None}
    # The index of a former version holds the whole result, or what a client has called so.
    short = label.info.get("found")
    if not _is_short(short):
        short = in_short(label.info.get("params"))
    about = {key: short[key] for key in sorted(IN_SHORT)}
    return about | {"found": {"by": _text(label.info, "model"), "at": _time(label.info.get("ts"))}}


def _is_short(short: Any) -> bool:
    """Whether a note says what `in_short` does, each value of its kind."""
    if not isinstance(short, dict) or not short.keys() >= IN_SHORT:
        return False
    numbers = all(isinstance(short[key], int | float) for key in IN_SHORT - {"warnings"})
    sentences = short["warnings"]
    return numbers and isinstance(sentences, list) and all(isinstance(one, str) for one in sentences)


def _text(info: Mapping[str, Any], *keys: str) -> str | None:
    """The first of some notes that is a text; None if none is: an index may come from anywhere."""
    return next((info[key] for key in keys if isinstance(info.get(key), str) and info[key]), None)


def _approved(root: Path, case: str, entry: Any) -> dict[str, Any]:
    label = entry.labels.get("final")
    if label is None:
        return {"revision": 0, "seconds": None, "final": None, "undecided": None}
    noted = label.info.get("revision")
    revision = noted if isinstance(noted, int) else 0
    review = review_in_short(root, case, revision) if revision else None
    author = _text(label.info, "by", "client_id")
    complete = not review or review["complete"]
    final = {"by": author, "at": _time(label.info.get("ts")), "complete": complete}
    undecided = None if complete else review["undecided"]  # type: ignore[index]
    return {
        "revision": revision,
        "seconds": review and review["seconds"],
        "final": final,
        "undecided": undecided,
    }


def _state(about: dict[str, Any], skip: Mapping[str, Any] | None) -> dict[str, Any]:
    """State of a case and what made it so; takes `found` and `final` out of what is told."""
    found, final, lease = about.pop("found"), about.pop("final"), about["lease"]
    about["found_at"] = found and found["at"]
    # Who has just submitted holds the case for a while, but is done with it.
    done = lease and final and final["by"] == lease["by"] and (final["at"] or "") >= lease["since"]
    if lease and not done:
        return {"state": "in review", "by": lease["by"], "at": lease["since"]}
    if final:
        state = "approved" if final["complete"] else "partly"
        return {"state": state, "by": final["by"], "at": final["at"]}
    if skip:
        return {"state": "skipped", "by": skip.get("by"), "at": skip.get("at")}
    if found:
        return {"state": "found", **found}
    return {"state": "new", "by": None, "at": None}


def _splits(root: Path) -> Mapping[str, str]:
    try:
        return stored_splits(root)
    except ValueError:
        # A training says what is wrong with the table; a list of cases needs none.
        return {}


def _time(seconds: Any) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
    except (TypeError, ValueError, OverflowError, OSError):
        return None
