"""Jobs of stage one: networks, their maps, and what the fused maps find."""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from osln.files.arrays import write_arrays
from osln.imaging.lung_column import Column
from osln.learning.fit import Progress
from osln.metrics.definitions import Counts
from osln.metrics.sweep import Sweep, sweep
from osln.reproduction.classes import class_table, judge
from osln.reproduction.jobs import device, tell
from osln.reproduction.kept_training import keep_training
from osln.reproduction.plan import EVALUATED, Network, Plan
from osln.rows.experiments import SEGMENTERS
from osln.rows.lines import Row
from osln.stage_one.fusion import late_fusion
from osln.stage_one.inference import Predictor, mean_probability
from osln.stage_one.training import train
from osln.weights.checkpoint import load_checkpoint

KEPT = 0.0009
"""Probabilities below it reach no threshold of the sweep and are not kept."""


def prepare_cases(plan: Plan, cases: Sequence[str]) -> None:
    """Prepare the columns of these cases unless they are there."""
    for number, case in enumerate(cases, start=1):
        if not plan.cohort.path(case).is_file():
            plan.cohort.column(case)
        tell(f"patients {cases[0]}", number / len(cases))


def train_network(plan: Plan, name: str, network: Network) -> None:
    """Train a network and keep it; goes on where an interrupted training was."""
    columns = [plan.cohort.column(case) for case in plan.learned_cases(network)]
    training = partial(
        train,
        SEGMENTERS[network.segmenter],
        plan.preset,
        columns,
        iterations=plan.steps(network),
        on_progress=partial(_told, name),
    )
    keep_training(plan, plan.weights_path(network), network.seed, training)


def _told(name: str, state: Progress) -> None:
    tell(name, state.share, f"loss {state.loss:.3f}")


def make_maps(plan: Plan, name: str, network: Network, cases: Sequence[str], turns: int) -> None:
    """Keep a network's maps of these cases, or their means over turned views."""
    missing = [case for case in cases if not plan.map_path(network, case, turns).is_file()]
    # Single precision: figures should not depend on the processor more than they must.
    predictor = Predictor(load_checkpoint(plan.weights_path(network)), device(), precision="f32")
    for number, case in enumerate(missing, start=1):
        prob = mean_probability(predictor, plan.cohort.column(case), turns).ravel()
        index = np.flatnonzero(prob >= KEPT).astype(np.uint32)
        write_arrays(plan.map_path(network, case, turns), {"index": index, "prob": prob[index]})
        tell(name, number / len(missing))


def fused_map(plan: Plan, networks: Iterable[Network], column: Column, turns: int) -> np.ndarray:
    """Late fusion of the kept maps of a case; the maximum over trainings of one segmenter."""
    strongest: dict[str, np.ndarray] = {}
    for network in networks:
        with np.load(plan.map_path(network, column.case, turns)) as stored:
            prob = np.zeros(column.ct_hu.shape, dtype=np.float32)
            prob.ravel()[stored["index"]] = stored["prob"]
        name = network.segmenter
        strongest[name] = np.maximum(strongest[name], prob) if name in strongest else prob
    return late_fusion(strongest, column.distance_mm)


def count_row(plan: Plan, name: str, row: Row, seed: int) -> None:
    """Count what a row's fused maps find in the evaluated patients, and what displaced ones find by chance.

    Raises:
        ValueError: A split has no node at all.
    """
    arrays: dict[str, Any] = {}
    networks = plan.networks(row, seed)
    for share, split in enumerate(EVALUATED):
        columns = [plan.cohort.column(case) for case in plan.cohort.cases(split)]
        maps = [fused_map(plan, networks, column, row.turns) for column in columns]
        counts = Counts.of([_sweep(prob, column) for prob, column in zip(maps, columns, strict=True)])
        if not counts.n_nodes.any():
            raise ValueError(
                f"none of the {len(columns)} {split} patients has a node in the searched column: there is "
                "nothing to measure; approve cases with nodes"
            )
        arrays |= {f"{split}_{key}": value for key, value in vars(counts).items()}
        tell(name, (share + 1) / 3)
    moved = Counts.of([_sweep(displaced(prob), column) for prob, column in zip(maps, columns, strict=True)])
    arrays |= {f"chance_{key}": value for key, value in vars(moved).items()}
    figures = judge(counts, read_counts(arrays, "validation"))
    figures["table"] = class_table(columns, maps, figures["threshold"])
    arrays["figures"] = np.array(json.dumps(figures))
    write_arrays(plan.counts_path(row, seed), arrays)


def displaced(prob: np.ndarray) -> np.ndarray:
    """The map moved by half its size along every axis, around the border: the same spots at wrong places."""
    return np.roll(prob, [size // 2 for size in prob.shape], axis=(0, 1, 2))


def _sweep(prob: np.ndarray, column: Column) -> Sweep:
    return sweep(prob, column.nodes)  # type: ignore[arg-type]


def read_counts(arrays: Any, split: str) -> Counts:
    """Counts of "validation", "test" or, displaced on the test patients, "chance"."""
    names = ("true_predictions", "false_predictions", "hit_nodes", "n_nodes", "thresholds")
    return Counts(*(arrays[f"{split}_{name}"] for name in names))


def row_counts(plan: Plan, row: Row, seed: int, split: str) -> Counts:
    """The kept counts of a row."""
    with np.load(plan.counts_path(row, seed)) as stored:
        return read_counts(stored, split)


def row_figures(plan: Plan, row: Row, seed: int) -> dict[str, Any]:
    """The kept figures of a row on the test patients, see `classes.judge`."""
    with np.load(plan.counts_path(row, seed)) as stored:
        return dict(json.loads(str(stored["figures"])))
