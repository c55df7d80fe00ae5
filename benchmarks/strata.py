"""Does stratification help where it can: on phantoms that cannot be solved without the distance to the tumor.

First counts whether the cohort asks for the zone rule at all. Then trains and measures the rows of Table 1b
with their controls of equally many training steps, twice the steps and the maximum of two copies, and single
networks with a head for each zone or for each of four soft strata of the distance, and gives mRecall in two
bands of precision with intervals and paired differences. What is made is kept in --work beside
what ./scripts/osln tables keeps; the same command goes on where it was stopped (docs/results-strata.md).

    ./benchmarks/run strata --work .osln-measure --out runs/strata
    ./benchmarks/run strata --kind default --count-only --out runs/strata-default
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiment import experiment_parser, make_or_stop, write_report
from benchmarks.strata_need import BANDS, needs
from osln.cli.engines import add_engine, make_absolute, positive
from osln.cli.options import SHIPPED_TAGGER, add_preset
from osln.cli.tables import cohort_sizes, make_folder
from osln.cohorts.phantoms import KINDS
from osln.files.arrays import write_json
from osln.jobs.artifact import Artifact
from osln.jobs.worker import tell
from osln.learning.cores import usable_cores
from osln.metrics.bootstrap import Distribution, distribution, resamples
from osln.metrics.definitions import Counts, macro_curves, mean_recall
from osln.metrics.intervals import plain_interval, setting, table, verdict
from osln.phantom import GENERATOR_VERSION, PhantomParameters, make_phantom
from osln.reproduction.artifacts import Artifacts
from osln.reproduction.cells import figure_cell
from osln.reproduction.figures import MapResult
from osln.reproduction.plan import Plan
from osln.reproduction.reading import read_result
from osln.reproduction.run import PHANTOM, hardware, open_cohort
from osln.rows.experiments import PRESETS, ROWS, Row
from osln.rows.paper import COHORT_SIZES, CohortSizes

FORMAT = 1
"""Of the counts; another one makes them anew."""
COUNTED_FROM = 3000
"""First seed of the phantoms that are counted; no split has them."""
STREAMS = ("ct", "ef", "lf")
SHARED = {"train": 120, "validation": 30, "test": 96, "stage_two": 1}
"""Patients with the demo preset; nobody asks for those of stage two."""


def rows_of_stream(stream: str) -> dict[str, Row]:
    """Titles and rows: without and with stratification, then the controls of equally many steps."""
    plain, name = ROWS[stream], stream.upper()
    return {
        f"{name}, without stratification": plain,
        f"{name}, with stratification": ROWS[f"{stream}-stratified"],
        f"{name}, without, twice the training steps": plain.changed(length=2),
        f"{name}, without, maximum of two trainings": plain.changed(copies=2),
    }


LINES = {title: row for stream in STREAMS for title, row in rows_of_stream(stream).items()} | {
    "EF, one network, two heads by a soft gate": ROWS["gated-soft"],
    "EF, one network, four heads by soft strata": ROWS["gated-strata"],
}


def asked() -> list[tuple[str, Row, Row]]:
    """Question, row, and what is subtracted."""
    found = []
    for stream in STREAMS:
        plain, stratified, longer, copies = rows_of_stream(stream).values()
        found += [
            (f"Does stratification help {stream.upper()}?", stratified, plain),
            ("... against twice the steps?", stratified, longer),
            ("... against the maximum of two?", stratified, copies),
        ]
    found.append(("Does late fusion beat CT, stratified?", ROWS["lf-stratified"], ROWS["ct-stratified"]))
    found.append(("Does late fusion beat EF, stratified?", ROWS["lf-stratified"], ROWS["ef-stratified"]))
    soft, strata = ROWS["gated-soft"], ROWS["gated-strata"]
    return [
        *found,
        ("Do two heads help EF?", soft, ROWS["ef"]),
        ("Are two heads as good as two networks?", soft, ROWS["ef-stratified"]),
        ("Do four strata help EF?", strata, ROWS["ef"]),
        ("Are four strata more than two zones?", strata, soft),
        ("... than two networks?", strata, ROWS["ef-stratified"]),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, train what is missing, write the report."""
    options = parsed(arguments)
    make_absolute(options)
    command = " ".join(["./benchmarks/run strata", *(arguments or sys.argv[1:])])
    try:
        for folder in (options.work, options.out):
            make_folder(folder)
        told = setting(command, hardware=hardware(), kind=options.kind) | {"need": counted(options)}
        if not options.count_only:
            told |= measured(options)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    write_report(options.out, "strata", told, report(told))
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = experiment_parser(__doc__)
    add_preset(parser)
    kinds = [name for name, of in KINDS.items() if len(of) == 1]
    parser.add_argument("--kind", choices=kinds, default="zoned", help="of phantoms (%(default)s)")
    parser.add_argument("--patients", type=cohort_sizes, metavar="N,N,N,N", help="as --phantoms of tables")
    parser.add_argument("--seeds", type=positive, default=2, help="trainings of each row (%(default)s)")
    parser.add_argument("--iterations", type=positive, help="steps of a network (default: the preset's)")
    parser.add_argument("--count", type=positive, default=60, help="phantoms counted (%(default)s)")
    parser.add_argument("--count-only", action="store_true", help="count, and train nothing")
    add_engine(parser, usable_cores())
    return parser.parse_args(arguments)


