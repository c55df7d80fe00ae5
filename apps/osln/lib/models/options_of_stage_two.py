"""Above which score of stage two a candidate is kept, and how a request says so."""

from collections.abc import Mapping
from typing import Any

from lib.options import Choice, Number, Option
from osln.rows.experiments import OFFERED_FALSE_POSITIVES

DEFAULT_POINT = "3"
POINTS = (DEFAULT_POINT, *(name for name in OFFERED_FALSE_POSITIVES if name != DEFAULT_POINT))
"""False positives per patient that can be asked for, the default first."""
POINT_UNIT = " FP per patient"
UNMEASURED = 0.5
"""Score that keeps a candidate where no operating point was measured."""


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


def point_options(points: Mapping[str, float]) -> tuple[Option, ...]:
    """What a request can say about the operating point of stage two.

    Args:
        points: From `measured_points`.
    """
    names = tuple(f"{point}{POINT_UNIT}" for point in points) or (f"score {UNMEASURED}",)
    # 0 leaves the choice to the operating point: viewers always send a value.
    return Choice("operating_point", names), Number("score", 0.0, 0.0, 1.0)


def chosen_point(options: Mapping[str, Any], points: Mapping[str, float]) -> tuple[str, float]:
    """Name and score of the operating point that the checked options ask for."""
    if options["score"]:
        return f"score {options['score']:g}", options["score"]
    name = options["operating_point"]
    return name, points[name.removesuffix(POINT_UNIT)] if points else UNMEASURED
