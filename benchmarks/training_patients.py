"""What the patients that a network learns from are worth, on phantoms and on nodes planted into a real CT.

One network of stage one learns from patients of each kind, equally many, by equally many steps.
Each is asked about the same default phantoms and about the same patients planted into LUNG1-001, which no
network learns from. Its threshold is that for precision .10 on the same default validation phantoms. All
planted patients share one CT, and their PET is synthetic: the figures compare kinds, they are none of
patients. With --seeds each network learns several times, and their mean (of the log odds) is asked too. As a
control, the kind CT-of-the-test learns from patients planted into LUNG1-001 itself by other seeds: how far a
network comes that knows the anatomy. What was made is kept in --work, and a stopped run goes on.

    ./benchmarks/run training_patients --data FOLDER --background CT-A.nii.gz CT-B.nii.gz
    ./benchmarks/run training_patients --data FOLDER --kinds default mixed --steps 2400
    ./benchmarks/run training_patients --data FOLDER --background CT-A.nii.gz --also CT-B.nii.gz --seeds 2
    ./benchmarks/run training_patients --data FOLDER --kinds CT-of-the-test --train 240 --steps 3200
    ./benchmarks/run training_patients --data FOLDER --background CT-A.nii.gz --prefilter
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.experiment import WORK
from benchmarks.fusion import froc_figures, interval, print_table
from benchmarks.kept_networks import KeptTraining, made
from benchmarks.planted import FIRST_SEED, as_study, ct_key, read_lung1
from osln.cohorts.phantoms import KINDS, Background, PhantomCohort, cohort_key
from osln.imaging.column_file import load_column, save_column
from osln.imaging.grid import write_volume
from osln.imaging.lung_column import LungColumn, compact, prepare, zone_of
from osln.jobs.processes import Processes
from osln.learning.cores import usable_cores
from osln.metrics.bootstrap import resamples
from osln.metrics.definitions import Counts, operating_thresholds
from osln.metrics.matching import Scored, match
from osln.metrics.sweep import sweep
from osln.phantom.planted.planting import PLANTING, plant
from osln.phantom.planted.real_ct import RealCt
from osln.reproduction.run import make_all
from osln.rows.experiments import SEGMENTERS
from osln.rows.presets import PRESETS, Preset
from osln.stage_one.candidates import find_candidates
from osln.stage_one.inference import Predictor
from osln.stage_one.learned_fusion import log_odds
from osln.stage_one.validation import inside_zone
from osln.weights.checkpoint import Checkpoint

PRECISION = "0.10"
"""Operating point of the candidates: enough of them for 16 false ones per patient."""
DRAWS = 300
PHANTOM_KINDS = ("default", "realistic", "mixed")
WITH_REAL = "mixed-and-real-CTs"
WITH_MORE = "mixed-and-more-real-CTs"
OWN = "CT-of-the-test"
"""A control: it has learned the very anatomy that it is asked about."""
PLANTED = "planted into LUNG1-001"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what was not trained yet, ask, print the tables in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lung1-001")
    parser.add_argument(
        "--background", type=Path, nargs="+", default=[], metavar="CT", help="real CTs to learn from besides"
    )
    parser.add_argument(
        "--also",
        type=Path,
        nargs="+",
        default=[],
        metavar="CT",
        help="real CTs of one more kind besides these",
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=(*PHANTOM_KINDS, WITH_REAL, WITH_MORE, OWN),
        metavar="KIND",
        help="of patients to learn from: %(choices)s (default: all but the control, two with "
        "--background and --also alone)",
    )
    parser.add_argument("--network", choices=SEGMENTERS, default="ef", help="(%(default)s)")
    parser.add_argument("--preset", choices=PRESETS, default="demo", help="(%(default)s)")
    parser.add_argument(
        "--prefilter", action="store_true", help="blur images before they come onto larger voxels, everywhere"
    )
    parser.add_argument("--train", type=int, default=120, help="patients to learn from (%(default)s)")
    parser.add_argument("--validation", type=int, default=30, help="to set the threshold by (%(default)s)")
    parser.add_argument("--test", type=int, default=48, help="test phantoms (%(default)s)")
    parser.add_argument("--planted", type=int, default=30, help="test patients planted (%(default)s)")
    parser.add_argument("--steps", type=int, help="(default: the preset's)")
    parser.add_argument(
        "--at", type=float, metavar="P", help="candidates from this probability on, instead of the threshold"
    )
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each kind (%(default)s)")
    parser.add_argument("--processes", type=int, default=usable_cores(), help="at once (%(default)s)")
    parser.add_argument("--work", type=Path, default=WORK, help="(%(default)s)")
    options = parser.parse_args(arguments)
    preset = preset_of(options)
    options.steps = options.steps or preset.iterations
    for kind, given, option in (
        (WITH_REAL, options.background, "--background"),
        (WITH_MORE, options.also, "--also"),
    ):
        if kind in (options.kinds or ()) and not given:
            parser.error(f"{kind} needs real CTs: give {option}")
    if options.at is not None and not 0 < options.at < 1:
        parser.error("--at is a probability: expected more than 0 and less than 1")
    if min(options.planted, options.test) < 2:
        parser.error("--planted and --test must be at least 2: intervals are over patients")
    trainings = trainings_of(options)
    wanted = [one.artifact(f"{kind} seed {seed}") for (kind, seed), one in trainings.items()]
    failed = make_all(options.work, wanted, Processes(options.processes))
    for name, reason in failed.items():
        sys.stderr.write(f"{name}: {reason}\n")
    learned = made({f"{kind} {seed}": one for (kind, seed), one in trainings.items()})
    asked = {name: [one] for name, one in learned.items()}
    for kind in dict.fromkeys(kind for kind, _ in trainings):
        several = [one for name, one in learned.items() if name.rpartition(" ")[0] == kind]
        if len(several) > 1:
            asked[f"{kind}, mean of {len(several)}"] = several
    cohort = PhantomCohort(options.work, preset, sizes=sizes_of(options))
    tests = {
        "default phantoms": [cohort.column(case) for case in cohort.cases("test")],
        PLANTED: list(planted(options.data, options.work, preset, options.planted)),
    }
    watched = [cohort.column(case) for case in cohort.cases("validation")]
    networks = {name: (one, options.at or threshold(one, watched)) for name, one in asked.items()}
    for title, columns in tests.items():
        report(title, {name: found(*one, columns) for name, one in networks.items()})
    return 1 if failed else 0


def preset_of(options: argparse.Namespace) -> Preset:
    """Size and recipe of every network, and whether patients are prepared with the filter."""
    return replace(PRESETS[options.preset], prefilter=options.prefilter)


def sizes_of(options: argparse.Namespace) -> dict[str, int]:
    """Patients of each split."""
    return {"train": options.train, "validation": options.validation, "test": options.test}


def trainings_of(options: argparse.Namespace) -> dict[tuple[str, int], KeptTraining]:
    """By kind of patients and seed."""
    preset = preset_of(options)
    cohorts = {
        kind: PhantomCohort(options.work, preset, KINDS[kind], sizes_of(options)) for kind in PHANTOM_KINDS
    }
    if options.background:
        real = tuple(Background(path.absolute()) for path in options.background)
        cohorts[WITH_REAL] = replace(cohorts["mixed"], backgrounds=real)
    if options.also:
        more = tuple(Background(path.absolute()) for path in (*options.background, *options.also))
        cohorts[WITH_MORE] = replace(cohorts["mixed"], backgrounds=more)
    if OWN in (options.kinds or ()):
        itself = (Background(ct_of_the_test(options.data, options.work)),)
        cohorts[OWN] = replace(cohorts["default"], backgrounds=itself, planted_every=1)
    return {
        (kind, seed): KeptTraining(cohort, preset, options.network, options.steps, seed)
        for kind, cohort in cohorts.items()
        if kind in (options.kinds or cohorts)
        for seed in range(options.seeds)
    }


def ct_of_the_test(data: Path, work: Path) -> Path:
    """The CT of LUNG1-001 as an image file in the folder that keeps what was made."""
    path = work / "lung1-001.nii.gz"
    if not path.is_file():
        work.mkdir(parents=True, exist_ok=True)
        ct = read_lung1(data).ct
        write_volume(path, ct.array, ct.grid)
    return path


def planted(data: Path, work: Path, preset: Preset, count: int) -> Iterator[LungColumn]:
    """The test patients on a preset's grid, made where there are none yet."""
    for path in planted_files(read_lung1(data), work, preset, count):
        yield load_column(path)[0]