def counted(options: argparse.Namespace) -> dict[str, float]:
    """What the cohort asks for, read if it was counted before."""
    (parameters,) = KINDS[options.kind]
    content = json.dumps([FORMAT, GENERATOR_VERSION, asdict(parameters), options.count], default=str)
    name = hashlib.sha256(content.encode()).hexdigest()[:12]
    path = options.work / "strata" / f"need-{options.kind}-{name}.json"
    seeds = range(COUNTED_FROM, COUNTED_FROM + options.count)
    one = Artifact(
        f"counts of {options.kind} phantoms",
        (path,),
        (),
        partial(count, parameters, seeds, path),
        1.0 * len(seeds),
    )
    make_or_stop(options, [one])
    return dict(json.loads(path.read_text()))


def count(parameters: PhantomParameters, seeds: Sequence[int], path: Path) -> None:
    """Keep `needs` of the phantoms of these seeds."""
    patients = []
    for number, seed in enumerate(seeds, start=1):
        patients.append(make_phantom(seed, parameters=parameters).findings)
        tell(number / len(seeds))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, needs(patients, parameters))


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Makes what is missing; figures and differences as JSON values."""
    preset = PRESETS[options.preset]
    preset = replace(preset, iterations=options.iterations or preset.iterations)
    usual = CohortSizes(**SHARED) if preset.name == "demo" else COHORT_SIZES[preset.name]
    sizes = options.patients or usual
    cohort = open_cohort(PHANTOM, options.work, preset, sizes, options.kind)
    plan = Plan(options.work, cohort, preset, (), options.seeds, SHIPPED_TAGGER or Path())
    artifacts = Artifacts(plan)
    wanted = [one for row in LINES.values() for one in artifacts.of(row)]
    make_or_stop(options, wanted)
    results = {row: read_result(artifacts, row) for row in LINES.values()}
    weights = resamples(sizes.test)
    found = {row: figures(one, weights) for row, one in results.items() if isinstance(one, MapResult)}
    return {
        "sizes": {name: sizes.of(name) for name in ("train", "validation", "test")},
        "trained": {"seeds": plan.seeds, "steps of a network": preset.iterations},
        "lines": [
            {
                "title": title,
                "row": row.key,
                "units": row.units,
                "figures": {name: plain_interval(one) for name, one in found[row].items()},
                "highest precision": [highest_precision(one) for one in results[row].test],
            }
            for title, row in LINES.items()
        ],
        "questions": [
            {
                "question": words,
                "difference": f"{row.key} - {minus.key}",
                "figures": {name: plain_interval(found[row][name] - found[minus][name]) for name in BANDS},
            }
            for words, row, minus in asked()
        ],
    }


def figures(result: MapResult, weights: np.ndarray) -> dict[str, Distribution]:
    """mRecall in both bands on the test patients."""
    return {
        name: distribution(result.test, partial(mean_recall, precisions=band), weights)
        for name, band in BANDS.items()
    }


def highest_precision(counts: Counts) -> float:
    """At any threshold; beyond it recall counts as 0."""
    return float(np.nanmax(macro_curves(counts)[1]))


def report(told: Mapping[str, Any]) -> str:
    """All tables in Markdown."""
    need = [
        [f"{told['kind']} phantoms", ""],
        *([name, f"{value:.2f}"] for name, value in told["need"].items()),
    ]
    parts = [table(need)]
    if "lines" in told:
        lines = [["", *BANDS, "highest precision", "training steps"]]
        for one in told["lines"]:
            cells = [figure_cell(one["figures"][name]) for name in BANDS]
            highest = " ".join(f"{value:.2f}" for value in one["highest precision"])
            lines.append([one["title"], *cells, highest, f"x {one['units']}"])
        questions = [
            ["question", "difference", *(part for name in BANDS for part in (name, "differs from 0"))]
        ]
        for one in told["questions"]:
            pairs = [(figure_cell(one["figures"][n], "+"), verdict(one["figures"][n])) for n in BANDS]
            questions.append([one["question"], one["difference"], *(cell for pair in pairs for cell in pair)])
        parts += [table(lines), table(questions)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
