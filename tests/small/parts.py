"""Cases that were submitted in part."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from osln.imaging.lung_column import LungColumn
from osln.store.reviews import checked_review
from osln.store.revisions import Revision, label_revisions

Box = Sequence[Sequence[float]]


def box_of(column: LungColumn, value: int) -> Box:
    """Lowest and highest corner of a node of a column, RAS mm."""
    places = np.argwhere(column.nodes == value)
    corners = column.grid.index_to_mm(np.array([places.min(axis=0) - 0.5, places.max(axis=0) + 0.5]))
    return [corners.min(axis=0).tolist(), corners.max(axis=0).tolist()]


def partial_review(
    *, rejected: Sequence[Box] = (), undecided: Sequence[Box] = (), count_as: str = "unknown", **other: Any
) -> dict[str, Any]:
    """A review in part; what is a node of the label is not named in it.

    Args:
        rejected, undecided: Boxes of candidates of these states.
        count_as: What undecided candidates count as.
        other: Further keys of the review.
    """
    candidates = [
        {
            "id": f"{state[0]}{number}",
            "state": state,
            "center_mm": np.mean(box, axis=0).tolist(),
            "radius_mm": 4.0,
            "box_mm": [list(corner) for corner in box],
            "origin": "model",
        }
        for state, boxes in (("rejected", rejected), ("undecided", undecided))
        for number, box in enumerate(boxes)
    ]
    told = {"complete": False, "seconds": 9.0, "undecided": count_as, "candidates": candidates}
    return checked_review(told | other)


def submit_in_part(root: Path, case: str, *, label: bytes | None = None, **given: Any) -> Revision:
    """Submits the approved label of a case once more, or another one, in part; see `partial_review`."""
    kept = label_revisions(root, case, "final")
    with kept.lock():
        review, label = partial_review(**given), label or kept.final.read_bytes()
        return kept.submit(label, by="anna", source="submission", review=review)
