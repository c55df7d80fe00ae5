"""The part of `gpu.py` that trains the `standard` preset on randomized phantoms within what time is left.

The patients are of the kinds that the shipped weights have learned from: default and realistic ones by turns,
whose noise, contrast, texture, scanner and look-alikes are drawn for each (docs/phantom-realism.md).
"""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.gpu_part import MODEL, Part
from osln.cohorts.phantoms import KINDS, PhantomCohort, split_seeds
from osln.imaging.lung_column import LungColumn
from osln.metrics.definitions import Counts, operating_thresholds, stage_one
from osln.metrics.sweep import Sweep, sweep
from osln.rows.experiments import DEFAULT_PRESET, PRESETS, ROWS, SEGMENTERS
from osln.stage_one.fusion import late_fusion
from osln.stage_one.inference import Predictor
from osln.stage_one.training import train
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore
from osln.weights.shipped import write_shipped

ROW_NAMES = ("ct-stratified", "ef-stratified", "lf-stratified")
NAMES = ROWS["lf-stratified"].segmenters
PHANTOMS = {"train": 80, "test": 24}
MAKING, JUDGING = 0.25, 0.2
"""Shares of the part's time for phantoms at most, and for judging."""
PROBE_STEPS = 30
SAFETY = 0.9
"""Of the time that there is, by the speed so far."""


def training(part: Part) -> None:
    """Trains the four networks of late fusion with as many steps as there is time for, and judges them.

    Weights are kept in `model/shipped`, as the product reads them (`--models FOLDER/model`). Beside them
    the shipped networks are judged on the same patients.

    Raises:
        ValueError: No phantom was made in time.
    """
    whole = part.left
    sizes = {"train": 3, "test": 1} if part.toy else PHANTOMS
    with tempfile.TemporaryDirectory(prefix="osln-gpu-") as folder:
        standard, usual = cohorts(Path(folder))
        seeds = {split: split_seeds(split, size) for split, size in sizes.items()}
        # Parted alike where the time ends before all are made.
        order = [
            (number / len(seeds[split]), cohort, seed)
            for cohort, split in ((standard, "train"), (standard, "test"), (usual, "test"))
            for number, seed in enumerate(seeds[split])
        ]
        wanted = [(cohort, seed) for _, cohort, seed in sorted(order, key=lambda one: one[0])]
        part.tell(phantom_seconds=_make(wanted, MAKING * whole))
        columns = {
            name: [cohort.patient(seed).column for seed in seeds[split] if _is_there(cohort, seed)]
            for name, cohort, split in (
                ("learned", standard, "train"),
                ("judged", standard, "test"),
                ("shipped", usual, "test"),
            )
        }
    if not (columns["learned"] and columns["judged"]):
        raise ValueError("no phantom was made in the time: give more --minutes")
    part.tell(learned=len(columns["learned"]))
    trained = _train_all(part, columns["learned"], JUDGING * whole)
    figures, thresholds = judge(trained, columns["judged"], part.device, 0.6 * part.left)
    _keep(part, trained, thresholds)
    part.tell(rows=figures)
    if columns["shipped"]:
        store = ModelStore(MODEL)
        shipped = {name: store.load(name) for name in NAMES}
        part.tell(shipped=judge(shipped, columns["shipped"], part.device, 0.8 * part.left)[0])


def cohorts(folder: Path) -> tuple[PhantomCohort, PhantomCohort]:
    """The same patients for the networks that learn here and for the shipped ones, each on their grid."""
    learning, shipped = (
        PhantomCohort(folder, preset, KINDS["mixed"])
        for preset in (PRESETS["standard"], PRESETS[DEFAULT_PRESET])
    )
    return learning, shipped


def _is_there(cohort: PhantomCohort, seed: int) -> bool:
    return cohort.path(f"phantom-{seed}").is_file()


