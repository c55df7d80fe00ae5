"""Measures Table 1b on phantoms: streams, fusion and stratification with their controls.

Trains every network of the table, fuses and evaluates on held-out phantoms, and writes
docs/stratification.md and a JSON file beside it. Everything lies under --work, so that a run that was
stopped goes on where it was. The networks of seed 0 become the shipped weights with --ship.
"""

import argparse
import json
import multiprocessing
import os
import queue
import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apps" / "osln"))

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from osln.ablation import ROWS, Run, all_runs, class_table, count, fuse, judge
from osln.ablation_report import Measured, write_report
from osln.cohort import Patient, PhantomCohort, count_patients, split_seeds
from osln.experiments import PRESETS, SEGMENTERS
from osln.inference import Predictor
from osln.metrics import Counts
from osln.operating import operating_points
from osln.training import Progress, train
from osln.weights import load_checkpoint, save_checkpoint, write_shipped

DOCS = Path(__file__).resolve().parents[1] / "docs"
SHIPPED = Path(__file__).resolve().parents[1] / "apps" / "osln" / "model" / "shipped"
"""Where the weights that come with the software lie."""
EVALUATED = ("validation", "test")
CHUNK = 8
"""Phantoms that are made by one job."""

progress: Any = None
"""Queue to the main process, set in each worker."""


@dataclass(frozen=True)
class Plan:
    """What is measured; the same in every process."""

    work: str
    sizes: dict[str, int]
    iterations: int
    seeds: int
    rows: tuple[str, ...]

    @property
    def runs(self) -> list[Run]:
        return all_runs(self.rows, self.seeds)

    @property
    def cohort(self) -> PhantomCohort:
        return PhantomCohort(Path(self.work), PRESETS["demo"])

    @property
    def folder(self) -> Path:
        """Results of these sizes and steps; phantoms are shared between plans."""
        sizes = "-".join(str(self.sizes[split]) for split in ("train", "validation", "test"))
        return (
            Path(self.work)
            / f"{self.cohort.folder.name.replace('phantoms', 'run')}-{sizes}-{self.iterations}"
        )

    def patients(self, split: str) -> list[Patient]:
        return list(self.cohort.patients(split_seeds(split, self.sizes[split])))


@dataclass(frozen=True)
class Job:
    """Work for a worker process: called with the plan and the arguments when the needed jobs are done."""

    work: Callable[..., None]
    arguments: tuple[Any, ...]
    needed: tuple[str, ...]


def start_worker(channel: Any) -> None:
    """Give a worker its queue and let it be polite: one thread, low priority."""
    global progress
    progress = channel
    os.nice(5)


def make_phantoms(plan: Plan, seeds: list[int]) -> None:
    """Make the phantoms of these seeds unless they are there."""
    for seed in seeds:
        plan.cohort.patient(seed)


def train_network(plan: Plan, run: Run) -> None:
    """Train one network, keep it, and keep its maps of the evaluated patients."""
    path = plan.folder / "networks" / f"{run.name}.pt"
    resume = path.with_suffix(".resume")
    if not path.is_file():
        columns = [patient.column for patient in plan.patients("train")]
        done = 0

        def report(state: Progress) -> None:
            nonlocal done
            progress.put((run.name, state.iteration - done, state.dice_loss))
            done = state.iteration

        checkpoint = train(
            SEGMENTERS[run.segmenter],
            PRESETS["demo"],
            columns,
            iterations=run.length * plan.iterations,
            seed=run.seed,
            trained_on="phantom",
            resume_path=resume,
            on_progress=report,
        )
        save_checkpoint(path, checkpoint)
        resume.unlink(missing_ok=True)
    else:
        progress.put((run.name, run.length * plan.iterations, None))
    for split in EVALUATED:
        target = plan.folder / "maps" / f"{run.name}-{split}.npz"
        if not target.is_file():
            _write_maps(target, Predictor(load_checkpoint(path)), plan.patients(split))


