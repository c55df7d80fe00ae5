"""Times whole-patient inference against the same work composed from public parts, alternating in one run.

Each side lives in a process of its own, warm, with the same number of threads; the parent asks them in
turn (peer, product, next peer, product, ...), so that whatever else the computer does falls on all of
them. A run begins with the files on disk and ends with the label map on the CT's own grid.

    python scripts/benchmark.py                     table
    python scripts/benchmark.py --json result.json  and the numbers for machines
"""

import argparse
import gc
import json
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "apps" / "osln"), str(ROOT / "scripts")]

import numpy as np  # noqa: E402

from benchmark_patient import CASE, networks, write_patient  # noqa: E402
from benchmark_report import compare, describe, report  # noqa: E402
from osln.experiments import EXPERIMENTS, PRESETS  # noqa: E402

OSLN = "osln"
PEERS = ("monai", "public-parts")
EXPERIMENT = EXPERIMENTS["osln"]


def main() -> None:
    """Parses the command line, runs all sides, prints and stores the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pairs", type=int, default=5, help="runs of each peer, each beside one of the product"
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="demo", help="networks and working grid")
    parser.add_argument("--seed", type=int, default=0, help="of the phantom patient")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for every side")
    parser.add_argument(
        "--model", type=Path, default=ROOT / "apps" / "osln" / "model", help="folder of weights"
    )
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="which to run")
    parser.add_argument("--server", action="store_true", help="also time requests to the real server")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the numbers")
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error("--pairs must be at least 1")

    with tempfile.TemporaryDirectory(prefix="osln-benchmark-") as folder:
        result = run(Path(folder), options)
    if options.server:
        from benchmark_server import measure_server

        result["server"] = measure_server(options.model, options.pairs, options.seed)
    sys.stdout.write(report(result) + "\n")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All sides on one patient: ratios, stages, memory and whether the candidates agree."""
    say("making the patient")
    write_patient(folder, options.seed)
    paths, threshold, trained_on = networks(options.model, options.preset, folder)
    sides = [Side(name, folder, paths, options.threads) for name in (OSLN, *options.peers)]
    ours, peers = sides[0], sides[1:]
    try:
        say("warming up")
        place = ours.ask("start", None)
        for peer in peers:
            peer.ask("start", place["column"])
        if threshold is None:
            threshold = float(np.quantile(np.load(ours.ask("run", 0.99)["outcome"])["prob"], 0.999))
        for side in sides:
            side.ask("run", threshold)
        runs: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
        pairs: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for index in range(options.pairs):
            for peer in peers:
                say(f"pair {index + 1} of {options.pairs}: {peer.name} and {OSLN}")
                for side in (peer, ours):
                    runs[side.name].append(side.ask("run", threshold))
                pairs[peer.name].append(runs[peer.name][-1]["seconds"] / runs[OSLN][-1]["seconds"])
        outcomes = {name: dict(np.load(entries[-1]["outcome"])) for name, entries in runs.items()}
    finally:
        for side in sides:
            side.close()
    return {
        "computer": describe(options.threads),
        "preset": options.preset,
        "trained_on": trained_on,
        "threshold": threshold,
        "candidates": len(outcomes[OSLN]["scores"]),
        "first_run_after_start_seconds": {side.name: side.first_seconds for side in sides},
        **{
            key: summary(runs[name], runs[OSLN], pairs[name]) | compare(outcomes[OSLN], outcomes[name])
            for key, name in (("whole_patient", "monai"), ("public_parts", "public-parts"))
            if name in pairs
        },
        "stages": {
            name: {step: median(entry["stages"][step] for entry in entries) for step in entries[0]["stages"]}
            for name, entries in runs.items()
        },
    }


def summary(peer: list[dict[str, Any]], ours: list[dict[str, Any]], ratios: list[float]) -> dict[str, Any]:
    """Medians of both sides; time is peer / product, memory is product / peer."""
    return {
        "time_ratio": round(median(ratios), 3),
        "time_ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "seconds": round(median(entry["seconds"] for entry in ours), 3),
        "peer_seconds": round(median(entry["seconds"] for entry in peer), 3),
        "memory_ratio": round(median(e["peak_mb"] for e in ours) / median(e["peak_mb"] for e in peer), 3),
        "peak_mb": round(median(entry["peak_mb"] for entry in ours)),
        "peer_peak_mb": round(median(entry["peak_mb"] for entry in peer)),
        "rise_mb": round(median(entry["rise_mb"] for entry in ours)),
        "peer_rise_mb": round(median(entry["rise_mb"] for entry in peer)),
    }


