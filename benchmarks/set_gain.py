"""Is the gain of the network over the set the phantom's rule? Its parts, step by step and asked otherwise.

On the same candidates of late fusion with stratification: the network over the set, the same without the
others, and networks of the single candidate, all with equally many training steps and candidates; the trained
one asked without the others, among another patient's, and with other distances; a logistic regression. On
default phantoms, and on the same images under a rule that is blind to distance (docs/results-set.md). What is
made is kept in --work beside what ./scripts/osln tables keeps there, patients and candidates are shared, and
the same command goes on where it was stopped.

    ./benchmarks/run set_gain --work .osln-measure --out runs/set-gain
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.candidate_figures import SHOWN, cells, figures, plain
from benchmarks.experiment import experiment_parser, make_or_stop, write_report
from benchmarks.set_gain_networks import (
    ALONE,
    DISTANCE,
    OTHERS,
    PLACE,
    TRAININGS,
    WHOLE,
    Scores,
    Training,
    ask,
    found_only,
    numbers_scores,
    regression_scores,
    train_matched,
)
from osln.cli.engines import add_engine, make_absolute, positive
from osln.cli.options import SHIPPED_TAGGER, add_preset
from osln.cli.tables import cohort_sizes, make_folder
from osln.jobs.artifact import Artifact
from osln.learning.cores import usable_cores
from osln.metrics.bootstrap import Distribution, resamples
from osln.metrics.intervals import setting, table, verdict
from osln.metrics.matching import Scored
from osln.reproduction.artifacts import Artifacts, files
from osln.reproduction.cells import figure_cell
from osln.reproduction.kept_training import keep_training
from osln.reproduction.plan import Plan
from osln.reproduction.run import PHANTOM, hardware, open_cohort
from osln.rows.experiments import CLASSIFIERS, PRESETS, ROWS
from osln.rows.paper import COHORT_KINDS, COHORT_SIZES
from osln.stage_two.candidate_sets import CandidateSet, load_set
from osln.weights.checkpoint import load_checkpoint

FORMAT = 1
"""Of trainings and scores; another one makes them anew."""
COHORTS = ("default", "blind")
SETTING = ROWS["lf-stratified"]
STAGE_ONE_SEED = 0
"""All trainings of stage two learn from the candidates of one training of stage one."""
STEPS = 1440
"""Of the published network: six passes through 240 patients."""
CANDIDATE_SECONDS = 0.0095
"""What one core took for a candidate of a training step with the demo preset; weighs the progress bar."""
REGRESSION, NUMBERS, STAGE_ONE = "regression", "numbers", "stage one"
LINES = {
    ("set", WHOLE): "the set network",
    ("set", ALONE): "... asked in sets of one",
    ("set", OTHERS): "... asked among the candidates of another patient",
    ("set", DISTANCE): "... distance and zone permuted",
    ("set", PLACE): "... distance, zone and place permuted",
    ("set-of-one", ALONE): "trained and asked in sets of one",
    ("local-context", WHOLE): "image, score, size and place",
    ("local-ct-pet", WHOLE): "image alone",
    (REGRESSION, WHOLE): "logistic regression on score, size and place",
    (NUMBERS, WHOLE): "... and on what CT and PET show, in numbers",
    (STAGE_ONE, WHOLE): "stage one's score",
}
Line = tuple[str, str]
"""What is asked, and how; a key of `LINES`."""
SET = next(iter(LINES))
QUESTIONS: tuple[tuple[str, Line, Line], ...] = (
    ("What does the whole set network add to the image?", SET, ("local-ct-pet", WHOLE)),
    ("... of this, what stage one knows?", ("local-context", WHOLE), ("local-ct-pet", WHOLE)),
    ("... and the set?", SET, ("local-context", WHOLE)),
    ("Is it the other candidates, or the layers?", SET, ("set-of-one", ALONE)),
    ("Does the trained one need the others?", SET, ("set", ALONE)),
    ("Must they be of this patient?", SET, ("set", OTHERS)),
    ("What is the distance worth to it?", SET, ("set", DISTANCE)),
    ("... and the place besides?", SET, ("set", PLACE)),
    ("Is the image more than the numbers?", SET, (REGRESSION, WHOLE)),
    ("... and more than the image in numbers?", SET, (NUMBERS, WHOLE)),
    ("Do the numbers alone beat the image alone?", (REGRESSION, WHOLE), ("local-ct-pet", WHOLE)),
)


@dataclass(frozen=True)
class Comparison:
    """All trainings on one cohort.

    Attributes:
        kind: Of `COHORT_KINDS`.
        plan: Of stage one.
        seeds: Trainings of each network.
        steps: Of each of them.
    """

    kind: str
    plan: Plan
    seeds: int
    steps: int

    @cached_property
    def artifacts(self) -> Artifacts:
        """Of stage one."""
        return Artifacts(self.plan)

    def candidates(self, split: str) -> tuple[Artifact, ...]:
        """Sets of a split's patients."""
        return self.artifacts.candidates(SETTING, STAGE_ONE_SEED, split)

    def training(self, training: Training, seed: int) -> Artifact:
        """A network of the comparison."""
        taught = self.candidates("stage two")
        paths, recipe = files(taught), asdict(self.plan.preset.stage_two)
        names = [str(path.relative_to(self.plan.work)) for path in paths]
        about = [FORMAT, training.name, asdict(CLASSIFIERS[training.classifier]), recipe, self.steps, names]
        path = self.plan.work / "set-gain" / f"{training.name}-seed{seed}-{key(about)}" / "weights.pt"
        train = partial(train_matched, training, self.plan.preset, paths, self.steps)
        make = partial(keep_training, path, seed, self.plan.cohort.trained_on, train)
        cost = CANDIDATE_SECONDS * 21 * self.steps
        return Artifact(f"{training.name} seed {seed} ({self.kind})", (path,), taught, make, cost, True)

    def scores(self, training: Training, seed: int) -> Artifact:
        """What it says of the test patients."""
        learned, tested = self.training(training, seed), self.candidates("test")
        paths = files(tested)
        names = [FORMAT, training.asked, *(str(path.relative_to(self.plan.work)) for path in paths)]
        path = learned.path.with_name(f"scores-{key(names)}.json")
        make = partial(ask, training, learned.path, paths, seed, path)
        name = f"scores of {training.name} seed {seed} ({self.kind})"
        return Artifact(name, (path,), (learned, *tested), make, 20.0, True)

    def wanted(self) -> list[Artifact]:
        """Everything that the report reads."""
        return [self.scores(one, seed) for seed in range(self.seeds) for one in TRAININGS.values()]

    def results(self) -> tuple[dict[Line, list[Scores]], list[CandidateSet]]:
        """Scores of every line, one for each training, and the test patients."""
        taught, tested = (
            [found_only(load_set(path)) for path in files(self.candidates(split))]
            for split in ("stage two", "test")
        )
        found: dict[Line, list[Scores]] = {
            (name, way): [json.loads(self.scores(one, seed).path.read_text())[way] for seed in self.each]
            for name, one in TRAININGS.items()
            for way in one.asked
        }
        found[REGRESSION, WHOLE] = [regression_scores(taught, tested)] * self.seeds
        found[NUMBERS, WHOLE] = [numbers_scores(taught, tested, self.plan.preset)] * self.seeds
        found[STAGE_ONE, WHOLE] = [{one.case: one.stage_one_scores.tolist() for one in tested}] * self.seeds
        return found, tested

    @property
    def each(self) -> range:
        """The seeds."""
        return range(self.seeds)

    def matched(self) -> dict[str, dict[str, Any]]:
        """Steps, candidates of a step and last loss of each training of the first seed."""
        found = {}
        for one in TRAININGS.values():
            told = load_checkpoint(self.training(one, 0).path).metadata
            found[one.name] = {name: told[name] for name in ("steps", "candidates_per_step", "candidates")}
            found[one.name]["last loss"] = round(told["losses"][-1], 3)
        return found


