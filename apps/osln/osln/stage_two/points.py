"""Above which score stage two keeps a candidate: operating points by name."""

from collections.abc import Mapping
from typing import Any

from osln.rows.experiments import OFFERED_FALSE_POSITIVES, UNMEASURED

DEFAULT_POINT = "3"
POINTS = (DEFAULT_POINT, *(name for name in OFFERED_FALSE_POSITIVES if name != DEFAULT_POINT))
"""False positives per patient that can be asked for, the default first."""
POINT_UNIT = " FP per patient"
FEWEST_PATIENTS = 10
"""Validation patients below which a new threshold would say more about them than about the network."""


def measured_points(thresholds: Mapping[str, Any]) -> dict[str, float]:
    """Score thresholds by false positives per patient in the order of `POINTS`.

    Args:
        thresholds: Of a network of stage two as the store keeps them; whatever is no score is left out.
    """
    found = {point: thresholds.get(point) for point in POINTS}
    return {
        point: float(score)
        for point, score in found.items()
        if isinstance(score, (int, float)) and 0.0 <= score <= 1.0
    }


def named_points(points: Mapping[str, float]) -> dict[str, float]:
    """Scores by the names that a person chooses from, the default first.

    Args:
        points: From `measured_points`.
    """
    named = {f"{point}{POINT_UNIT}": score for point, score in points.items()}
    return named or {f"score {UNMEASURED}": UNMEASURED}
