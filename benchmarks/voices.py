"""What other networks of stage one are worth, before and behind stage two.

What they find by the mean of the four networks of late fusion (`lf-mean`), and by that of the three gated
networks (`gated-mean`), or by other rows that --settings names, is handed to second stages, which learn from
it --seeds times each. They are asked about default and realistic phantoms, about patients planted
into LUNG1-001 and, with --ct, into further CTs. Planted patients of a test share one CT, and their PET is
synthetic. Networks of stage one are the shipped ones; one that is not shipped is trained, by the numbers of
those. What was made is kept in --work, and a stopped run goes on.

    ./benchmarks/run voices --data FOLDER --background CT-A.nii.gz CT-B.nii.gz
    ./benchmarks/run voices --data FOLDER --background CT-A.nii.gz CT-B.nii.gz --ct OTHER.nii.gz
    ./benchmarks/run voices --data FOLDER --settings gated-mean gated-nodes-mean@0.10
"""

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from benchmarks.experiment import WORK
from benchmarks.fusion import froc_figures, interval, print_table
from benchmarks.kept_networks import KeptTraining
from benchmarks.planted import read_lung1
from benchmarks.training_patients import planted_files
from benchmarks.voices_made import DEMO, Load, find, learn, measure_thresholds, read_column
from osln.cli.engines import positive
from osln.cli.options import SHIPPED
from osln.cli.phantoms import read_ct_and_tumor
from osln.cohorts.phantoms import KINDS, Background, PhantomCohort
from osln.jobs.artifact import Artifact
from osln.jobs.processes import Processes
from osln.learning.cores import usable_cores
from osln.metrics.bootstrap import Distribution, resamples
from osln.metrics.matching import Scored
from osln.phantom.planted.real_ct import survey
from osln.reproduction.run import make_all
from osln.rows.experiments import (
    CLASSIFIERS,
    OFFERED_PRECISIONS,
    OPERATING_POINT,
    ROWS,
    SEGMENTERS,
    SERVED_SEGMENTERS,
    Row,
)
from osln.stage_two.candidate_sets import load_set
from osln.stage_two.validation import scored_patients
from osln.weights.checkpoint import load_checkpoint
from osln.weights.model_store import sha256_of

SETTINGS = ("lf-mean", "gated-mean")
"""Rows of stage one, of which the others are compared with the first. "@" and a precision follow where the
candidates are handed over at another one than the paper's."""
CLASSIFIERS_ASKED = ("set-glnet", "numbers")
ALONE = "stage one's score"
FORMAT = 1
"""Of everything that is kept here; another one makes it anew."""
CHUNK = 8
"""Patients of one artifact."""
DRAWS = 1000
SECONDS = {"found": 3.0, "numbers": 5.0, "set-glnet": 300.0}
"""About what one core takes for a patient and for trainings; for the bar alone."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is missing, print the tables in Markdown."""
    options = parsed(arguments)
    try:
        if SHIPPED is None:
            raise ValueError("there is no checkout around this installation: run it in one")
        experiment = Experiment(
            options.work,
            SHIPPED,
            options.seeds,
            patients_of(options),
            tuple(options.settings),
            own_of(options),
        )
        failed = make_all(options.work, experiment.wanted(), Processes(options.processes))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name, reason in failed.items():
        sys.stderr.write(f"{name}: {reason}\n")
    if failed:
        return 1
    for test in experiment.tests:
        report(test, experiment.results(test))
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder that holds lung1-001; no such test without")
    parser.add_argument(
        "--ct", type=Path, nargs="+", default=[], metavar="CT", help="further CTs to be asked about"
    )
    parser.add_argument(
        "--background", type=Path, nargs="+", default=[], metavar="CT", help="real CTs to learn from besides"
    )
    parser.add_argument("--taught", type=positive, default=240, help="patients to learn from (%(default)s)")
    parser.add_argument("--validation", type=positive, default=30, help="to set thresholds by (%(default)s)")
    parser.add_argument("--test", type=positive, default=96, help="test phantoms (%(default)s)")
    parser.add_argument("--planted", type=positive, default=30, help="patients planted (%(default)s)")
    parser.add_argument("--seeds", type=positive, default=3, help="trainings of each network (%(default)s)")
    parser.add_argument(
        "--settings",
        type=setting,
        nargs="+",
        default=SETTINGS,
        metavar="ROW[@PRECISION]",
        help="rows that end with stage one (default: %(default)s)",
    )
    parser.add_argument(
        "--steps",
        type=positive,
        default=3200,
        help="of a network of stage one that is not shipped (%(default)s)",
    )
    parser.add_argument("--training", type=int, default=0, help="seed of these networks (%(default)s)")
    parser.add_argument("--processes", type=positive, default=usable_cores(), help="(%(default)s)")
    parser.add_argument("--work", type=Path, default=WORK, help="(%(default)s)")
    options = parser.parse_args(arguments)
    if min(options.planted, options.test) < 2:
        parser.error("--planted and --test must be at least 2: intervals are over patients")
    return options