def key(content: Sequence[Any]) -> str:
    """Short name of JSON values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and ask what is missing, write the report."""
    options = parsed(arguments)
    make_absolute(options)
    command = " ".join(["./benchmarks/run set_gain", *(arguments or sys.argv[1:])])
    try:
        for folder in (options.work, options.out):
            make_folder(folder)
        told = [one_cohort(comparison(kind, options), options) for kind in options.cohorts]
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    words = "\n\n".join(report(one) for one in told) + "\n"
    write_report(options.out, "set-gain", setting(command, hardware=hardware(), cohorts=told), words)
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = experiment_parser(__doc__)
    add_preset(parser)
    parser.add_argument("--cohorts", nargs="+", choices=COHORT_KINDS, default=COHORTS, metavar="KIND")
    parser.add_argument("--patients", type=cohort_sizes, metavar="N,N,N,N", help="as --phantoms of tables")
    parser.add_argument("--seeds", type=positive, default=3, help="trainings of each network (%(default)s)")
    parser.add_argument("--steps", type=positive, default=STEPS, help="of each of them (%(default)s)")
    parser.add_argument("--iterations", type=positive, help="steps of stage one (default: the preset's)")
    add_engine(parser, usable_cores())
    return parser.parse_args(arguments)


def comparison(kind: str, options: argparse.Namespace) -> Comparison:
    """What the options ask for on a cohort."""
    preset = PRESETS[options.preset]
    preset = replace(preset, iterations=options.iterations or preset.iterations)
    sizes = options.patients or COHORT_SIZES[preset.name]
    cohort = open_cohort(PHANTOM, options.work, preset, sizes, kind)
    plan = Plan(options.work, cohort, preset, (), 1, SHIPPED_TAGGER or Path())
    return Comparison(kind, plan, options.seeds, options.steps)


