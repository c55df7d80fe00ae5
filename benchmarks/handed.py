"""What stage two is best handed: by which fusion of the streams, and at which precision of stage one.

The networks of stage one are those of a run of the tables, kept in its --work: the same options find them.
Each second stage learns anew from what it is handed, and is asked about the run's own test patients, default
phantoms, and patients planted into LUNG1-001 (--data), which no network learns from.
One training each. All planted patients share one CT, and their PET is synthetic.

    ./benchmarks/run handed --kind mixed --background CT-A.nii.gz CT-B.nii.gz --iterations 3200 --data FOLDER
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.experiment import WORK
from benchmarks.fusion import froc_figures, fused_by, interval, print_table
from benchmarks.training_patients import planted
from osln.cli.engines import positive
from osln.cli.options import SHIPPED, add_preset
from osln.cli.tables import cohort_sizes
from osln.cohorts.phantoms import KINDS, PhantomCohort
from osln.imaging.lung_column import LungColumn
from osln.jobs.processes import Processes
from osln.learning.cores import usable_cores
from osln.metrics.bootstrap import Distribution, resamples
from osln.metrics.definitions import operating_thresholds
from osln.metrics.matching import Scored
from osln.reproduction.artifacts import Artifacts
from osln.reproduction.plan import Network, Plan
from osln.reproduction.reading import row_patients
from osln.reproduction.run import make_all, open_cohort
from osln.reproduction.stage_one import read_counts
from osln.rows.experiments import CLASSIFIERS, GATED, LATE_FUSION, OPERATING_POINT, ROWS, Row
from osln.rows.paper import COHORT_SIZES
from osln.rows.presets import PRESETS
from osln.stage_one.candidates import Detections, find_candidates
from osln.stage_one.inference import Predictor
from osln.stage_two.candidate_sets import CandidateSet, candidate_set
from osln.stage_two.validation import scored_patients
from osln.weights.checkpoint import load_checkpoint

FUSIONS = {"max": "lf-stratified", "mean": "lf-mean", "mean of gates": "gated-mean"}
"""Rows of stage one by what a report calls them."""
HANDED = tuple((fusion, at) for fusion in FUSIONS for at in (OPERATING_POINT, "0.10"))
WITHOUT_TAGS = tuple(
    name for name, one in CLASSIFIERS.items() if not one.tags and one.network != "quality-glnet"
)
DRAWS = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what was not trained yet, ask, print the tables in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder that holds lung1-001; no planted ones without")
    parser.add_argument("--classifiers", nargs="+", choices=WITHOUT_TAGS, default=["set-glnet", "numbers"])
    parser.add_argument("--kind", choices=KINDS, default="default", help="of phantoms (%(default)s)")
    parser.add_argument(
        "--background", type=Path, nargs="+", default=[], metavar="CT", help="real CTs to learn from besides"
    )
    add_preset(parser)
    parser.add_argument("--phantoms", type=cohort_sizes, metavar="N,N,N,N", help="(default: the preset's)")
    parser.add_argument("--iterations", type=positive, help="(default: the preset's)")
    parser.add_argument("--planted", type=positive, default=30, help="test patients planted (%(default)s)")
    parser.add_argument("--work", type=Path, default=WORK, help="(%(default)s)")
    parser.add_argument("--processes", type=positive, default=usable_cores(), help="(%(default)s)")
    options = parser.parse_args(arguments)
    if SHIPPED is None:
        parser.error("there is no checkout around this installation: run it in one")
    preset = PRESETS[options.preset]
    preset = replace(preset, iterations=options.iterations or preset.iterations)
    sizes = options.phantoms or COHORT_SIZES[preset.name]
    background = [path.absolute() for path in options.background]
    cohort = open_cohort("phantom", options.work, preset, sizes, options.kind, background)
    plan = Plan(options.work, cohort, preset, ("served",), 1, SHIPPED / "lesanet.safetensors")
    artifacts, rows = Artifacts(plan), rows_of(options.classifiers)
    wanted = [one for row in rows.values() for one in artifacts.of(row)]
    failed = make_all(options.work, wanted, Processes(options.processes))
    for name, reason in failed.items():
        sys.stderr.write(f"{name}: {reason}\n")
    if failed:
        return 1
    report("test patients of the run", rows, {name: own(artifacts, row) for name, row in rows.items()})
    phantoms = PhantomCohort(options.work, preset, sizes={"test": len(cohort.cases("test"))})
    report("default phantoms", rows, asked(artifacts, rows, map(phantoms.column, phantoms.cases("test"))))
    if options.data:
        columns = planted(options.data, options.work, preset, options.planted)
        report("planted into LUNG1-001", rows, asked(artifacts, rows, columns))
    return 0


def rows_of(classifiers: Sequence[str]) -> dict[str, Row]:
    """By what a report calls them; the paper's way of handing over first."""
    return {
        f"{name}, {fusion} at {at}": ROWS[FUSIONS[fusion]].changed(classifier=name, handed_at=at)
        for name in classifiers
        for fusion, at in HANDED
    }


