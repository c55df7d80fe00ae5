"""Times rows of the tables against the first one on the same patients, alternating in one process.

A run begins with the study in memory and ends with the scored candidates: what `detect` does. Files and the
server, which are the same for every row, are not in it (`benchmark.py` has them).

    ./benchmarks/run rows osln osln-set-glnet osln-local-ct-pet
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from tqdm import tqdm

from benchmarks.patient import CASE, write_patient
from benchmarks.sides import STAGE_TWO
from osln.imaging.study import Study
from osln.metrics.intervals import table
from osln.pipeline import Pipeline, load_pipeline
from osln.rows.experiments import ROWS
from osln.store.layout import companions, load_study
from osln.weights.model_store import ModelStore

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Load, warm up, alternate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "rows", nargs="+", choices=ROWS, metavar="ROW", help="the first is the measure of the others"
    )
    parser.add_argument("--models", type=Path, default=ROOT / "apps" / "osln" / "model", help="weights")
    parser.add_argument("--patients", type=int, default=3, help="phantoms of clinical size")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each row on each patient")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the processor")
    options = parser.parse_args(arguments)
    if options.patients < 1 or options.rounds < 1:
        parser.error("--patients and --rounds must be at least 1")
    torch.set_num_threads(options.threads)
    store = ModelStore(options.models)
    try:
        pipelines = {name: load_pipeline(store, name) for name in dict.fromkeys(options.rows)}
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name, pipeline in pipelines.items():
        sys.stderr.writelines(f"{name}: {warning}\n" for warning in pipeline.warnings)
    studies = [patient(seed) for seed in range(options.patients)]
    runs = alternate(pipelines, studies, options.rounds)
    sys.stdout.write(table(summary(runs)) + "\n")
    return 0


def patient(seed: int) -> Study:
    """A phantom of clinical size."""
    with tempfile.TemporaryDirectory(prefix="osln-benchmark-") as folder:
        write_patient(Path(folder), seed)
        return load_study(companions(Path(folder), CASE))


def alternate(
    pipelines: dict[str, Pipeline], studies: Sequence[Study], rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Seconds of each step of every run by row; runs of the same index belong together."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in pipelines}
    order = [(study, number) for study in studies for number in range(rounds + 1)]
    for study, number in tqdm(order, unit="round"):
        for name, pipeline in pipelines.items():
            found = pipeline.detect(study)
            if number:  # The first round warms up.
                runs[name].append(dict(found.seconds))
    return runs


def summary(runs: dict[str, list[dict[str, float]]]) -> list[list[str]]:
    """Cells: median seconds of both stages, and the ratio of each run to that of the first row beside it."""
    first = next(iter(runs))
    whole = {name: [sum(seconds.values()) for seconds in one] for name, one in runs.items()}
    second = {
        name: [sum(seconds.get(step, 0.0) for step in STAGE_TWO) for seconds in one]
        for name, one in runs.items()
    }
    cells = [["row", "seconds", "of these stage two", f"time / {first}"]]
    for name, seconds in whole.items():
        ratios = sorted(mine / theirs for mine, theirs in zip(seconds, whole[first], strict=True))
        cells.append(
            [
                name,
                f"{median(seconds):.2f}",
                f"{median(second[name]):.2f}",
                f"{median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]",
            ]
        )
    return cells


if __name__ == "__main__":
    sys.exit(main())
