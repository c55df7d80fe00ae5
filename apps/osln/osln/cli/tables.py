"""Run the paper's Tables 1a, 1b and 2 and the rows beyond them on a cohort.

Trains what is missing, uses again what is there, and writes tables (Markdown, JSON), curves, pictures, one
HTML report and the record of the run. Everything made lies under --work: the same command goes on where a
killed one was, and other tables share it. docs/experiments.md says how to read the output.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.cli.engines import add_engine, engine_of, make_absolute, positive
from osln.cli.options import (
    CHECKOUT,
    SHIPPED,
    SHIPPED_TAGGER,
    add_ct_spacing,
    add_out,
    add_path,
    add_preset,
    add_work,
    command,
)
from osln.learning.cores import usable_cores
from osln.rows.paper import ALL, COHORT_KINDS, COHORT_SIZES, TABLES, CohortSizes, rows_of
from osln.rows.presets import PRESETS

if TYPE_CHECKING:
    from osln.cohorts.cohort import Cohort
    from osln.jobs.engine import Engine
    from osln.reproduction.plan import Plan
    from osln.rows.experiments import Preset

RUNS = CHECKOUT / "runs" if CHECKOUT else Path("runs")


def add_parser(commands: Any) -> None:
    """The options."""
    examples = (
        "--table all --phantoms",
        "--table 1b --store my-store --seeds 3",
        "--table 1b --rows ct ct-stratified --store my-store",
    )
    parser = command(commands, "tables", __doc__, *examples)
    parser.add_argument(
        "--table",
        required=True,
        choices=[*TABLES, "all"],
        help="which rows: those of a table of the paper, those it has not (beyond), all of these, or those "
        "that the server offers, for which weights are shipped (served)",
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[],
        metavar="KEY",
        help="of these rows only some, by what the tables' JSON calls them (lf-stratified+glnet, ct-x2)",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--store", type=Path, help="folder whose approved cases are the cohort")
    source.add_argument(
        "--phantoms",
        type=cohort_sizes,
        nargs="?",
        const=(),
        metavar="N,N,N,N",
        help="generated phantoms: how many to train, validate and test with, and for stage two (default: the "
        "preset's)",
    )
    parser.add_argument(
        "--kind",
        choices=COHORT_KINDS,
        default="default",
        help="of phantoms: default or realistic ones, by turns one of each (mixed), with a rule blind to "
        "distance, or with so many look-alikes that the zone matters (docs/experiments.md)",
    )
    parser.add_argument(
        "--background",
        type=Path,
        nargs="+",
        default=[],
        metavar="CT",
        help="real CTs (image files in HU) into which each fourth phantom to train with and of stage two is "
        "planted, of mixed ones always a default one (docs/phantom-realism.md)",
    )
    add_ct_spacing(parser, "voxel size in mm of the phantoms' CT")
    add_preset(parser)
    parser.add_argument("--seeds", type=positive, default=1, help="trainings of each row")
    add_work(parser)
    add_out(
        parser,
        "report's folder (default: runs/table-NAME; with --rows -some-rows behind it)",
        required=False,
    )
    add_path(parser, "--tagger", SHIPPED_TAGGER, "LesaNet's weights")
    add_engine(parser, usable_cores())
    parser.add_argument(
        "--iterations", type=positive, help="training steps of a network (default: the preset's)"
    )
    parser.add_argument(
        "--prefilter",
        action="store_true",
        help="blur CT and PET before they come onto larger voxels, in training and for good (docs/method.md)",
    )
    parser.add_argument("--detector-iterations", type=positive, help="the same of an end-to-end detector")
    parser.add_argument("--epochs", type=positive, help="passes of a classifier (default: the preset's)")
    parser.add_argument(
        "--ship",
        type=Path,
        nargs="?" if SHIPPED else None,
        const=SHIPPED,
        help="write the weights of the first seed there, as those that come with the software",
    )
    parser.add_argument(
        "--ship-curves",
        type=Path,
        nargs="?" if SHIPPED else None,
        const=SHIPPED,
        help="train and write no table: measure what shipped weights find at other operating points on the "
        "validation patients that theirs come from, and put it into their manifest",
    )
    parser.add_argument(
        "--ship-new",
        type=Path,
        nargs="?" if SHIPPED else None,
        const=SHIPPED,
        help="write no table: train the networks that shipped weights lack, of stage two on candidates of "
        "their stage one, and put them beside",
    )
    parser.set_defaults(run=run, goes_on=True)


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


def preset_of(options: argparse.Namespace) -> "Preset":
    """Size and recipe, with what was asked for besides."""
    preset = PRESETS[options.preset]
    second = replace(preset.stage_two, epochs=options.epochs or preset.stage_two.epochs)
    return replace(
        preset,
        iterations=options.iterations or preset.iterations,
        prefilter=options.prefilter,
        stage_two=second,
    )


def make_folder(folder: Path) -> None:
    """Made before anything is computed.

    Raises:
        ValueError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder} cannot be made ({error.strerror}): name another folder") from error


