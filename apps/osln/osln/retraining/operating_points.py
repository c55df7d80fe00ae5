"""Operating points of stage one: a threshold of the fused map for each precision on validation patients."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from osln.imaging.lung_column import LungColumn, reason_not_usable, zone_of
from osln.metrics.definitions import Counts, operating_thresholds
from osln.metrics.sweep import Sweep, sweep
from osln.retraining.fusing import fit_fusions
from osln.retraining.judgment import patients_with_nodes
from osln.rows.experiments import ROWS, SEGMENTERS, Row
from osln.stage_one.fusion import fused_map
from osln.stage_one.inference import Predictor
from osln.stage_one.learned_fusion import LearnedFusion
from osln.stage_one.validation import inside_zone, nodes_asked_for
from osln.stage_two.points import FEWEST_PATIENTS
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore


def operating_points(
    checkpoints: Mapping[str, Checkpoint],
    columns: Sequence[LungColumn],
    device: str = "cpu",
    fusions: Mapping[str, LearnedFusion] | None = None,
    number_format: str | None = None,
    patients: Sequence[Hashable] | None = None,
) -> dict[str, tuple[dict[str, float], int]]:
    """Thresholds of the fused map at the offered precisions, for every row of stage one that can be made.

    A row that asks a single zone's network is judged inside its zone. A row that drops candidates has the
    points of the one that keeps them, and none of its own.

    Args:
        checkpoints: Networks by segmenter name.
        columns: Validation patients; one that lacks an image of a row is left out of it.
        device: Where to run.
        fusions: What was fitted for rows with learned fusion, which are left out otherwise.
        number_format: As of `Predictor`.
        patients: The patient of each column; None if each is of another one.

    Returns:
        {row: ({"0.15": threshold, ...}, patients with a node that they are of: of a row that is judged inside
        its zone with a node of that zone)}; a row without such a patient is left out.

    Reference:
        The paper, section 4.3: precision .15 is the operating point.
    """
    predictors = {
        name: Predictor(checkpoint, device, number_format=number_format)
        for name, checkpoint in checkpoints.items()
    }
    fusions = fusions or {}
    rows = {
        row.name: row
        for row in ROWS.values()
        if row.stage_one == row.name
        and checkpoints.keys() >= set(row.segmenters)
        and (row.fusion != "learned" or row.name in fusions)
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
            asked = {segmenter: maps[segmenter] for segmenter in row.segmenters}
            prob = fused_map(row, asked, column.distance_mm, fusions.get(name))
            found = sweep(*inside_zone(prob, nodes, zone_of(column, _zone(row))))
            sweeps[name].append(found.with_missed(column.nodes_outside(_zone(row))))
    with_nodes = {name: _usable_patients(row, columns, patients) for name, row in rows.items()}
    return {
        name: (operating_thresholds(Counts.of(found)), with_nodes[name])
        for name, found in sweeps.items()
        if with_nodes[name]
    }


def renew_operating_points(
    models: ModelStore,
    segmenter: str,
    columns: Sequence[LungColumn],
    device: str = "cpu",
    patients: Sequence[Hashable] | None = None,
) -> tuple[str, dict[str, int]]:
    """Sets the operating points of every row that asks a new network and has enough patients.

    A row with learned fusion is fitted anew with them.

    Args:
        models: Store of the weights; the points are kept there.
        segmenter: The network whose version has changed.
        columns: Validation patients, on the grid of that network's preset.
        device: Where to run.
        patients: The patient of each column; None if each is of another one.

    Returns:
        A sentence that says what was set, "" if nothing, and for each row whose points could not be set how
        many patients it has: fewer than `FEWEST_PATIENTS` with a node (of its zone, if it asks one zone's
        network) and all images.
    """
    rows = {name: row for name, row in ROWS.items() if row.stage_one == name and segmenter in row.segmenters}
    asking = {name: row for name, row in rows.items() if all(map(models.published, row.segmenters))}
    enough = {name: _usable_patients(row, columns, patients) for name, row in asking.items()}
    few = {name: number for name, number in enough.items() if number < FEWEST_PATIENTS}
    wanted = {name for row in asking.values() if row.name not in few for name in row.segmenters}
    used = {name: models.load(name) for name in wanted | {segmenter}}
    alike = {
        name: one for name, one in used.items() if one.preparation.prepares_as(used[segmenter].preparation)
    }
    measured: dict[str, int] = {}
    told: list[str] = []
    if wanted:
        fusions, told = fit_fusions(models, segmenter, columns, device)
        found = operating_points(alike, columns, device, fusions, patients=patients)
        for name, (points, number) in found.items():
            if name not in enough or name in few:
                continue
            if name in fusions:
                models.set_fusion(name, fusions[name].to_json())
            models.set_thresholds(name, points)
            measured[name] = number
    said = [f"operating points of {names} were set on {those}" for names, those in _by_patients(measured)]
    return "; ".join([*said, *told]), few


def _zone(row: Row) -> str:
    """Where a row of stage one is judged."""
    return SEGMENTERS[row.segmenters[0]].zone if len(row.segmenters) == 1 else "all"


def _usable_patients(row: Row, columns: Sequence[LungColumn], patients: Sequence[Hashable] | None) -> int:
    """How many patients have a node that a row of stage one is judged by, and all images that it needs."""
    usable = [
        all(reason_not_usable(column, SEGMENTERS[name]) is None for name in row.segmenters)
        and nodes_asked_for(column, _zone(row)) > 0
        for column in columns
    ]
    return patients_with_nodes(usable, patients)


def points_kept(few: Mapping[str, int]) -> str:
    """A sentence about rows whose points stay because so many patients are too few; "" for none."""
    return "; ".join(
        f"operating points of {names} are kept: {those} are too few to set them, {FEWEST_PATIENTS} are needed"
        for names, those in _by_patients(few)
    )


def _by_patients(numbers: Mapping[str, int]) -> list[tuple[str, str]]:
    """Names of the rows that so many patients with such nodes say something about, and these patients."""
    rows: dict[str, list[str]] = {}
    for name, number in numbers.items():
        zone = _zone(ROWS[name])
        nodes = "nodes" if zone == "all" else f"{zone} nodes"
        rows.setdefault(f"{number} validation patients with {nodes}", []).append(name)
    return [(", ".join(names), those) for those, names in rows.items()]
