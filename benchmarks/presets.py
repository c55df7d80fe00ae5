"""What finer voxels and wider networks are worth, and what they cost: each alone, and both, beside `demo`.

One network of stage one learns from the same patients by equally many steps in four sizes: `demo`, `fine`
(its networks on voxels of a third of the volume), `wide` (wider ones on its own voxels) and `standard` (wider
ones on the finer voxels). Of the patients that teach half are realistic phantoms, a quarter default ones and
a quarter planted into the real CTs. Each network is asked about the same default phantoms and the same
patients planted into LUNG1-001, at the threshold for precision .10 on validation phantoms of its own grid.
Planted patients share one CT and have a synthetic PET. Times are of the processor, one thread, so that other
work beside it hardly counts. What was made is kept in --work, and a stopped run goes on.

    ./benchmarks/run presets --data FOLDER --background CT-A.nii.gz CT-B.nii.gz
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.experiment import WORK
from benchmarks.kept_networks import KeptTraining, made
from benchmarks.training_patients import PLANTED, found, planted, report, threshold
from osln.cli.engines import positive
from osln.cohorts.phantoms import KINDS, Background, PhantomCohort
from osln.imaging.lung_column import LungColumn
from osln.jobs.processes import Processes
from osln.learning.cores import usable_cores
from osln.metrics.intervals import table
from osln.reproduction.run import hardware, make_all
from osln.rows.experiments import SEGMENTERS
from osln.rows.presets import PRESETS, Preset
from osln.stage_one.inference import Predictor
from osln.stage_one.training import train
from osln.weights.checkpoint import Checkpoint

SIZES = {name: PRESETS[name] for name in ("demo", "fine", "wide", "standard")}
"""`fine` has the voxels of the last and the networks of the first, `wide` the other way round."""
TIMED = 3
"""Repetitions of what is timed."""
SHORT, LONG = 3, 9
"""Steps of the two trainings whose difference is the time of a step."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what was not trained yet, ask, print the tables in Markdown."""
    options = parsed(arguments)
    trainings = {name: training(options, preset) for name, preset in SIZES.items()}
    wanted = [one.artifact(name) for name, one in trainings.items()]
    failed = make_all(options.work, wanted, Processes(options.processes))
    for name, reason in failed.items():
        sys.stderr.write(f"{name}: {reason}\n")
    learned = made(trainings)
    tests: dict[str, dict[str, list]] = {"default phantoms": {}, PLANTED: {}}
    times = [["size", "weights", "training step, s", "stage one of a patient, s", "the same, float32"]]
    for name, checkpoint in learned.items():
        cohort = PhantomCohort(options.work, SIZES[name], sizes=trainings[name].cohort.sizes)
        at = threshold([checkpoint], [cohort.column(case) for case in cohort.cases("validation")])
        columns = {
            "default phantoms": [cohort.column(case) for case in cohort.cases("test")],
            PLANTED: list(planted(options.data, options.work, SIZES[name], options.planted)),
        }
        for title, asked in columns.items():
            tests[title][name] = found([checkpoint], at, asked)
        seconds = (
            step_seconds(SIZES[name], options.network, columns["default phantoms"][:4]),
            asking_seconds(checkpoint, columns[PLANTED][0], None),
            asking_seconds(checkpoint, columns[PLANTED][0], "f32"),
        )
        times.append([name, f"{learned_weights(checkpoint):,}", *(f"{one:.2f}" for one in seconds)])
    for title, pairs in tests.items():
        report(title, pairs)
    sys.stdout.write(f"\n{hardware()}; seconds of the processor, medians of {TIMED}\n\n{table(times)}\n")
    return 1 if failed else 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lung1-001")
    parser.add_argument(
        "--background", type=Path, nargs="+", default=[], metavar="CT", help="real CTs to learn from besides"
    )
    parser.add_argument("--network", choices=SEGMENTERS, default="ef", help="(%(default)s)")
    for name, usual, words in (
        ("--train", 120, "patients to learn from"),
        ("--validation", 16, "to set the threshold by"),
        ("--test", 48, "test phantoms"),
        ("--planted", 30, "test patients planted"),
        ("--steps", 2000, "of a training"),
        ("--processes", usable_cores(), "trainings at once"),
    ):
        parser.add_argument(name, type=positive, default=usual, help=f"{words} (%(default)s)")
    parser.add_argument("--work", type=Path, default=WORK, help="(%(default)s)")
    options = parser.parse_args(arguments)
    if min(options.planted, options.test) < 2:
        parser.error("--planted and --test must be at least 2: intervals are over patients")
    return options


def training(options: argparse.Namespace, preset: Preset) -> KeptTraining:
    """A size's network."""
    sizes = {split: getattr(options, split) for split in ("train", "validation", "test")}
    real = tuple(Background(path.absolute()) for path in options.background)
    cohort = PhantomCohort(options.work, preset, KINDS["mixed"], sizes, real)
    return KeptTraining(cohort, preset, options.network, options.steps)


def learned_weights(checkpoint: Checkpoint) -> int:
    """How many numbers a network learns: running means and variances, which it keeps besides, are none."""
    return sum(one.numel() for one in checkpoint.network().parameters())


def step_seconds(preset: Preset, network: str, columns: Sequence[LungColumn]) -> float:
    """Of the processor for one training step, what a training takes besides its steps left out."""

    def spent(steps: int) -> float:
        began = time.process_time()
        train(SEGMENTERS[network], preset, columns, iterations=steps, trained_on="phantom")
        return time.process_time() - began

    spent(SHORT)
    return median((spent(LONG) - spent(SHORT)) / (LONG - SHORT) for _ in range(TIMED))


def asking_seconds(checkpoint: Checkpoint, column: LungColumn, number_format: str | None) -> float:
    """Of the processor for the network's map of a patient; None is this processor's own number format."""
    predictor = Predictor(checkpoint, number_format=number_format)
    predictor.probability(column)
    seconds = []
    for _ in range(TIMED):
        began = time.process_time()
        predictor.probability(column)
        seconds.append(time.process_time() - began)
    return median(seconds)


if __name__ == "__main__":
    sys.exit(main())