def run(options: argparse.Namespace) -> int:
    """Run, write, tell where; 1 also if a row did not run."""
    from osln.reproduction.plan import Plan
    from osln.reproduction.run import open_cohort, run_tables
    from osln.reproduction.shipping import ship

    began = time.monotonic()
    make_absolute(options)
    preset = preset_of(options)
    if not options.tagger.is_file():
        raise ValueError(f"no tagger at {options.tagger}: make one with ./scripts/osln train-tagger")
    sizes = options.phantoms or COHORT_SIZES[options.preset]
    tables = ALL if options.table == "all" else (options.table,)
    out: Path = options.out or RUNS / f"table-{options.table}{'-some-rows' if options.rows else ''}"
    if options.rows and not (options.ship is options.ship_curves is options.ship_new is None):
        raise ValueError("--ship, --ship-curves and --ship-new are about all rows: leave out --rows")
    rows_of(tables, options.rows)
    if options.store and options.kind != "default":
        raise ValueError("--kind is about phantoms: leave it out, or --store")
    if options.store and options.background:
        raise ValueError("--background is about phantoms: leave it out, or --store")
    if options.store and options.ct_spacing:
        raise ValueError("--ct-spacing is about phantoms: leave it out, or --store")
    if missing := [str(path) for path in options.background if not path.is_file()]:
        raise ValueError(
            f"no image file at {', '.join(missing)}: --background takes CTs as NIfTI, NRRD or MHA"
        )
    cohort = open_cohort(
        str(options.store or "phantom"),
        options.work,
        preset,
        sizes,
        options.kind,
        options.background,
        options.ct_spacing,
    )
    if options.ship_curves is not None:
        return measure(options.ship_curves, cohort, preset)
    for folder in (options.work,) if options.ship_new is not None else (options.work, out):
        make_folder(folder)
    detector_steps = options.detector_iterations
    plan = Plan(
        options.work,
        cohort,
        preset,
        tables,
        options.seeds,
        options.tagger,
        options.given,
        detector_steps,
        tuple(dict.fromkeys(options.rows)),
    )
    shared = [options.work, options.tagger, *([options.store] if options.store else []), *options.background]
    if options.ship_new is not None:
        return complete(options.ship_new, plan, engine_of(options, shared))
    content = run_tables(plan, out, engine_of(options, shared))
    if options.ship is not None and not content.missing:
        ship(plan, options.ship)
    sys.stdout.write(f"{out / 'report.html'} written after {time.monotonic() - began:.0f} s\n")
    if content.missing:
        shipped = ", nothing was shipped" if options.ship is not None else ""
        raise ValueError(
            f"{len(content.missing)} rows did not run{shipped}; the report says why, and the same command "
            "tries them again"
        )
    return 0


def measure(folder: Path, cohort: "Cohort", preset: "Preset") -> int:
    """Measure shipped weights and tell what was found."""
    from osln.reproduction.shipping import measure_shipped

    for name, (_, points) in measure_shipped(cohort, preset, folder).items():
        told = ", ".join(f"{one['sensitivity']:.3f} at {one['fp_per_patient']:g}" for one in points)
        sys.stdout.write(f"{name}: sensitivity {told} false positives per patient\n")
    return 0


def complete(folder: Path, plan: "Plan", engine: "Engine") -> int:
    """Train what shipped weights lack and tell."""
    from osln.reproduction.shipping import ship_new

    made = ship_new(plan, folder, engine)
    sys.stdout.write(f"{', '.join(made) or 'nothing'} trained and put beside the weights in {folder}\n")
    return 0
