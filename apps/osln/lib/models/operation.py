"""With which networks and at which operating point a row answers a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib.models.options_of_stage_two import chosen_point, point_options
from lib.models.published import Published
from lib.options import Choice, Option, Switch
from osln.detection import SecondStage
from osln.retraining.operating_points import FEWEST_PATIENTS
from osln.rows.experiments import Row
from osln.stage_one.inference import Predictor
from osln.weights.model_store import Version

PRECISION = "precision "
CANDIDATES_AT = "0.15"
"""Precision at which stage one hands its candidates to stage two (paper, section 4.3)."""


@dataclass(frozen=True)
class Operation:
    """What a row runs with.

    Attributes:
        networks: Of stage one, by name.
        threshold: Operating point of stage one on the fused probability.
        second: Stage two; None for a row that ends with stage one.
        point: Name of the operating point.
        versions: Of all networks that run, by name.
        warnings: What the reader of the result has to know.
    """

    networks: Mapping[str, Predictor]
    threshold: float
    second: SecondStage | None
    point: str
    versions: Mapping[str, Version]
    warnings: list[str]


def row_options(row: Row, published: Published, devices: tuple[str, ...]) -> tuple[Option, ...]:
    """What a viewer shows for a row, with the operating points that were measured with the weights in use."""
    device = Choice("device", devices)
    answering = published.answering(row)
    if answering is None:
        return Choice(
            "operating_point", tuple(PRECISION + name for name in published.thresholds(row))
        ), device
    points = point_options(published.points(answering.classifier))
    return *points, Switch("show_rejected", False), device


def operation(row: Row, published: Published, options: Mapping[str, Any]) -> Operation:
    """Loads what the row needs on the device that the checked options name.

    Raises:
        ValueError: If weights are missing, or their file is not the one that was stored.
    """
    device = options["device"]
    networks, versions = published.networks(row, device)
    thresholds = published.thresholds(row)
    if row.classifier is None:
        point = options["operating_point"]
        return Operation(networks, thresholds[point.removeprefix(PRECISION)], None, point, versions, [])
    scorer, version, tagger, warnings = published.scorer(row, device)
    measured = published.points(version.network)
    point, score = chosen_point(options, measured)
    if not measured and not options["score"]:
        warnings = [
            *warnings,
            f"no operating point was measured for {version.network}, which takes {FEWEST_PATIENTS} "
            f"validation patients: candidates are kept from a score of {score} on",
        ]
    second = SecondStage(scorer, tagger, score)
    everything = versions | {version.network: version}
    return Operation(networks, thresholds[CANDIDATES_AT], second, point, everything, warnings)
