"""What annotators decided about candidates, read beside the revisions, which never change."""

import logging
import re
import threading
from pathlib import Path
from typing import Any

from osln.store.reviews import COUNTED, in_part
from osln.store.revisions import label_revisions

logger = logging.getLogger(__name__)

_known: dict[tuple[Path, str], tuple[tuple[int, int | None], dict[str, Any] | None]] = {}
_turn = threading.Lock()
THRESHOLD = re.compile(r"score >= (\d*\.?\d+(?:[eE][-+]?\d+)?)(?!\w|[.,]\d)")
"""In the operating point of a review, which is any text: the slider stands where the annotator left it."""
DECIDED = ("accepted", "edited", "rejected")


def review_in_short(root: Path, case: str, revision: int) -> dict[str, Any] | None:
    """Counts and times of the review that a revision was stored with.

    Args:
        root: Folder of the store.
        case: Id of the case.
        revision: Number of the revision.

    Returns:
        `complete` (False: in part), `seconds` (of the case; None where none were measured), `candidates` (of
        the model), `accepted`, `edited`, `rejected` and `undecided` (of these), `offered` (of these, what was
        decided of those above the operating point) and `agreed` (accepted or edited of these), `added` (nodes
        that are not the model's), `node_seconds` (one for each decision that took any), `model`, `looked_at`
        (places outside candidates, RAS, mm); None if the revision has no review, or none that can be read.
    """
    # A case that was taken out and another one of its name have the same numbers of revisions.
    state = revision, label_revisions(root, case, "final").review_stamp(revision)
    known = _known.get((root, case))
    if known is None or known[0] != state:
        known = state, _read(root, case, revision)
        with _turn:
            _known[root, case] = known
    return known[1]


def decided_by(root: Path, case: str, revision: int) -> str | None:
    """Who submitted the decisions that a revision has, which may have come back from an older one."""
    by_number = {one.revision: one for one in label_revisions(root, case, "final").history()}
    one = by_number.get(revision)
    while one is not None and one.restored_from in by_number:
        one = by_number[one.restored_from]
    return one.by if one else None


def in_short(review: dict[str, Any]) -> dict[str, Any]:
    """See `review_in_short`."""
    candidates = [one for one in review.get("candidates") or [] if isinstance(one, dict)]
    of_model = [one.get("state") for one in candidates if one.get("origin") == "model"]
    offered = _offered(review, candidates)
    # Viewers send 0 for what was never looked at on its own.
    times = [one.get("seconds") for one in candidates if one.get("state") in (*DECIDED, "added")]
    return {
        "complete": not in_part(review),
        "seconds": review.get("seconds") or None,
        "candidates": len(of_model),
        **{state: of_model.count(state) for state in (*DECIDED, "undecided")},
        "offered": len(offered),
        "agreed": len(offered) - offered.count("rejected"),
        "added": sum(one.get("state") in COUNTED and one.get("origin") != "model" for one in candidates),
        "node_seconds": [time for time in times if isinstance(time, int | float) and time > 0],
        "model": review.get("model"),
        "looked_at": review.get("looked_at") or [],
    }


def _offered(review: dict[str, Any], candidates: list[dict[str, Any]]) -> list[str]:
    """What was decided of the model's candidates above the operating point; [] where that is not known."""
    found = THRESHOLD.search(str((review.get("model") or {}).get("operating_point") or ""))
    if found is None:
        return []
    least = float(found[1])
    return [
        one["state"]
        for one in candidates
        if one.get("origin") == "model" and one.get("state") in DECIDED and (one.get("score") or 0.0) >= least
    ]


def _read(root: Path, case: str, revision: int) -> dict[str, Any] | None:
    try:
        found = label_revisions(root, case, "final").review(revision)
        return None if found is None else in_short(found)
    # Whatever a file holds, it must not take the other cases' figures with it.
    except (OSError, ValueError, TypeError, AttributeError) as error:
        logger.warning("the decisions of revision %d of case %s cannot be read: %s", revision, case, error)
        return None