def planted_files(real: RealCt, work: Path, preset: Preset, count: int) -> Iterator[Path]:
    """Files of patients planted into a CT on a preset's grid, made where there are none yet."""
    folder = work / f"columns-{ct_key(real)}-{cohort_key(preset, PLANTING)}"
    for seed in tqdm(range(FIRST_SEED, FIRST_SEED + count), "planted", disable=None):
        path = folder / f"{seed}.npz"
        if not path.is_file():
            save_column(path, compact(prepare(as_study(plant(real, seed)), preset)), {})
        yield path


class Together:
    """Trainings of one network asked together: the mean of their log odds; of one, what it says itself."""

    def __init__(self, checkpoints: Sequence[Checkpoint]) -> None:
        # Single precision: figures should not depend on the processor more than they must.
        self._networks = [Predictor(one, number_format="f32") for one in checkpoints]
        self.zone = SEGMENTERS[checkpoints[0].name].zone

    def probability(self, column: LungColumn) -> np.ndarray:
        """(x, y, z) float32."""
        maps = [one.probability(column) for one in self._networks]
        if len(maps) == 1:
            return maps[0]
        odds = np.exp(np.mean([log_odds(one) for one in maps], axis=0))
        return (odds / (1 + odds)).astype(np.float32)


def threshold(checkpoints: Sequence[Checkpoint], columns: Sequence[LungColumn]) -> float:
    """The one for `PRECISION` on these patients, of trainings that are asked together."""
    asked = Together(checkpoints)
    swept = []
    for column in columns:
        nodes = np.asarray(column.nodes)
        inside = inside_zone(asked.probability(column), nodes, zone_of(column, asked.zone))
        swept.append(sweep(*inside).with_missed(column.nodes_outside(asked.zone)))
    return operating_thresholds(Counts.of(swept))[PRECISION]