def _make(wanted: Sequence[tuple[PhantomCohort, int]], seconds: float) -> float:
    """Makes phantoms on all cores until the time is over, in order; returns the seconds that it took."""
    began = time.monotonic()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Read when a worker starts: each is one of many.
    os.environ["NUMBA_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(min(cores, len(wanted)), get_context("spawn")) as pool:
        made = [pool.submit(_make_one, cohort, seed) for cohort, seed in wanted]
        done, _ = wait(made, timeout=seconds)
        pool.shutdown(wait=True, cancel_futures=True)
    for one in done:
        one.result()
    return round(time.monotonic() - began, 1)


def _make_one(cohort: PhantomCohort, seed: int) -> None:
    cohort.patient(seed)


def _train_all(part: Part, columns: Sequence[LungColumn], reserve: float) -> dict[str, Checkpoint]:
    """The networks one after the other, each with its share of the time; kept as soon as they are there."""
    preset = PRESETS["standard"]
    probe = 2 if part.toy else PROBE_STEPS
    settings: dict[str, Any] = {"device": part.device, "threads": None, "trained_on": "phantom"}
    before = part.left
    tried = train(SEGMENTERS[NAMES[0]], preset, columns, iterations=probe, **settings)
    pace = tried.metadata["seconds"] / probe
    beginning = before - part.left - tried.metadata["seconds"]
    trained: dict[str, Checkpoint] = {}
    told: list[dict[str, Any]] = []
    for number, name in enumerate(NAMES):
        seconds = SAFETY * ((part.left - reserve) / (len(NAMES) - number) - beginning)
        steps = 2 if part.toy else min(preset.iterations, int(seconds / max(pace, 1e-6)))
        try:
            checkpoint = train(SEGMENTERS[name], preset, columns, iterations=steps, **settings)
        except ValueError as error:
            # No time for a step, no node in its zone, or a loss that is not a number: the others go on.
            told.append({"network": name, "left_out": str(error)})
            part.tell(trained=told)
            continue
        pace = checkpoint.metadata["seconds"] / steps
        trained[name] = checkpoint
        _keep(part, trained, {})
        _, loss, dice = checkpoint.metadata["losses"][-1]
        told.append(
            {
                "network": name,
                "steps": steps,
                "of": preset.iterations,
                "seconds": checkpoint.metadata["seconds"],
                "loss": round(loss, 4),
                "dice_loss": round(dice, 4),
            }
        )
        part.tell(trained=told)
    return trained


def _keep(part: Part, trained: Mapping[str, Checkpoint], thresholds: Mapping[str, Any]) -> None:
    write_shipped(part.out / "model" / "shipped", trained, thresholds, None, "./benchmarks/run gpu")


def judge(
    checkpoints: Mapping[str, Checkpoint], columns: Sequence[LungColumn], device: str, seconds: float
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, float]]]:
    """Figures and thresholds of every row whose networks are there.

    Args:
        checkpoints: By segmenter.
        columns: Patients with nodes, on these networks' grid; nobody learned from them.
        device: Where to run.
        seconds: After which no further patient is looked at; the first always is.

    Returns:
        By row: recall at precision .15, mRecall, false positives per patient, nodes, patients; and the
        thresholds of the same patients.
    """
    ends = time.monotonic() + seconds
    predictors = {
        name: Predictor(one, device, runtime="torch", number_format="f32")
        for name, one in checkpoints.items()
    }
    rows = {name: ROWS[name] for name in ROW_NAMES if checkpoints.keys() >= set(ROWS[name].segmenters)}
    sweeps: dict[str, list[Sweep]] = {name: [] for name in rows}
    for column in columns:
        maps = {name: predictor.probability(column) for name, predictor in predictors.items()}
        for name, row in rows.items():
            prob = late_fusion({one: maps[one] for one in row.segmenters}, column.distance_mm)
            sweeps[name].append(sweep(prob, column.nodes).with_missed(column.nodes_outside()))
        if time.monotonic() > ends:
            break
    figures, thresholds = {}, {}
    for name, found in sweeps.items():
        counts = Counts.of(found)
        one = stage_one(counts)
        figures[name] = {
            "recall": one.recall,
            "mean_recall": one.mean_recall,
            "false_positives": one.false_positives,
            "reached": one.reached,
            "nodes": int(counts.n_nodes.sum()),
            "patients": len(found),
        }
        thresholds[name] = operating_thresholds(counts)
    return figures, thresholds
