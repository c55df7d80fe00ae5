"""Operating points of every row of the table, from trained networks and validation patients."""

from collections.abc import Mapping, Sequence

import numpy as np

from osln.column import Column
from osln.experiments import EXPERIMENTS, SEGMENTERS, SINGLE_SEGMENTERS
from osln.fusion import late_fusion
from osln.inference import Predictor
from osln.metrics import Counts, operating_thresholds
from osln.sampling import reason_not_usable, zone_of
from osln.sweep import Sweep, sweep
from osln.validation import inside_zone
from osln.weights import Checkpoint, ModelStore

FEWEST_PATIENTS = 10
"""Validation patients below which a new threshold would say more about them than about the network."""


def operating_points(
    checkpoints: Mapping[str, Checkpoint], columns: Sequence[Column], device: str = "cpu"
) -> dict[str, dict[str, float]]:
    """Thresholds of the fused map at the offered precisions, for every row that the networks can make.

    A row that asks a single zone's network is judged inside its zone.

    Args:
        checkpoints: Networks by segmenter name.
        columns: Validation patients with nodes; one that lacks an image of a row is left out of it.
        device: Where to run.

    Returns:
        {row: {"0.15": threshold, ...}}; a row without a usable patient is left out.

    Reference:
        The paper, section 4.3: precision .15 is the operating point.
    """
    predictors = {name: Predictor(checkpoint, device) for name, checkpoint in checkpoints.items()}
    rows = {
        row.name: row
        for row in (*EXPERIMENTS.values(), *SINGLE_SEGMENTERS.values())
        if checkpoints.keys() >= set(row.segmenters)
    }
    sweeps: dict[str, list[Sweep]] = {name: [] for name in rows}
    for column in columns:
        maps = {
            name: predictor.probability(column)
            for name, predictor in predictors.items()
            if reason_not_usable(column, SEGMENTERS[name]) is None
        }
        nodes: np.ndarray = column.nodes  # type: ignore[assignment]
        for name, row in rows.items():
            if not maps.keys() >= set(row.segmenters):
                continue
            prob = late_fusion(
                {segmenter: maps[segmenter] for segmenter in row.segmenters}, column.distance_mm
            )
            if len(row.segmenters) == 1:
                zone = zone_of(column, SEGMENTERS[row.segmenters[0]].zone)
                sweeps[name].append(sweep(*inside_zone(prob, nodes, zone)))
            else:
                sweeps[name].append(sweep(prob, nodes))
    return {name: operating_thresholds(Counts.of(found)) for name, found in sweeps.items() if found}


def renew_operating_points(
    models: ModelStore, segmenter: str, columns: Sequence[Column], device: str = "cpu"
) -> str:
    """Sets the operating points of every row that asks a newly published network.

    Args:
        models: Store of the weights; the points are kept there.
        segmenter: The network whose version has changed.
        columns: Validation patients with nodes, on the grid of that network's preset.
        device: Where to run.

    Returns:
        A sentence that says what was done: with fewer than `FEWEST_PATIENTS` patients the former points stay.
    """
    if len(columns) < FEWEST_PATIENTS:
        return (
            f"operating points are kept: {len(columns)} validation patients are too few to set them, "
            f"{FEWEST_PATIENTS} are needed"
        )
    used = {name: models.load(name) for name in SEGMENTERS if models.published(name)}
    alike = {name: one for name, one in used.items() if one.preset == used[segmenter].preset}
    changed = []
    for name, points in operating_points(alike, columns, device).items():
        if segmenter in {**EXPERIMENTS, **SINGLE_SEGMENTERS}[name].segmenters:
            models.set_thresholds(name, points)
            changed.append(name)
    return f"operating points of {', '.join(changed)} were set on {len(columns)} validation patients"