def evaluate_row(plan: Plan, row: str, seed: int) -> None:
    """Fuse the maps of a row's networks and count, on validation and test patients."""
    runs = ROWS[row].runs(seed, plan.seeds)
    target = plan.folder / "rows" / f"{row}-seed{seed}.npz"
    if target.is_file():
        return
    arrays: dict[str, np.ndarray] = {}
    for split in EVALUATED:
        patients = plan.patients(split)
        stored = [(run.segmenter, np.load(plan.folder / "maps" / f"{run.name}-{split}.npz")) for run in runs]
        fused = [
            fuse([(name, _read_map(maps, patient)) for name, maps in stored], patient.column.distance_mm)
            for patient in patients
        ]
        counts = count(patients, fused)
        arrays |= {f"{split}_{name}": value for name, value in vars(counts).items()}
    figures = judge(counts, _counts(arrays, "validation"))
    figures["table"] = class_table(patients, fused, figures["threshold"])
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}")
    np.savez(temporary, figures=np.array(json.dumps(figures)), **arrays)
    temporary.replace(target)


def row_counts(plan: Plan, row: str, seed: int) -> Counts:
    """Counts of a row on the test patients."""
    with np.load(plan.folder / "rows" / f"{row}-seed{seed}.npz") as stored:
        return _counts(stored, "test")


def row_figures(plan: Plan, row: str, seed: int) -> dict[str, Any]:
    """Figures of a row on the test patients."""
    with np.load(plan.folder / "rows" / f"{row}-seed{seed}.npz") as stored:
        return dict(json.loads(str(stored["figures"])))


def _write_maps(path: Path, predictor: Predictor, patients: list[Patient]) -> None:
    """Store the voxels of each map that the lowest threshold can reach."""
    arrays: dict[str, np.ndarray] = {}
    for patient in patients:
        prob = predictor.probability(patient.column).ravel()
        index = np.flatnonzero(prob >= 0.0009).astype(np.uint32)
        arrays[f"{patient.column.case}-index"] = index
        arrays[f"{patient.column.case}-prob"] = prob[index]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    np.savez(temporary, **arrays)  # type: ignore[arg-type]
    temporary.replace(path)


def _read_map(maps: Any, patient: Patient) -> np.ndarray:
    prob = np.zeros(patient.column.ct_hu.shape, dtype=np.float32)
    prob.ravel()[maps[f"{patient.column.case}-index"]] = maps[f"{patient.column.case}-prob"]
    return prob


def _counts(arrays: Any, split: str) -> Counts:
    names = ("true_predictions", "false_predictions", "hit_nodes", "n_nodes", "thresholds")
    return Counts(*(arrays[f"{split}_{name}"] for name in names))


def ship(plan: Plan, folder: str) -> None:
    """Write the networks of seed 0 as the weights that come with the software."""
    checkpoints = {
        name: load_checkpoint(plan.folder / "networks" / f"{Run(name, 1, 0).name}.pt") for name in SEGMENTERS
    }
    points = operating_points(checkpoints, [patient.column for patient in plan.patients("validation")])
    write_shipped(Path(folder), checkpoints, points)


def jobs_of(plan: Plan, shipped: Path | None) -> dict[str, Job]:
    """Every job by name, the most wanted first."""
    jobs: dict[str, Job] = {}
    seeds = [seed for split, size in plan.sizes.items() for seed in split_seeds(split, size)]
    for start in range(0, len(seeds), CHUNK):
        jobs[f"phantoms {start}"] = Job(make_phantoms, (seeds[start : start + CHUNK],), ())
    made = tuple(jobs)
    if shipped is not None:
        jobs["ship"] = Job(ship, (str(shipped),), tuple(Run(name, 1, 0).name for name in SEGMENTERS))
    for run in plan.runs:
        jobs[run.name] = Job(train_network, (run,), made)
    for seed in range(plan.seeds):
        for row in plan.rows:
            needed = tuple(run.name for run in ROWS[row].runs(seed, plan.seeds))
            jobs[f"{row} seed {seed}"] = Job(evaluate_row, (row, seed), needed)
    return jobs