def setting(words: str) -> str:
    """A row that ends with stage one by the mean or maximum, and the precision at which it hands over."""
    name, _, at = words.partition("@")
    if name not in ROWS or ROWS[name].classifier or ROWS[name].fusion == "learned":
        raise argparse.ArgumentTypeError(f"no row {name} that ends with stage one without learned fusion")
    if at and at not in OFFERED_PRECISIONS:
        raise argparse.ArgumentTypeError(f"no precision {at}: expected {', '.join(OFFERED_PRECISIONS)}")
    return words


def row_of(words: str) -> Row:
    """The row of a setting."""
    name, _, at = words.partition("@")
    return ROWS[name].changed(handed_at=at or OPERATING_POINT)


def own_of(options: argparse.Namespace) -> dict[str, KeptTraining]:
    """Trainings of the networks that the settings ask and that are not shipped, by their names."""
    sizes = {"train": options.taught, "validation": options.validation}
    backgrounds = tuple(Background(path.absolute()) for path in options.background)
    cohort = PhantomCohort(options.work, DEMO, KINDS["mixed"], sizes, backgrounds)
    return {
        name: KeptTraining(cohort, DEMO, name, options.steps, options.training)
        for name in SEGMENTERS
        if name not in SERVED_SEGMENTERS and any(name in row_of(one).segmenters for one in options.settings)
    }


def patients_of(options: argparse.Namespace) -> dict[str, list[tuple[str, Load]]]:
    """By split and test: a short name of all that a patient depends on, and what gives its column.

    Raises:
        ValueError: A CT cannot be planted into.
    """
    sizes = {"stage two": options.taught, "validation": options.validation, "test": options.test}
    backgrounds = tuple(Background(path.absolute()) for path in options.background)
    mixed = PhantomCohort(options.work, DEMO, KINDS["mixed"], sizes, backgrounds)
    found = {split: phantoms(mixed, split) for split in ("stage two", "validation")}
    for kind in ("default", "realistic"):
        cohort = PhantomCohort(options.work, DEMO, KINDS[kind], sizes)
        found[f"{kind} phantoms"] = phantoms(cohort, "test")
    real = {} if options.data is None else {"planted into LUNG1-001": read_lung1(options.data)}
    real |= {f"planted into {path.name}": survey(*read_ct_and_tumor(path, None)) for path in options.ct}
    for name, ct in real.items():
        files = planted_files(ct, options.work, DEMO, options.planted)
        found[name] = [(f"{path.parent.name} {path.stem}", partial(read_column, path)) for path in files]
    return found


def phantoms(cohort: PhantomCohort, split: str) -> list[tuple[str, Load]]:
    """The patients of a split."""
    return [(cohort.fingerprint(case), partial(cohort.column, case)) for case in cohort.cases(split)]


