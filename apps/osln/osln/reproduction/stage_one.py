"""What is made of stage one: networks, their maps, and what the fused maps find."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from osln.cohorts.cohort import Cohort
from osln.files.arrays import write_arrays
from osln.imaging.lung_column import LungColumn
from osln.jobs.worker import device, tell, tell_training
from osln.metrics.definitions import Counts
from osln.metrics.sweep import Sweep, sweep
from osln.reproduction.classes import class_table, judge
from osln.rows.experiments import Preset, Row, Segmenter
from osln.stage_one.fusion import fused_map
from osln.stage_one.inference import Predictor, mean_probability
from osln.stage_one.training import train
from osln.weights.checkpoint import Checkpoint, load_checkpoint

KEPT = 0.0009
"""Probabilities below it reach no threshold of the sweep and are not kept."""
CaseMaps = Sequence[tuple[str, Path]]
"""Maps of one case that are fused: name of the segmenter and file."""


def prepare_cases(cohort: Cohort, cases: Sequence[str]) -> None:
    """Prepare the columns of these cases unless they are there."""
    for number, case in enumerate(cases, start=1):
        if not cohort.path(case).is_file():
            cohort.column(case)
        tell(number / len(cases))


def train_network(
    segmenter: Segmenter, preset: Preset, cohort: Cohort, cases: Sequence[str], steps: int, **given: Any
) -> Checkpoint:
    """Train a network on these cases; `given` as by `keep_training`."""
    columns = [cohort.column(case) for case in cases]
    return train(segmenter, preset, columns, iterations=steps, on_progress=tell_training, **given)


def make_maps(cohort: Cohort, weights: Path, paths: Mapping[str, Path], turns: int) -> None:
    """Keep a network's maps, or their means over turned views, in the files of these cases."""
    missing = {case: path for case, path in paths.items() if not path.is_file()}
    # Single precision: figures should not depend on the processor more than they must.
    predictor = Predictor(load_checkpoint(weights), device(), number_format="f32")
    for number, (case, path) in enumerate(missing.items(), start=1):
        prob = mean_probability(predictor, cohort.column(case), turns).ravel()
        index = np.flatnonzero(prob >= KEPT).astype(np.uint32)
        write_arrays(path, {"index": index, "prob": prob[index]})
        tell(number / len(missing))


def fused_case(row: Row, maps: CaseMaps, column: LungColumn) -> np.ndarray:
    """A row's fusion of the kept maps of a case; the maximum over trainings of one segmenter."""
    strongest: dict[str, np.ndarray] = {}
    for name, path in maps:
        with np.load(path) as stored:
            prob = np.zeros(column.ct_hu.shape, dtype=np.float32)
            prob.ravel()[stored["index"]] = stored["prob"]
        strongest[name] = np.maximum(strongest[name], prob) if name in strongest else prob
    return fused_map(row, strongest, column.distance_mm)


def count_nodes(cohort: Cohort, row: Row, fused: Mapping[str, Mapping[str, CaseMaps]], path: Path) -> None:
    """Count what fused maps find in the evaluated patients, and what displaced ones find by chance.

    Args:
        cohort: The patients.
        row: How maps are fused.
        fused: Maps by case of "validation" and of "test".
        path: File of the counts.

    Raises:
        ValueError: A split has no node at all.
    """
    arrays: dict[str, Any] = {}
    for share, (split, by_case) in enumerate(fused.items(), start=1):
        columns = [cohort.column(case) for case in by_case]
        maps = [fused_case(row, maps, column) for maps, column in zip(by_case.values(), columns, strict=True)]
        counts = Counts.of([_sweep(prob, column) for prob, column in zip(maps, columns, strict=True)])
        if not counts.n_nodes.any():
            raise ValueError(
                f"none of the {len(columns)} {split} patients has a node in the searched column: there is "
                "nothing to measure; approve cases with nodes"
            )
        arrays |= {f"{split}_{key}": value for key, value in vars(counts).items()}
        tell(share / 3)
    moved = Counts.of([_sweep(displaced(prob), column) for prob, column in zip(maps, columns, strict=True)])
    arrays |= {f"chance_{key}": value for key, value in vars(moved).items()}
    figures = judge(counts, counts_in(arrays, "validation"))
    figures["table"] = class_table(columns, maps, figures["threshold"])
    arrays["figures"] = np.array(json.dumps(figures))
    write_arrays(path, arrays)


def displaced(prob: np.ndarray) -> np.ndarray:
    """The map moved by half its size along every axis, around the border: the same spots at wrong places."""
    return np.roll(prob, [size // 2 for size in prob.shape], axis=(0, 1, 2))


def _sweep(prob: np.ndarray, column: LungColumn) -> Sweep:
    nodes: np.ndarray = column.nodes  # type: ignore[assignment]
    return sweep(prob, nodes).with_missed(column.nodes_outside())


def counts_in(arrays: Mapping[str, Any], split: str) -> Counts:
    """Counts of "validation", "test" or, displaced on the test patients, "chance"."""
    names = ("true_predictions", "false_predictions", "hit_nodes", "n_nodes", "thresholds")
    return Counts(*(arrays[f"{split}_{name}"] for name in names))


def read_counts(path: Path, split: str) -> Counts:
    """The same from the file of `count_nodes`."""
    with np.load(path) as stored:
        return counts_in(stored, split)


def read_figures(path: Path) -> dict[str, Any]:
    """Figures on the test patients, see `classes.judge`, from the file of `count_nodes`."""
    with np.load(path) as stored:
        return dict(json.loads(str(stored["figures"])))
