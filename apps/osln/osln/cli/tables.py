"""Runs the paper's Tables 1a, 1b and 2 and the rows beyond them on a cohort.

Trains what is missing, uses again what is there, and writes tables (Markdown, JSON), curves, pictures, one
HTML report and the record of the run. Everything made lies under --work: the same command goes on where a
killed one was, and other tables share it. docs/experiments.md says how to read the output.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from osln.cli.options import ROOT
from osln.rows.experiments import PRESETS
from osln.rows.paper import COHORT_SIZES, TABLES, CohortSizes

SHIPPED = ROOT / "apps" / "osln" / "model" / "shipped"
"""Where the weights that come with the software lie."""


def command_line() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", required=True, choices=[*TABLES, "all"], help="which rows")
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="store with approved cases, or the word phantom"
    )
    parser.add_argument("--preset", choices=PRESETS, default="demo", help="size and recipe of the networks")
    parser.add_argument("--seeds", type=positive, default=1, help="trainings of each row")
    parser.add_argument("--work", type=Path, default=ROOT / ".osln-measure", help="keeps everything made")
    parser.add_argument("--output", type=Path, help="report's folder (default: runs/table-NAME)")
    parser.add_argument(
        "--tagger", type=Path, default=SHIPPED / "lesanet.safetensors", help="LesaNet's weights"
    )
    parser.add_argument(
        "--processes",
        type=positive,
        default=_cores(),
        help="workers of one thread each (default: %(default)s)",
    )
    parser.add_argument(
        "--phantoms",
        type=cohort_sizes,
        metavar="N,N,N,N",
        help="phantoms to train, validate and test with, and for stage two (default: the preset's)",
    )
    parser.add_argument(
        "--iterations", type=positive, help="training steps of a network (default: the preset's)"
    )
    parser.add_argument("--detector-iterations", type=positive, help="the same of an end-to-end detector")
    parser.add_argument("--epochs", type=positive, help="passes of a classifier (default: the preset's)")
    parser.add_argument(
        "--ship",
        type=Path,
        nargs="?",
        const=SHIPPED,
        help="write the weights of the first seed there, as those that come with the software",
    )
    return parser


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return int(text)


def cohort_sizes(text: str) -> CohortSizes:
    """Numbers of phantoms."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"expected four numbers like 120,30,96,240, got {text}")
    try:
        return CohortSizes(*numbers)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def make_folder(folder: Path) -> None:
    """Made before anything is computed.

    Raises:
        ValueError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder} cannot be made ({error.strerror}): name another folder") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write, tell where."""
    parser = command_line()
    options = parser.parse_args(arguments)
    # Slow to import: not for --help.
    from osln.reproduction.plan import Plan
    from osln.reproduction.run import open_cohort, run_tables
    from osln.reproduction.shipping import ship

    began = time.monotonic()
    preset = PRESETS[options.preset]
    if options.iterations is not None:
        preset = replace(preset, iterations=options.iterations)
    if options.epochs is not None:
        preset = replace(preset, stage_two=replace(preset.stage_two, epochs=options.epochs))
    sizes = options.phantoms or COHORT_SIZES[options.preset]
    if not options.tagger.is_file():
        parser.error(f"no tagger at {options.tagger}: make one with ./scripts/osln train-tagger")
    tables = tuple(TABLES) if options.table == "all" else (options.table,)
    output = options.output or ROOT / "runs" / f"table-{options.table}"
    command = " ".join(["./scripts/osln tables", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        cohort = open_cohort(options.data, options.work, preset, sizes)
        for folder in (options.work, output):
            make_folder(folder)
        detector_steps = options.detector_iterations
        plan = Plan(
            options.work, cohort, preset, tables, options.seeds, options.tagger, command, detector_steps
        )
        content = run_tables(plan, output, options.processes)
        if options.ship is not None and not content.missing:
            ship(plan, options.ship)
    except (ValueError, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{output / 'report.html'} written after {time.monotonic() - began:.0f} s\n")
    if content.missing:
        shipped = ", nothing was shipped" if options.ship is not None else ""
        sys.stderr.write(
            f"{len(content.missing)} rows did not run{shipped}; the report says why, and the same command "
            "tries them again\n"
        )
        return 1
    return 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