def one_cohort(one: Comparison, options: argparse.Namespace) -> dict[str, Any]:
    """Makes what is missing; figures and differences as JSON values."""
    make_or_stop(options, one.wanted())
    scores, tested = one.results()
    weights = resamples(len(tested))
    found = {line: line_figures(by, tested, weights) for line, by in scores.items()}
    return {
        "cohort": one.kind,
        "patients": len(tested),
        "nodes": sum(content.scored().n_nodes for content in tested),
        "candidates": sum(content.n_candidates for content in tested),
        "matched": one.matched(),
        "lines": [
            {"title": title, "line": line, "figures": plain(found[line])} for line, title in LINES.items()
        ],
        "questions": [
            {
                "question": words,
                "difference": f"{_short(line)} - {_short(minus)}",
                "figures": plain({name: found[line][name] - found[minus][name] for name in SHOWN}),
            }
            for words, line, minus in QUESTIONS
        ],
    }


def line_figures(
    seeds: Sequence[Scores], tested: Sequence[CandidateSet], weights: np.ndarray
) -> dict[str, Distribution]:
    """Figures of a line."""
    return figures([[_scored(content, one[content.case]) for content in tested] for one in seeds], weights)


def _scored(content: CandidateSet, scores: Sequence[float]) -> Scored:
    return content.scored(np.array(scores, dtype=np.float64))


def _short(line: Line) -> str:
    name, way = line
    return name if way == WHOLE or name == "set-of-one" else f"{name} ({way})"


def report(told: Mapping[str, Any]) -> str:
    """A cohort's tables in Markdown."""
    head = f"{told['cohort']} phantoms: {told['patients']} test patients, {told['nodes']} nodes, "
    head += f"{told['candidates']} candidates"
    matched = [["training", "steps", "candidates of a step", "candidates in all", "last loss"]]
    for name, one in told["matched"].items():
        seen, last = f"{one['candidates_per_step']:.1f}", f"{one['last loss']:.3f}"
        matched.append([name, str(one["steps"]), seen, str(one["candidates"]), last])
    lines = [["", *SHOWN.values()]]
    lines += [[one["title"], *cells(one["figures"])] for one in told["lines"]]
    asked = [["question", "difference", "mFROC", "differs from 0"]]
    for one in told["questions"]:
        mfroc = one["figures"]["mfroc"]
        asked.append([one["question"], one["difference"], figure_cell(mfroc, "+"), verdict(mfroc)])
    return "\n\n".join([f"## {head}", table(matched), table(lines), table(asked)])


if __name__ == "__main__":
    sys.exit(main())