def run_jobs(plan: Plan, processes: int, shipped: Path | None) -> None:
    """Run all jobs in worker processes, the first possible one first, with one progress bar."""
    jobs = jobs_of(plan, shipped)
    context = multiprocessing.get_context("spawn")
    channel = context.Queue()
    done: set[str] = set()
    running: dict[Future[None], str] = {}
    with (
        ProcessPoolExecutor(processes, context, start_worker, (channel,)) as pool,
        tqdm(
            total=sum(run.length * plan.iterations for run in plan.runs), unit="step", smoothing=0.05
        ) as bar,
    ):
        while len(done) < len(jobs):
            for name, job in jobs.items():
                free = len(running) < processes and name not in done and name not in running.values()
                if free and done.issuperset(job.needed):
                    running[pool.submit(job.work, plan, *job.arguments)] = name
            finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            _show(bar, channel, running)
            for future in finished:
                done.add(running.pop(future))
                if future.exception() is not None:
                    pool.shutdown(cancel_futures=True)
                    future.result()


def _show(bar: Any, channel: Any, running: dict[Any, str]) -> None:
    """Move the bar by what the workers have sent."""
    while True:
        try:
            name, steps, loss = channel.get_nowait()
        except queue.Empty:
            break
        bar.update(steps)
        if loss is not None:
            bar.set_postfix_str(f"{name} Dice loss {loss:.3f}")
    if running and all(name.startswith("phantoms") for name in running.values()):
        bar.set_postfix_str("making phantoms")


def main() -> None:
    """Measure, write the report, ship the weights if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=int, default=120, help="training phantoms")
    parser.add_argument("--validation", type=int, default=30, help="validation phantoms")
    parser.add_argument("--test", type=int, default=96, help="test phantoms")
    parser.add_argument(
        "--iterations", type=int, default=PRESETS["demo"].iterations, help="steps of a network"
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each network")
    parser.add_argument("--processes", type=int, default=2, help="worker processes of one thread each")
    parser.add_argument("--work", type=Path, default=Path(".osln-measure"), help="folder for everything made")
    parser.add_argument("--output", type=Path, default=DOCS / "stratification.md", help="report to write")
    parser.add_argument(
        "--ship", type=Path, nargs="?", const=SHIPPED, help="write the weights of seed 0 there"
    )
    parser.add_argument("--pilot", action="store_true", help="one CT network and the counts; no report")
    options = parser.parse_args()
    sizes = {"train": options.train, "validation": options.validation, "test": options.test}
    rows = ("ct",) if options.pilot else tuple(name for name in ROWS if name != "two-ct" or options.seeds > 1)
    seeds = 1 if options.pilot else options.seeds
    plan = Plan(str(options.work), sizes, options.iterations, seeds, rows)
    options.work.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        with FileLock(options.work / "lock", timeout=0):
            run_jobs(plan, options.processes, options.ship)
    except Timeout:
        parser.error(f"another measurement is running in {options.work}: wait for it or give another --work")
    counts = {split: count_patients(plan.patients(split)) for split in sizes}
    if options.pilot:
        content = {"counts": counts, "ct": row_figures(plan, "ct", 0)}
        sys.stdout.write(json.dumps(content, indent=1) + "\n")
        return
    measured = Measured(
        command=" ".join(["scripts/measure_stratification.py", *sys.argv[1:]]),
        sizes=sizes,
        iterations=options.iterations,
        seeds=seeds,
        phantom=plan.cohort.folder.name,
        counts=counts,
        counts_by_row={row: [row_counts(plan, row, seed) for seed in range(seeds)] for row in rows},
        figures_by_row={row: [row_figures(plan, row, seed) for seed in range(seeds)] for row in rows},
        trainings={
            run.name: dict(load_checkpoint(plan.folder / "networks" / f"{run.name}.pt").metadata)
            for run in plan.runs
        },
    )
    write_report(measured, options.output)
    sys.stdout.write(f"{options.output} written after {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
