"""Hits of predictions that are centers, with or without a radius, instead of label maps.

A mark with a radius stands for a sphere, so that every row of `criteria.CRITERIA` has its meaning here too:
the common voxel becomes a common volume, and all radius definitions are the sphere's.
"""

from dataclasses import dataclass, replace

import numpy as np

from osln.metrics.criteria import Criterion
from osln.metrics.matching import Matching, Overlaps, ratio_fits

AT_ONCE = 2_000_000
"""Distances that are computed together."""


@dataclass(frozen=True)
class Marks:
    """Marks of one patient.

    Attributes:
        center_mm: (n, 3) in one patient space for everything that is compared.
        radius_mm: (n,), or None where only centers are known.
        scores: (n,), or None for nodes.
    """

    center_mm: np.ndarray
    radius_mm: np.ndarray | None = None
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "center_mm", np.asarray(self.center_mm, dtype=np.float64).reshape(-1, 3))

    def __len__(self) -> int:
        return len(self.center_mm)


NO_MARKS = Marks(np.zeros((0, 3)), np.zeros(0), np.zeros(0))


def match_marks(
    predictions: Marks, nodes: Marks, criterion: Criterion, ignored: Marks = NO_MARKS
) -> Matching:
    """As `matching.match`, for marks; labels are 1, 2, ... in the given order.

    Args:
        predictions: With scores; the radius may be missing where the criterion does not ask for it.
        nodes: With radius.
        criterion: Row of `CRITERIA`.
        ignored: With radius. A prediction that overlaps one, whatever its radius, and finds no node is
            neither true nor false.

    Raises:
        ValueError: A radius that the criterion needs is missing.
    """
    overlaps = _overlaps(predictions, nodes, criterion)
    matching = overlaps.matching(predictions.scores, criterion)
    if len(ignored) == 0:
        return matching
    return matching.ignoring(_overlaps(predictions, ignored, replace(criterion, radius=None)).hitting)


def _overlaps(predictions: Marks, nodes: Marks, criterion: Criterion) -> Overlaps:
    needed = criterion.overlap != "center" or criterion.radius is not None
    if len(predictions) and predictions.radius_mm is None and needed:
        raise ValueError(
            f"the criterion {criterion.name!r} needs the radius of the predictions: give a column radius_mm "
            "or diameter_mm, or use a criterion that asks for the center alone (luna16)"
        )
    if nodes.radius_mm is None:
        raise ValueError("the nodes have no radius: give a column radius_mm or diameter_mm")
    of_nodes = np.asarray(nodes.radius_mm, dtype=np.float64)
    of_predictions = np.zeros(len(predictions))
    if predictions.radius_mm is not None:
        of_predictions = np.asarray(predictions.radius_mm, dtype=np.float64)
    reach = np.zeros(len(predictions)) if criterion.overlap == "center" else of_predictions
    predicted, touched, apart = _meeting(predictions.center_mm, reach, nodes.center_mm, of_nodes)
    ours, theirs = of_predictions[predicted], of_nodes[touched]
    fits = np.ones(len(predicted), dtype=bool)
    if criterion.overlap == "iou":
        fits = _sphere_iou(apart, ours, theirs) >= criterion.least_iou - 1e-9
    if criterion.radius is not None:
        fits = fits & ratio_fits(ours, theirs)
    labels = (np.arange(1, len(predictions) + 1), np.arange(1, len(nodes) + 1))
    return Overlaps(*labels, predicted, touched, fits)


def _meeting(
    center_mm: np.ndarray, radius_mm: np.ndarray, others_mm: np.ndarray, others_radius_mm: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the spheres of both sides that meet, in order, and the distances of their centers.

    Looked for by blocks: all distances at once of what a small file may name would fill the memory.
    """
    step = max(1, AT_ONCE // max(len(others_mm), 1))
    found: list[tuple[np.ndarray, ...]] = [(np.zeros(0, int), np.zeros(0, int), np.zeros(0))]
    for start in range(0, len(center_mm), step):
        block = slice(start, start + step)
        apart = np.linalg.norm(center_mm[block, None] - others_mm[None], axis=2)
        one, other = np.nonzero(apart < radius_mm[block, None] + others_radius_mm)
        found.append((one + start, other, apart[one, other]))
    predicted, touched, distance = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return predicted, touched, distance


def _sphere_iou(apart: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of spheres at a distance of their centers; radii broadcast."""
    total, gap = one + other, np.abs(one - other)
    # The lens of two spheres, between touching and one within the other.
    between = np.clip(apart, gap, total)
    with np.errstate(invalid="ignore", divide="ignore"):
        lens = (
            np.pi * (total - between) ** 2 * (between**2 + 2 * between * total - 3 * gap**2) / (12 * between)
        )
    smaller = 4 / 3 * np.pi * np.minimum(one, other) ** 3
    common = np.where(apart <= gap, smaller, lens)
    return common / (4 / 3 * np.pi * (one**3 + other**3) - common)
