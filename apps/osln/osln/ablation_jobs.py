"""The work of the stratification experiment, cut into jobs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from osln.ablation import ROWS, Run, all_runs, class_table, count, fuse, judge
from osln.checkpoint import load_checkpoint, save_checkpoint
from osln.cohort import Patient, PhantomCohort, split_seeds
from osln.experiments import PRESETS, SEGMENTERS, SERVED_SEGMENTERS
from osln.inference import Predictor
from osln.jobs import Job, tell
from osln.metrics import Counts
from osln.operating import operating_points
from osln.sweep import THRESHOLDS
from osln.training import Progress, train
from osln.weights import write_shipped

EVALUATED = ("validation", "test")
CHUNK = 8
"""Phantoms that are made by one job."""
KEPT = 0.0009
"""Probabilities below it reach no threshold of the sweep and are not kept."""


@dataclass(frozen=True)
class Plan:
    """What is measured; the same in every process."""

    work: str
    sizes: dict[str, int]
    iterations: int
    seeds: int
    rows: tuple[str, ...]
    command: str = ""

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
            tell(run.name, state.iteration - done, state.dice_loss)
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
        path.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(path, checkpoint)
        resume.unlink(missing_ok=True)
    else:
        tell(run.name, run.length * plan.iterations, None)
    for split in EVALUATED:
        target = plan.folder / "maps" / f"{run.name}-{split}.npz"
        if not target.is_file():
            _write_maps(target, Predictor(load_checkpoint(path), precision="f32"), plan.patients(split))


def evaluate_row(plan: Plan, row: str, seed: int) -> None:
    """Fuse the maps of a row's networks and count, on validation and test patients."""
    runs = ROWS[row].runs(seed, plan.seeds)
    target = plan.folder / "rows" / f"{row}-seed{seed}.npz"
    if target.is_file() and np.array_equal(row_counts(plan, row, seed).thresholds, THRESHOLDS):
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
        index = np.flatnonzero(prob >= KEPT).astype(np.uint32)
        arrays[f"{patient.column.case}-index"] = index
        arrays[f"{patient.column.case}-prob"] = prob[index]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    np.savez(temporary, **arrays)
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
    networks = plan.folder / "networks"
    checkpoints = {
        name: load_checkpoint(networks / f"{Run(name, 1, 0).name}.pt") for name in SERVED_SEGMENTERS
    }
    points = operating_points(checkpoints, [patient.column for patient in plan.patients("validation")])
    write_shipped(Path(folder), checkpoints, points, plan.command)


def jobs_of(plan: Plan, shipped: Path | None) -> dict[str, Job]:
    """Every job by name, the most wanted first."""
    jobs: dict[str, Job] = {}
    seeds = [seed for split, size in plan.sizes.items() for seed in split_seeds(split, size)]
    for start in range(0, len(seeds), CHUNK):
        jobs[f"phantoms {start}"] = Job(make_phantoms, (seeds[start : start + CHUNK],), ())
    made = tuple(jobs)
    if shipped is not None:
        jobs["ship"] = Job(ship, (str(shipped),), tuple(Run(name, 1, 0).name for name in SERVED_SEGMENTERS))
    for run in plan.runs:
        jobs[run.name] = Job(train_network, (run,), made)
    for seed in range(plan.seeds):
        for row in plan.rows:
            needed = tuple(run.name for run in ROWS[row].runs(seed, plan.seeds))
            jobs[f"{row} seed {seed}"] = Job(evaluate_row, (row, seed), needed)
    return jobs