@dataclass(frozen=True)
class Experiment:
    """All of it.

    Attributes:
        work: Folder of everything.
        weights: Of the shipped stage one.
        seeds: Trainings of each network of stage two.
        patients: As `patients_of` gives them; what is no split of the training is a test.
        settings: As `SETTINGS`.
        own: Trainings of networks that are not shipped, by name.
    """

    work: Path
    weights: Path
    seeds: int
    patients: Mapping[str, Sequence[tuple[str, Load]]]
    settings: tuple[str, ...] = SETTINGS
    own: Mapping[str, KeptTraining] = field(default_factory=dict)

    @property
    def tests(self) -> list[str]:
        """Names of the tests."""
        return [name for name in self.patients if name not in ("stage two", "validation")]

    @cached_property
    def networks(self) -> dict[str, Path]:
        """Files of stage one."""
        names = dict.fromkeys(name for one in self.settings for name in row_of(one).segmenters)
        return {
            name: self.own[name].path if name in self.own else self.weights / f"{name}.pt" for name in names
        }

    @cached_property
    def trainings(self) -> tuple[Artifact, ...]:
        """Of the networks of stage one that are not shipped."""
        return tuple(one.artifact(f"network {name}") for name, one in self.own.items())

    @cached_property
    def thresholds(self) -> Artifact:
        """Of each setting for the paper's precision, on the validation patients."""
        asked = self.patients["validation"]
        path = self._path("thresholds", [*self.settings, *(key for key, _ in asked)], ".json")
        loads = [load for _, load in asked]
        rows = {one: row_of(one) for one in self.settings}
        make = partial(measure_thresholds, path, rows, self.networks, loads)
        return Artifact("thresholds", (path,), self.trainings, make, SECONDS["found"] * len(asked), True)

    def found(self, split: str) -> list[Artifact]:
        """Candidates of a split by every setting, in parts."""
        asked = self.patients[split]
        return [self._part(split, asked[start : start + CHUNK]) for start in range(0, len(asked), CHUNK)]

    def sets(self, split: str, setting: str) -> list[Path]:
        """Files of what a setting finds in a split, patient by patient."""
        return [self._set(split, setting, key) for key, _ in self.patients[split]]

    def trained(self, classifier: str, setting: str, seed: int) -> Artifact:
        """A network of stage two."""
        taught = self.sets("stage two", setting)
        path = self._path("trained", [classifier, seed, *(one.name for one in taught)], ".pt")
        make = partial(learn, path, classifier, taught, seed)
        needs = tuple(self.found("stage two"))
        return Artifact(
            f"{classifier} of {setting} seed {seed}", (path,), needs, make, SECONDS[classifier], True
        )

    def wanted(self) -> list[Artifact]:
        """Everything that the report reads."""
        tested = [one for test in self.tests for one in self.found(test)]
        return tested + [
            self.trained(classifier, setting, seed)
            for classifier in CLASSIFIERS_ASKED
            for setting in self.settings
            for seed in range(seeds_of(classifier, self.seeds))
        ]

    def results(self, test: str) -> dict[tuple[str, str], list[list[Scored]]]:
        """By what scores the candidates and by setting: the patients of a test, once for each training."""
        found: dict[tuple[str, str], list[list[Scored]]] = {}
        for scores in (ALONE, *CLASSIFIERS_ASKED):
            for setting in self.settings:
                sets = [load_set(path) for path in self.sets(test, setting)]
                if scores == ALONE:
                    found[scores, setting] = [[one.scored() for one in sets]]
                    continue
                trained = [
                    self.trained(scores, setting, seed).path for seed in range(seeds_of(scores, self.seeds))
                ]
                found[scores, setting] = [
                    scored_patients(load_checkpoint(path), sets, number_format="f32") for path in trained
                ]
        return found

    def _part(self, split: str, asked: Sequence[tuple[str, Load]]) -> Artifact:
        paths = {setting: [self._set(split, setting, key) for key, _ in asked] for setting in self.settings}
        loads = [load for _, load in asked]
        rows = {one: row_of(one) for one in self.settings}
        make = partial(find, paths, rows, self.thresholds.path, self.networks, loads, split == "stage two")
        kept = tuple(path for by in paths.values() for path in by)
        cost = SECONDS["found"] * len(asked)
        return Artifact(f"{split}, {asked[0][0]}", kept, (self.thresholds,), make, cost, True)

    def _set(self, split: str, setting: str, key: str) -> Path:
        return self._path("found", [setting, key, split == "stage two", self.thresholds.path.name], ".npz")

    def _path(self, folder: str, content: Sequence[object], suffix: str) -> Path:
        about = [FORMAT, self._weights, asdict(DEMO), *content]
        name = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
        return self.work / "voices" / folder / f"{name}{suffix}"

    @cached_property
    def _weights(self) -> list[str]:
        """Of shipped networks their content, of others the names of their files, which say all."""
        return [path.stem if name in self.own else sha256_of(path) for name, path in self.networks.items()]


def seeds_of(classifier: str, seeds: int) -> int:
    """How often it is trained: a regression is solved, so once."""
    return 1 if CLASSIFIERS[classifier].network == "numbers" else seeds


def report(test: str, found: Mapping[tuple[str, str], Sequence[Sequence[Scored]]]) -> None:
    """Print the figures of a test, means over trainings, and paired differences from the first setting."""
    patients = next(iter(found.values()))[0]
    weights = resamples(len(patients), DRAWS)
    figures = {line: averaged([froc_figures(one, weights) for one in by]) for line, by in found.items()}
    lines = []
    first = next(setting for _, setting in figures)
    for (scores, setting), values in figures.items():
        base = figures[scores, first]["mFROC"]
        hits = sum(int(one.hits.sum()) for one in found[scores, setting][0])
        false = sum(int((~one.hits).sum()) for one in found[scores, setting][0]) / len(patients)
        each = ", ".join(f"{one:.3f}" for one in values["mFROC"].per_seed)
        told = "" if setting == first else interval(values["mFROC"] - base)
        shown = (interval(one) for one in values.values())
        lines.append((scores, setting, hits, f"{false:.1f}", *shown, each, told))
    nodes = sum(one.n_nodes for one in patients)
    sys.stdout.write(f"\n{test}: {len(patients)} patients, {nodes} nodes\n")
    heads = ("scores", "stage one", "nodes handed over", "false a patient", *next(iter(figures.values())))
    print_table((*heads, "mFROC of each training", "mFROC minus the first's"), lines)


def averaged(seeds: Sequence[Mapping[str, Distribution]]) -> dict[str, Distribution]:
    """Means over trainings, of the cohort and of each resample."""
    return {
        name: Distribution(
            float(np.mean([one[name].value for one in seeds])),
            np.mean([one[name].draws for one in seeds], axis=0),
            np.array([one[name].value for one in seeds]),
        )
        for name in seeds[0]
    }


if __name__ == "__main__":
    sys.exit(main())
