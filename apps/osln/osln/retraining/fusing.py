"""Learned fusion: fitted to the weights in use on validation patients, kept with them as thresholds are."""

from collections.abc import Mapping, Sequence

from osln.imaging.lung_column import LungColumn, reason_not_usable
from osln.rows.experiments import ROWS, SEGMENTERS, Row
from osln.stage_one.inference import Predictor
from osln.stage_one.learned_fusion import FusionLesson, LearnedFusion
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore

LEARNED = {name: row for name, row in ROWS.items() if row.fusion == "learned" and row.stage_one == name}
"""Rows that something is fitted for."""


def fit_fusion(
    row: Row,
    checkpoints: Mapping[str, Checkpoint],
    columns: Sequence[LungColumn],
    device: str = "cpu",
    number_format: str | None = None,
) -> LearnedFusion:
    """What a row with learned fusion fuses its networks by.

    Args:
        row: With learned fusion.
        checkpoints: Networks by segmenter name, those of the row among them.
        columns: Validation patients with nodes; one that lacks an image of the row is left out.
        device: Where to run.
        number_format: As of `Predictor`.

    Raises:
        ValueError: If the patients have too few node voxels in a zone.
    """
    predictors = {
        name: Predictor(checkpoints[name], device, number_format=number_format) for name in row.segmenters
    }
    lesson = FusionLesson(row.segmenters)
    for column in columns:
        if all(reason_not_usable(column, SEGMENTERS[name]) is None for name in row.segmenters):
            maps = {name: predictor.probability(column) for name, predictor in predictors.items()}
            lesson.look(maps, column.distance_mm, column.nodes)  # type: ignore[arg-type]
    return lesson.fit()


def fit_fusions(
    models: ModelStore, segmenter: str, columns: Sequence[LungColumn], device: str = "cpu"
) -> tuple[dict[str, LearnedFusion], list[str]]:
    """Fits the rows with learned fusion that ask a new network.

    Args:
        models: Store of the weights.
        segmenter: The network whose version has changed.
        columns: Validation patients with nodes, on the grid of that network's preset.
        device: Where to run.

    Returns:
        By row, without those whose networks see other voxels; and why the former ones are kept.
    """
    fitted, told = {}, []
    for name, row in LEARNED.items():
        if segmenter not in row.segmenters or not all(map(models.published, row.segmenters)):
            continue
        checkpoints = {one: models.load(one) for one in row.segmenters}
        first, *others = (one.preparation for one in checkpoints.values())
        if not all(map(first.prepares_as, others)):
            continue
        try:
            fitted[name] = fit_fusion(row, checkpoints, columns, device)
        except ValueError as error:
            told.append(f"the fusion of {name} is kept: {error}")
    return fitted, told