def own(artifacts: Artifacts, row: Row) -> list[Scored]:
    """What a row finds in the test patients of the run."""
    return row_patients(artifacts, row, 0, "test")


def asked(
    artifacts: Artifacts, rows: Mapping[str, Row], columns: Iterator[LungColumn]
) -> dict[str, list[Scored]]:
    """What the rows find in other patients, by their names."""
    networks = {name: artifacts.training(Network(name, 1, 0, ())).path for name in (*LATE_FUSION, *GATED)}
    predictors = {
        name: Predictor(load_checkpoint(path), number_format="f32") for name, path in networks.items()
    }
    settings = dict.fromkeys(row.setting for row in rows.values())
    thresholds = {
        setting: setting.handed(
            operating_thresholds(read_counts(artifacts.counts(setting, 0).path, "validation"))
        )
        for setting in settings
    }
    sets: dict[Row, list[CandidateSet]] = {setting: [] for setting in settings}
    for column in columns:
        maps = {name: predictor.probability(column) for name, predictor in predictors.items()}
        for setting, at in thresholds.items():
            prob = fused_by(setting, maps, column)
            candidates, labels = find_candidates(prob, at, column)
            found = Detections(setting.key, at, candidates, labels, prob, column, {})
            sets[setting].append(candidate_set(found, artifacts.plan.preset.stage_two, add_nodes=False))
    return {
        name: scored_patients(
            load_checkpoint(artifacts.classifier(row, 0).path), sets[row.setting], None, number_format="f32"
        )
        for name, row in rows.items()
    }


def report(title: str, rows: Mapping[str, Row], found: Mapping[str, Sequence[Scored]]) -> None:
    """Print what each row finds, and the paired differences from its classifier's first."""
    patients = next(iter(found.values()))
    weights = resamples(len(patients), DRAWS)
    figures: dict[str, dict[str, Distribution]] = {
        name: froc_figures(scored, weights) for name, scored in found.items()
    }
    nodes = sum(one.n_nodes for one in patients)
    sys.stdout.write(f"\n{title}: {len(patients)} patients, {nodes} nodes\n")
    first: dict[str | None, dict[str, Distribution]] = {}
    lines = []
    for name, values in figures.items():
        base = first.setdefault(rows[name].classifier, values)
        hits = sum(int(one.hits.sum()) for one in found[name])
        false = sum(int((~one.hits).sum()) for one in found[name]) / len(patients)
        told = "" if base is values else interval(values["mFROC"] - base["mFROC"])
        lines.append((name, hits, f"{false:.1f}", *(interval(one) for one in values.values()), told))
    heads = (
        "second stage, fusion at precision",
        "nodes handed over",
        "false a patient",
        *next(iter(figures.values())),
    )
    print_table((*heads, "mFROC minus the first's"), lines)


if __name__ == "__main__":
    sys.exit(main())
