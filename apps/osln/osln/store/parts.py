"""Cases that were submitted in part: which they are, and where in them nothing was decided."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from osln.imaging.reviewed_part import ReviewedPart
from osln.store.reviews import in_part
from osln.store.revisions import Revision, label_revisions


def part_of(root: Path, case: str) -> ReviewedPart | None:
    """Where the candidates of a case lie that are no nodes of its approved label.

    Returns:
        None for a complete case: also one whose label has no review, or is no revision's because it was put
        there past the server.

    Raises:
        ValueError: If the review is damaged.
    """
    review = partial_review(root, case)
    if review is None:
        return None
    return ReviewedPart(*(_boxes(review, state) for state in ("rejected", "undecided")))


def partial_review(root: Path, case: str, revision: Revision | None = None) -> dict[str, Any] | None:
    """The review of a case that was submitted in part; None if it is complete.

    Args:
        root: Folder of the store.
        case: Its id.
        revision: The one asked about; the label that lies in the store if None.

    Raises:
        ValueError: If the review is damaged.
    """
    kept = label_revisions(root, case, "final")
    asked = revision or kept.lying()
    # Most cases are complete: their reviews, which may be long, are not read.
    if asked is None or asked.complete is not False:
        return None
    review = kept.review(asked.revision)
    return review if in_part(review) else None


def partial_cases(root: Path, cases: Iterable[str]) -> list[str]:
    """Those of the cases that were submitted in part, in their order; errors as in `part_of`."""
    return [case for case in cases if partial_review(root, case) is not None]


def _boxes(review: dict[str, Any], state: str) -> np.ndarray:
    """(n, 2, 3) lowest and highest corner of the candidates of a state, RAS mm."""
    found = []
    for one in review["candidates"]:
        if one["state"] == state and one["value"] is None:
            center, radius = np.array(one["center_mm"]), one["radius_mm"] or 0.0
            # Clients that send no box: the cube around the sphere of the candidate's volume.
            found.append(one.get("box_mm") or [center - radius, center + radius])
    return np.array(found, dtype=np.float64).reshape(-1, 2, 3)