def report(title: str, asked: Mapping[str, Sequence[Scored]]) -> None:
    """Print what each network finds in the same patients, and the paired differences from the first one."""
    if not asked:
        return
    patients = len(next(iter(asked.values())))
    weights = resamples(patients, DRAWS)
    figures = {name: froc_figures(pairs, weights) for name, pairs in asked.items()}
    first = next(iter(figures.values()))
    rows = [
        (
            name,
            *(interval(one) for one in values.values()),
            interval(values["mFROC"] - first["mFROC"]) if values is not first else "",
            f"{sum(int(one.hits.sum()) for one in asked[name])} of {sum(one.n_nodes for one in asked[name])}",
            f"{sum(int((~one.hits).sum()) for one in asked[name]) / patients:.1f}",
        )
        for name, values in figures.items()
    ]
    sys.stdout.write(f"\n{title}: {patients} patients\n")
    print_table(("network", *first, "minus the first's", "found at all", "false a patient"), rows)


def found(checkpoints: Sequence[Checkpoint], at: float, columns: Sequence[LungColumn]) -> list[Scored]:
    """Candidates above a threshold with their mean probability; nodes outside the column are missed."""
    asked = Together(checkpoints)
    told = []
    for column in columns:
        candidates, labels = find_candidates(asked.probability(column), at, column)
        scores = np.array([one.score for one in candidates], dtype=float)
        pairs = match(labels, np.asarray(column.nodes), scores).scored()
        told.append(Scored(pairs.scores, pairs.hits, pairs.n_nodes + column.nodes_outside()))
    return told


if __name__ == "__main__":
    sys.exit(main())
