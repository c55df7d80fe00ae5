"""Compare ways of choosing what to ask an annotator, who is played by the truth of generated patients.

Label-and-retrain cycles of stage two on candidates of the shipped stage one. Everything made lies under
--work: the same command goes on where a killed one was. docs/results-active-learning.md says what came out.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from osln.cli.engines import add_engine, engine_of, make_absolute, positive
from osln.cli.options import SHIPPED, add_out, add_path, add_work, command
from osln.cli.tables import RUNS, make_folder

COHORTS = ("alike", "blind", "sites")
PRECISIONS = ("0.10", "0.15")
LEARNERS = ("logistic", "trees", "network")


def add_parser(commands: Any) -> None:
    """The options."""
    examples = ("--cohort alike", "--cohort alike --learner network --arms likeliest-10 --seeds 4")
    parser = command(commands, "simulate", __doc__, *examples)
    parser.add_argument("--cohort", choices=COHORTS, default="alike", help="whose patients (%(default)s)")
    parser.add_argument(
        "--learner",
        choices=LEARNERS,
        default="logistic",
        help="fast ones on 39 numbers of a candidate, or the product's network (default: %(default)s)",
    )
    parser.add_argument("--arms", help="ways of choosing, with commas between them (default: all)")
    parser.add_argument("--seeds", type=positive, default=16, help="runs of each (%(default)s)")
    parser.add_argument("--rounds", type=positive, default=6, help="after the start (%(default)s)")
    parser.add_argument("--budget", type=positive, default=60, help="decisions of a round (%(default)s)")
    parser.add_argument("--steps", type=positive, help="of a training of the network (default: 120)")
    parser.add_argument(
        "--precision",
        choices=("0.10", "0.15"),
        default="0.10",
        help="operating point of stage one (%(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=(5.0, 20.0, 30.0),
        metavar="N,N,N",
        help="of an annotator: for a candidate, adding a missed node, opening a case (default: 5,20,30)",
    )
    add_path(parser, "--weights", SHIPPED, "folder of the weights of stage one")
    add_work(parser)
    add_out(parser, "report's folder (default: runs/simulate-NAME)", required=False)
    add_engine(parser, 1)
    parser.set_defaults(run=run)


def seconds(text: str) -> tuple[float, ...]:
    """Three numbers from 0."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) != 3 or not all(0 <= one < float("inf") for one in found):
        raise argparse.ArgumentTypeError(f"expected three numbers like 5,20,30, got {text}")
    return found


def run(options: argparse.Namespace) -> int:
    """Run, write, tell where."""
    from osln.simulation.arms import ARMS
    from osln.simulation.cases import StageOne
    from osln.simulation.cohorts import COHORTS as KNOWN
    from osln.simulation.cycle import Schedule
    from osln.simulation.figures import Prices
    from osln.simulation.lanes import Lane
    from osln.simulation.runs import Files
    from osln.simulation.simulate import simulate

    began = time.monotonic()
    make_absolute(options)
    names = options.arms.split(",") if options.arms else list(ARMS)
    if unknown := [name for name in names if name not in ARMS]:
        raise ValueError(f"there is no arm {unknown[0]!r}; the arms are: {', '.join(ARMS)}")
    if options.steps is not None and options.learner != "network":
        raise ValueError(f"--steps is about --learner network, not {options.learner}: leave it out")
    lane = Lane(
        KNOWN[options.cohort],
        options.precision,
        options.learner,
        tuple(ARMS[name] for name in names),
        options.seeds,
        replace(Schedule(), rounds=options.rounds, budget=options.budget),
        options.steps,
    )
    out: Path = options.out or RUNS / f"simulate-{lane.name}"
    for folder in (options.work, out):
        make_folder(folder)
    stage_one = StageOne.shipped(options.weights, PRECISIONS)
    files = Files(options.work, stage_one)
    engine = engine_of(options, [options.work, options.weights])
    report = simulate(lane, files, out, Prices(*options.seconds), engine, options.given)
    sys.stdout.write(f"{report} written after {time.monotonic() - began:.0f} s\n")
    return 0