class Side:
    """One way to do the work, in a process of its own that stays warm between runs."""

    def __init__(self, name: str, folder: Path, checkpoints: dict[str, Path], threads: int) -> None:
        self.name = name
        self.first_seconds = 0.0
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, folder, checkpoints, threads))
        self._process.start()
        theirs.close()

    def ask(self, what: str, argument: Any) -> dict[str, Any]:
        """Sends one order and waits for its answer."""
        begun = time.perf_counter()
        self._pipe.send((what, argument))
        answer = self._pipe.recv()
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        if what == "run" and not self.first_seconds:
            self.first_seconds = round(time.perf_counter() - begun, 2)
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


def _serve(pipe: Connection, name: str, folder: Path, checkpoints: dict[str, Path], threads: int) -> None:
    """Loop of a side's process: build on "start", one patient on "run", until the pipe closes."""
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(threads)
    warnings.simplefilter("ignore")
    import SimpleITK as sitk
    import torch

    from osln.study import companions
    from osln.weights import load_checkpoint

    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    paths = companions(folder, CASE)
    loaded = {key: load_checkpoint(path) for key, path in checkpoints.items()}
    patient: Any = None
    while True:
        try:
            what, argument = pipe.recv()
        except EOFError:
            return
        try:
            if what == "start":
                patient, answer = _build(name, loaded, argument, paths)
            else:
                answer = _run(patient, paths, argument, folder / f"{name}.npz")
            pipe.send(answer)
        except Exception as error:  # whatever happens must reach the parent
            pipe.send({"error": f"{type(error).__name__}: {error}"})


def _build(name: str, checkpoints: dict[str, Any], column: Any, paths: Any) -> tuple[Any, dict[str, Any]]:
    import benchmark_peers
    from osln.column import prepare
    from osln.inference import Predictor
    from osln.study import load_study

    if name != OSLN:
        return benchmark_peers.PEERS[name](checkpoints, column), {}
    predictors = {key: Predictor(checkpoint) for key, checkpoint in checkpoints.items()}
    preset = PRESETS[next(iter(checkpoints.values())).preset]
    return Product(predictors), {"column": prepare(load_study(paths), preset).grid}


class Product:
    """The product's own way: `load_study`, `detect`, label map on the CT's grid."""

    def __init__(self, predictors: dict[str, Any]) -> None:
        self.predictors = predictors

    def __call__(self, paths: Any, threshold: float, stop: Steps) -> Any:
        """One patient; `stop(step)` ends the step that ran."""
        from benchmark_peers import Outcome
        from osln.detection import detect
        from osln.grid import in_file_order
        from osln.study import load_study

        study = load_study(paths)
        stop("read")
        found = detect(study, EXPERIMENT, self.predictors, threshold)
        stop("detect")
        on_ct = in_file_order(found.labels_on_ct(study), study.ct.grid, study.ct.file_grid)
        stop("back on the CT")
        del stop.seconds["detect"]
        stop.seconds |= {
            "prepare": found.seconds["prepare"],
            "networks": round(sum(found.seconds[name] for name in EXPERIMENT.segmenters), 4),
            "candidates": found.seconds["candidates"],
        }
        return Outcome(found.labels, [c.score for c in found.candidates], found.prob, on_ct)


def _run(patient: Any, paths: Any, threshold: float, target: Path) -> dict[str, Any]:
    gc.collect()
    before = _reset_peak()
    begun = time.perf_counter()
    steps = Steps()
    outcome = patient(paths, threshold, steps)
    seconds = time.perf_counter() - begun
    peak = _memory_mb("VmHWM")
    np.savez(target, labels=outcome.labels, scores=np.array(outcome.scores), prob=outcome.prob)
    return {
        "seconds": seconds, "stages": steps.seconds, "peak_mb": peak, "rise_mb": peak - before,
        "outcome": str(target),
    }  # fmt: skip


def _reset_peak() -> float:
    """Sets the process's peak memory back to what it holds now; returns that in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory_mb("VmRSS")


def _memory_mb(field: str) -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field + ":"))
    return int(line.split()[1]) / 1024


def say(text: str) -> None:
    """A line of progress on the error stream."""
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    main()
