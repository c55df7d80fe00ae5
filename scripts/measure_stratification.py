"""Measures Table 1b on phantoms: streams, fusion and stratification with their controls.

Trains every network of the table, fuses and evaluates on held-out phantoms, and writes
docs/stratification.md and a JSON file beside it. Everything lies under --work, so that a run that was
stopped goes on where it was. The networks of seed 0 become the shipped weights with --ship.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apps" / "osln"))

from filelock import FileLock, Timeout

from osln.ablation import ROWS
from osln.ablation_jobs import Plan, jobs_of, row_counts, row_figures
from osln.ablation_report import Measured, write_report
from osln.checkpoint import load_checkpoint
from osln.cohort import count_patients
from osln.experiments import PRESETS
from osln.jobs import run_jobs

DOCS = Path(__file__).resolve().parents[1] / "docs"
SHIPPED = Path(__file__).resolve().parents[1] / "apps" / "osln" / "model" / "shipped"
"""Where the weights that come with the software lie."""


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
    command = " ".join(["scripts/measure_stratification.py", *sys.argv[1:]])
    plan = Plan(str(options.work), sizes, options.iterations, seeds, rows, command)
    options.work.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        with FileLock(options.work / "lock", timeout=0):
            steps = sum(run.length * plan.iterations for run in plan.runs)
            run_jobs(jobs_of(plan, options.ship), plan, options.processes, steps)
    except Timeout:
        parser.error(f"another measurement is running in {options.work}: wait for it or give another --work")
    counts = {split: count_patients(plan.patients(split)) for split in sizes}
    if options.pilot:
        content = {"counts": counts, "ct": row_figures(plan, "ct", 0)}
        sys.stdout.write(json.dumps(content, indent=1) + "\n")
        return
    measured = Measured(
        command=command,
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
