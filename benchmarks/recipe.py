"""Does the paper's recipe learn? Its optimizer, rate and loss on the `demo` networks, beside the demo recipe.

Grid, network, patches and patients are the demo preset's in all rows; what differs is the recipe, and between
the two recipes one number at a time. A training is kept in --work and goes on where it was stopped.

    ./benchmarks/run recipe --out docs/images/recipe.png
    ./benchmarks/run recipe --steps 800 --recipes demo paper
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.experiment import WORK
from benchmarks.kept_networks import KeptTraining, made, watched
from osln.cohorts.phantoms import PhantomCohort
from osln.files.whole import write_json
from osln.jobs.processes import Processes
from osln.learning.cores import usable_cores
from osln.metrics.bootstrap import Distribution, distribution, resamples
from osln.metrics.definitions import Counts, mean_recall
from osln.reproduction.run import make_all
from osln.rows.experiments import SEGMENTERS
from osln.rows.paper import CohortSizes
from osln.rows.presets import PRESETS, Preset
from osln.stage_one.validation import sweeps
from osln.weights.checkpoint import Checkpoint

DEMO, PAPER, FAST = PRESETS["demo"], PRESETS["paper"], PRESETS["paper-fast"]


@dataclass(frozen=True)
class Recipe:
    """How a demo network is trained.

    Attributes:
        words: What differs.
        taken: Fields of another preset that replace those of `demo`.
        long: It has as many steps as the run is asked for; otherwise demo's own number.
        of: That preset.
    """

    words: str
    taken: tuple[str, ...]
    long: bool = True
    of: Preset = PAPER

    @property
    def preset(self) -> Preset:
        """The demo preset with these numbers of the other one."""
        return replace(DEMO, **{name: getattr(self.of, name) for name in self.taken})


_ALL = ("learning_rate", "betas", "weight_decay", "positive_weight", "output_bias")
RECIPES = {
    "demo": Recipe("demo", (), long=False),
    "demo-long": Recipe("demo, as many steps as the paper's", ()),
    "paper": Recipe("paper", _ALL),
    "paper-fast": Recipe(
        f"paper-fast: rate {FAST.learning_rate:g}, last bias starts at {FAST.output_bias:g}", _ALL, of=FAST
    ),
    **{
        f"paper-but-{name.replace('_', '-')}": Recipe(
            f"paper, but {words}", tuple(other for other in _ALL if other != name)
        )
        for name, words in (
            ("learning_rate", f"rate {DEMO.learning_rate:g} instead of {PAPER.learning_rate:g}"),
            ("betas", f"second moment {DEMO.betas[1]:g} instead of {PAPER.betas[1]:g}"),
            ("positive_weight", f"node voxels weigh {DEMO.positive_weight:g} instead of 1"),
            ("output_bias", f"last bias starts at {DEMO.output_bias:g} instead of 0"),
        )
    },
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what was not trained yet; print the tables in Markdown, draw the curves."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=SEGMENTERS, default="ef", help="(%(default)s)")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="RECIPE")
    parser.add_argument(
        "--steps",
        type=int,
        default=PAPER.iterations,
        help="of all but the demo recipe (%(default)s)",
    )
    parser.add_argument(
        "--phantoms", default="80,24,48", help="to train, to watch and to test with (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=usable_cores(), help="at once (%(default)s)")
    parser.add_argument("--work", type=Path, default=WORK, help="folder that keeps patients and networks")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to draw the curves (PNG)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write every figure")
    options = parser.parse_args(arguments)
    try:
        numbers = [int(part) for part in options.phantoms.split(",")]
        train_size, watched_size, test_size = numbers
        CohortSizes(train_size, watched_size, test_size, stage_two=1)
    except ValueError as error:
        parser.error(f"--phantoms: expected three numbers like 80,24,48, got {options.phantoms} ({error})")
    sizes = dict(zip(("train", "validation", "test"), numbers, strict=True))
    cohort = PhantomCohort(options.work, DEMO, sizes=sizes)
    trainings = {
        name: KeptTraining(
            cohort,
            RECIPES[name].preset,
            options.network,
            steps_of(RECIPES[name], options.steps),
            options.seed,
        )
        for name in options.recipes
    }
    wanted = [one.artifact(f"recipe {name}") for name, one in trainings.items()]
    failed = make_all(options.work, wanted, Processes(options.processes))
    for name, reason in failed.items():
        sys.stderr.write(f"{name}: {reason}\n")
    learned = made(trainings)
    figures = judged(cohort, learned)
    sys.stdout.write(report(cohort, learned, figures))
    if options.out:
        curves(learned).savefig(options.out, dpi=80)
    if options.json:
        content = {name: {"record": dict(one.metadata), "test": asdict(figures[name].interval())}
                   for name, one in learned.items()}  # fmt: skip
        write_json(options.json, content)
    return 1 if failed else 0


def steps_of(recipe: Recipe, steps: int) -> int:
    """Training steps, where a long training has so many."""
    return steps if recipe.long else min(steps, DEMO.iterations)


def judged(cohort: PhantomCohort, learned: Mapping[str, Checkpoint]) -> dict[str, Distribution]:
    """mRecall of each network on the test patients, on the same resamples."""
    columns = [cohort.column(case) for case in cohort.cases("test")]
    weights = resamples(len(columns))
    return {
        name: distribution([Counts.of(sweeps(one, columns))], mean_recall, weights)
        for name, one in learned.items()
    }


def report(
    cohort: PhantomCohort, learned: Mapping[str, Checkpoint], figures: Mapping[str, Distribution]
) -> str:
    """Markdown: a line for each recipe, and how mRecall grew on the validation patients."""
    sizes = cohort.sizes
    lines = [
        f"{sizes['train']} phantoms to learn from, "
        f"{sizes['validation']} to watch, {sizes['test']} to test with\n",
        "| recipe | steps | Dice loss at 1/8, 1/2, end | mRecall, test | minus demo |",
        "|---|---|---|---|---|",
    ]
    first = figures.get("demo")
    for name, one in learned.items():
        losses: list[Any] = one.metadata["losses"]
        dice = [losses[int(share * (len(losses) - 1))][2] for share in (1 / 8, 1 / 2, 1)]
        less = "" if first is None or name == "demo" else bracketed(figures[name] - first, "+.3f")
        lines.append(
            f"| {RECIPES[name].words} | {losses[-1][0]} | {', '.join(f'{each:.3f}' for each in dice)} "
            f"| {bracketed(figures[name], '.3f')} | {less} |"
        )
    lines += ["", "mRecall on the patients to watch, by step\n"]
    for name, one in learned.items():
        seen = ", ".join(f"{step} {value:.3f}" for step, value in watched(one))
        lines.append(f"- {RECIPES[name].words}: {seen}")
    return "\n".join(lines) + "\n"


def bracketed(figure: Distribution, form: str) -> str:
    """Value and 95 % interval."""
    found = figure.interval()
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


def curves(learned: Mapping[str, Checkpoint]) -> Figure:
    """Dice loss of the training batches and mRecall of the validation patients over the steps."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, one in learned.items():
        losses: Any = one.metadata["losses"]
        left.plot([step for step, *_ in losses], [dice for *_, dice in losses], linewidth=1)
        right.plot(*zip(*watched(one), strict=True), marker="o", markersize=3, label=RECIPES[name].words)
    left.set(xlabel="training step", ylabel="Dice loss of the batches, mean of 50 steps", ylim=(0, 1.05))
    right.set(xlabel="training step", ylabel="mRecall, validation phantoms", ylim=(0, 1))
    right.legend(fontsize=7)
    return figure


if __name__ == "__main__":
    sys.exit(main())
