"""The sides of the benchmark: each does whole patients in a process of its own that stays warm."""

import gc
import multiprocessing
import os
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.patient import CASE, ROW, Weights
from osln.rows.experiments import PRESETS, ROWS

OSLN = "osln"
PEERS = ("monai", "public-parts")
STAGE_TWO = ("tags", "classifier")
"""Steps that the peers do not have: they end with the candidates."""


class Side:
    """One way to do the work, in a process of its own that stays warm between runs."""

    def __init__(
        self, name: str, folder: Path, weights: Weights, threads: int, number_format: str | None
    ) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, name, folder, weights, threads, number_format)
        )
        self._process.start()
        theirs.close()

    def ask(self, what: str, argument: Any) -> dict[str, Any]:
        """Sends one order and waits for its answer."""
        self._pipe.send((what, argument))
        answer = self._pipe.recv()
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join(timeout=20)
        if self._process.is_alive():
            self._process.kill()


class Steps:
    """Seconds of named steps; called at the end of each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 4)
        self._last = now


def _serve(
    pipe: Connection,
    name: str,
    folder: Path,
    weights: Weights,
    threads: int,
    number_format: str | None,
) -> None:
    """Loop of a side's process: build on "start", one patient on "run", until the pipe closes."""
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(threads)
    warnings.simplefilter("ignore")
    import SimpleITK as sitk
    import torch

    from osln.jobs.memory import few_heaps
    from osln.store.layout import companions

    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    paths = companions(folder, CASE)
    if name == OSLN:
        few_heaps()  # as server and command line do
    patient: Any = None
    while True:
        try:
            what, argument = pipe.recv()
        except EOFError:
            return
        try:
            if what == "start":
                patient, answer = _build(name, weights, argument, paths, number_format)
            else:
                answer = _run(patient, paths, argument, folder / f"{name}.npz")
            pipe.send(answer)
        except Exception as error:  # whatever happens must reach the parent
            pipe.send({"error": f"{type(error).__name__}: {error}"})


def _build(
    name: str, weights: Weights, column: Any, paths: Any, number_format: str | None
) -> tuple[Any, dict[str, Any]]:
    from benchmarks import peers as benchmark_peers
    from osln.detection import SecondStage
    from osln.imaging.lung_column import prepare
    from osln.stage_one.inference import Predictor
    from osln.stage_two.scoring import CandidateScorer
    from osln.store.layout import load_study
    from osln.tagging.tagger import Tagger
    from osln.weights.checkpoint import load_checkpoint

    checkpoints = {key: load_checkpoint(path) for key, path in weights.segmenters.items()}
    if name != OSLN:
        return benchmark_peers.PEERS[name](checkpoints, column), {}
    predictors = {
        key: Predictor(checkpoint, number_format=number_format) for key, checkpoint in checkpoints.items()
    }
    scorer = CandidateScorer(load_checkpoint(weights.classifier), number_format=number_format)
    second = SecondStage(scorer, Tagger.load(weights.tagger, number_format=number_format), 0.0)
    preset = PRESETS[next(iter(checkpoints.values())).preset]
    return Product(predictors, second), {"column": prepare(load_study(paths), preset).grid}


class Product:
    """The product's own way: `load_study`, `detect`, label map on the CT's grid; both stages, or one."""

    def __init__(self, predictors: dict[str, Any], second: Any | None) -> None:
        self.predictors, self.second = predictors, second
        self.row = ROW if second is not None else ROWS[ROW.stage_one]

    def __call__(self, paths: Any, threshold: float, stop: Steps) -> Any:
        """One patient; `stop(step)` ends the step that ran."""
        from benchmarks.peers import Outcome
        from osln.detection import detect
        from osln.imaging.grid import in_file_order
        from osln.store.layout import load_study

        study = load_study(paths)
        stop("read")
        found = detect(study, self.row, self.predictors, threshold, self.second)
        stop("detect")
        on_ct = in_file_order(found.labels_on_ct(study), study.ct.grid, study.ct.file_grid)
        stop("back on the CT")
        del stop.seconds["detect"]
        stop.seconds |= {
            "prepare": found.seconds["prepare"],
            "networks": round(sum(found.seconds[name] for name in ROW.segmenters), 4),
            "candidates": found.seconds["candidates"],
            **{step: found.seconds[step] for step in STAGE_TWO if step in found.seconds},
        }
        return Outcome(found.labels, [c.stage_one_score for c in found.candidates], found.prob, on_ct)


def _run(patient: Any, paths: Any, threshold: float, target: Path) -> dict[str, Any]:
    gc.collect()
    before = _reset_peak()
    begun = time.perf_counter()
    steps = Steps()
    outcome = patient(paths, threshold, steps)
    seconds = time.perf_counter() - begun
    peak = _memory_mb("VmHWM")
    np.savez(target, labels=outcome.labels, scores=np.array(outcome.scores), prob=outcome.prob)
    second = sum(steps.seconds.get(step, 0.0) for step in STAGE_TWO)
    return {
        "seconds": seconds, "stage_one_seconds": seconds - second, "stages": steps.seconds, "peak_mb": peak,
        "rise_mb": peak - before, "outcome": str(target),
    }  # fmt: skip


def _reset_peak() -> float:
    """Sets the process's peak memory back to what it holds now; returns that in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory_mb("VmRSS")


def _memory_mb(field: str) -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field + ":"))
    return int(line.split()[1]) / 1024
