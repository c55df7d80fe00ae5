"""What stage two is told of a candidate besides its images and tags: what stage one knows of it, and where
it is.

A node near the tumor counts when it is small, one far away only when it is enlarged or avid (paper,
section 1), so that the same patch means different things at different places.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from osln.imaging.lung_column import LungColumn
from osln.rows.experiments import CONTEXT, PROXIMAL_MM, Classifier, StageTwo
from osln.stage_one.candidates import Candidate
from osln.stage_two.patches import Patches, cut_patches

SMALLEST_ODDS = 1e-4
UNIT_MM = 100.0
USUAL_RADIUS_MM = 4.0


def candidate_context(candidates: Sequence[Candidate], column: LungColumn) -> np.ndarray:
    """The context of a patient's candidates, in physical units.

    The tumor's place is the center of its voxels inside the column; of a tumor beyond it, that of the
    column's nearest voxels.

    Args:
        candidates: On the column's grid; may be empty.
        column: Gives the distance to the tumor.

    Returns:
        (n, 6) float32, columns as `CONTEXT`; NaN where a patient without tumor contour has no value.
    """
    found = np.full((len(candidates), len(CONTEXT)), np.nan, dtype=np.float32)
    if candidates:
        found[:, 0] = [candidate.stage_one_score for candidate in candidates]
        found[:, 2] = [candidate.radius_mm for candidate in candidates]
    if candidates and column.distance_mm is not None:
        nearest = np.flatnonzero(column.distance_mm <= max(float(column.distance_mm.min()), 0.0))
        index = np.stack(np.unravel_index(nearest, column.distance_mm.shape), axis=1)
        tumor_mm = column.grid.index_to_mm(index.mean(axis=0))
        found[:, 1] = [candidate.distance_mm for candidate in candidates]
        found[:, 3:] = np.array([candidate.center_mm for candidate in candidates]) - tumor_mm
    return found


def candidate_patches(column: LungColumn, candidates: Sequence[Candidate], stage_two: StageTwo) -> Patches:
    """Patches and context of a patient's candidates: all that stage two is given but the tags."""
    patches = cut_patches(column, [candidate.box for candidate in candidates], stage_two)
    return replace(patches, context=candidate_context(candidates, column))


def known_numbers(
    classifier: Classifier, tags: np.ndarray | None, context: np.ndarray | None
) -> np.ndarray | None:
    """What a network is given beside the patches: tags, then context, as far as it reads them.

    The context is brought to numbers of about 1: log odds of the score, distances in 100 mm, 1 for
    proximal, the radius as a logarithm.

    Args:
        classifier: Says what it reads.
        tags: (n, 171) probabilities.
        context: (n, 6) as `candidate_context` gives it.

    Returns:
        (n, K) float32; None for a network that reads neither.

    Raises:
        ValueError: Tags or context are missing, or the patient has no tumor contour.
    """
    parts = []
    if classifier.tags:
        if tags is None:
            raise ValueError(f"{classifier.name} reads tags: give 171 probabilities for each candidate")
        parts.append(tags)
    if classifier.context:
        if context is None or np.isnan(context).any():
            raise ValueError(
                f"{classifier.name} reads stage one's score and the place seen from the tumor: find the "
                "candidates with a tumor contour"
            )
        parts.append(_scaled(context))
    return np.concatenate(parts, axis=1, dtype=np.float32) if parts else None


def _scaled(context: np.ndarray) -> np.ndarray:
    score, distance, radius, *place = context.T
    inside = np.clip(score, SMALLEST_ODDS, 1 - SMALLEST_ODDS)
    return np.stack(
        [
            np.log(inside / (1 - inside)) / 2,
            distance / UNIT_MM,
            distance <= PROXIMAL_MM,
            np.log2(radius / USUAL_RADIUS_MM),
            *(axis / UNIT_MM for axis in place),
        ],
        axis=1,
    ).astype(np.float32)
