"""Compare ways of choosing what to ask an annotator, who is played by the truth of generated patients.

Label-and-retrain cycles of stage two on candidates of the shipped stage one or, with --stages both, of a
stage one that learns too. Everything made lies under --work: the same command goes on where a killed one
was. docs/results-active-learning.md says what came out.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from osln.cli.engines import add_engine, engine_of, make_absolute, positive
from osln.cli.options import SHIPPED, add_out, add_work, command
from osln.cli.tables import RUNS, make_folder

COHORTS = ("alike", "few", "blind", "sites")
STAGES = ("two", "both")
PRECISIONS = ("0.10", "0.15")
ARMS_OF_BOTH = ("likeliest-10", "oracle")
"""Beside whole random cases, where each run trains networks of stage one."""
START_OF_BOTH = 6
"""Whole cases at the start, from which stage one learns from scratch."""
LEARNERS = ("numbers", "trees", "network")


def add_parser(commands: Any) -> None:
    """The options."""
    examples = (
        "--cohort alike",
        "--cohort alike --learner network --arms likeliest-10 --seeds 4",
        "--stages both --budget 20",
    )
    parser = command(commands, "simulate", __doc__, *examples)
    parser.add_argument("--stages", choices=STAGES, default="two", help="which learn (default: %(default)s)")
    parser.add_argument("--cohort", choices=COHORTS, help="whose patients (default: alike; both stages: few)")
    parser.add_argument(
        "--learner",
        choices=LEARNERS,
        default="numbers",
        help="the regression of the row osln-numbers, trees on the same numbers, or the network of "
        "osln-set-glnet (default: %(default)s)",
    )
    parser.add_argument(
        "--arms",
        help="ways of choosing, with commas between them (default: all; both stages: likeliest-10,oracle)",
    )
    parser.add_argument("--seeds", type=positive, help="runs of each (default: 16; both stages: 2)")
    parser.add_argument("--rounds", type=positive, help="after the start (default: 6; both stages: 4)")
    parser.add_argument("--budget", type=positive, help="decisions of a round (default: 60; both stages: 40)")
    parser.add_argument(
        "--steps",
        type=positive,
        help="of a training of --learner network (default: 120), or of stage one in each round (default: 80)",
    )
    parser.add_argument(
        "--first-steps", type=positive, help="of the first training of stage one (default: 600)"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help=f"operating point of the shipped stage one ({PRECISIONS[0]})",
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=(5.0, 20.0, 30.0),
        metavar="N,N,N",
        help="of an annotator: for a candidate, adding a missed node, opening a case (default: 5,20,30)",
    )
    parser.add_argument(
        "--weights", type=Path, help=f"folder of the weights of the shipped stage one (default: {SHIPPED})"
    )
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
    from osln.simulation.cases import StageOne
    from osln.simulation.figures import Prices
    from osln.simulation.runs import Files
    from osln.simulation.simulate import plan, simulate

    began = time.monotonic()
    make_absolute(options)
    lane = lane_of(options)
    out: Path = options.out or RUNS / f"simulate-{lane.name}"
    weights = weights_of(options)
    for folder in (options.work, out):
        make_folder(folder)
    files = Files(options.work, StageOne.shipped(weights, PRECISIONS) if weights else None)
    sys.stdout.write(f"{plan(lane, files)}\n")
    sys.stdout.flush()
    engine = engine_of(options, [path for path in (options.work, weights) if path])
    report = simulate(lane, files, out, Prices(*options.seconds), engine, options.given)
    sys.stdout.write(f"{report} written after {time.monotonic() - began:.0f} s\n")
    return 0


def weights_of(options: argparse.Namespace) -> Path | None:
    """Weights of the shipped stage one; None where stage one learns, too, and nothing is asked of them.

    Raises:
        ValueError: They are needed and there are none.
    """
    if options.stages == "both":
        return None
    weights: Path | None = options.weights or SHIPPED
    if weights is None:
        raise ValueError("--weights FOLDER is needed: the weights of the shipped stage one")
    return weights


def lane_of(options: argparse.Namespace) -> Any:
    """The lane that was asked for.

    Raises:
        ValueError: An arm is unknown, or options do not go together; says which.
    """
    from osln.simulation.arms import ARMS
    from osln.simulation.cohorts import COHORTS as KNOWN
    from osln.simulation.cycle import Schedule
    from osln.simulation.lanes import Lane
    from osln.simulation.retrained import StageOneRecipe

    both, network = options.stages == "both", options.learner == "network"
    offered = ARMS_OF_BOTH if both else ARMS
    names = list(dict.fromkeys(options.arms.split(",") if options.arms else offered))
    if unknown := [name for name in names if name not in ARMS]:
        raise ValueError(f"there is no arm {unknown[0]!r}; the arms are: {', '.join(ARMS)}")
    if both and network:
        raise ValueError("--stages both learns stage two with a fast learner: give numbers or trees")
    if options.steps is not None and not (both or network):
        raise ValueError(f"--steps is about --learner network, not {options.learner}: leave it out")
    if options.first_steps is not None and not both:
        raise ValueError("--first-steps is about --stages both: leave it out")
    if both and (options.precision or options.weights):
        named = "--precision" if options.precision else "--weights"
        raise ValueError(
            f"{named} is about the shipped stage one, and with --stages both it is not asked: leave it out"
        )
    usual = StageOneRecipe()
    recipe = replace(usual, first=options.first_steps or usual.first, steps=options.steps or usual.steps)
    return Lane(
        KNOWN[options.cohort or ("few" if both else "alike")],
        options.precision or PRECISIONS[0],
        options.learner,
        tuple(ARMS[name] for name in names),
        options.seeds or (2 if both else 16),
        replace(
            Schedule(),
            start=START_OF_BOTH if both else Schedule.start,
            rounds=options.rounds or (4 if both else 6),
            budget=options.budget or (40 if both else 60),
        ),
        None if both else options.steps,
        recipe if both else None,
    )
