"""Train the network that outlines a node from clicks, on generated phantoms.

Phantoms are made once and kept in --work. A training that was interrupted goes on when the same command is
given again. ./benchmarks/run clicks measures the network beside the best classical way.
"""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from osln.cli.options import (
    SHIPPED_CLICK,
    add_out,
    add_threads,
    add_training,
    add_work,
    check_device,
    command,
)
from osln.cli.progress import each, steps

if TYPE_CHECKING:
    from osln.learning.fit import Progress


def add_parser(commands: Any) -> None:
    """The options."""
    parser = command(commands, "train-click", __doc__, "--ship", "--phantoms 100 --out click.safetensors")
    parser.add_argument("--phantoms", type=int, default=48, help="to learn from (%(default)s)")
    parser.add_argument("--judged", type=int, default=6, help="further ones to judge by (%(default)s)")
    goal = parser.add_mutually_exclusive_group(required=True)
    add_out(goal, "file to write (.safetensors)", required=False)
    goal.add_argument("--ship", action="store_true", help="write the network that comes with the software")
    parser.add_argument("--steps", type=int, help="training steps (default: the recipe's)")
    add_training(parser)
    add_threads(parser)
    add_work(parser)
    parser.set_defaults(run=run, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Make phantoms, train, write and tell what came out."""
    check_device(options.device)
    from osln.clicks import training
    from osln.clicks.network import save_network
    from osln.clicks.phantom_cases import training_case
    from osln.cohorts.phantoms import FIRST_SEED
    from osln.weights.shipped import ship_click, without_folders

    out = SHIPPED_CLICK if options.ship else options.out
    if out is None:
        raise ValueError("there is no checkout around this installation to ship with: give --out FILE")
    out.parent.mkdir(parents=True, exist_ok=True)
    first = FIRST_SEED["clicks"]
    seeds = each(range(first, first + options.phantoms + options.judged), "phantoms")
    cases = [training_case(options.work, seed) for seed in seeds]
    resume = options.work / f"{out.stem}.resume"
    with steps("click network") as tell:

        def show(state: "Progress") -> None:
            figures = state.validation or {}
            tell(state.step, state.steps, {"loss": state.loss, "Dice": figures.get("mean_dice")})

        learned = training.train(
            cases[: options.phantoms],
            cases[options.phantoms :],
            steps=options.steps or training.STEPS,
            seed=options.seed,
            device=options.device,
            threads=options.threads,
            resume_path=resume,
            on_progress=show,
        )
    about = learned.record | {"losses": learned.losses, "validation": learned.validation}
    save_network(
        out, learned.weights, about | {"trained_on": "phantom", "command": without_folders(options.given)}
    )
    resume.unlink(missing_ok=True)
    if options.ship:
        ship_click(out, "phantom", options.given)
    sys.stdout.write(f"{out}: learned from {options.phantoms} phantoms; validation: {learned.validation}\n")
    return 0
