"""What the shipped second stages find on the candidates of the shipped stage one; nothing is trained.

On the test phantoms of the tables, or on phantoms of another kind: mFROC and sensitivity at 2, 4 and 6 false
positives per patient with 95 % intervals over patients, and paired differences. Patients are kept in --work,
where ./scripts/osln tables has them too.

    ./benchmarks/run second_stages --work .osln-measure --out runs/second-stages
    ./benchmarks/run second_stages --work .osln-measure --kind blind --out runs/second-stages-blind
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.candidate_figures import SHOWN, cells, figures, plain
from benchmarks.experiment import experiment_parser, write_report
from osln.cli.engines import positive
from osln.cli.options import SHIPPED
from osln.cli.tables import make_folder
from osln.cohorts.phantoms import KINDS, PhantomCohort
from osln.metrics.bootstrap import Distribution, resamples
from osln.metrics.intervals import plain_interval, setting, table, verdict
from osln.reproduction.cells import figure_cell
from osln.reproduction.run import hardware
from osln.reproduction.shipping import ShippedStages
from osln.rows.experiments import CLASSIFIERS, ROWS
from osln.rows.presets import DEFAULT_PRESET, PRESETS
from osln.stage_two.validation import scored_patients
from osln.weights.checkpoint import load_checkpoint

STAGE_ONE = "stage one"
ASKED = {row.name: row for row in ROWS.values() if row.served and row.classifier}
TITLES = {STAGE_ONE: "stage one's score"} | {
    name: CLASSIFIERS[str(row.classifier)].title for name, row in ASKED.items()
}
QUESTIONS = (
    ("osln", STAGE_ONE),
    ("osln-set-glnet", "osln"),
    ("osln-numbers", STAGE_ONE),
    ("osln-numbers", "osln"),
    ("osln-set-glnet", "osln-numbers"),
)
"""A row, and what it is compared with."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Find the candidates, score them, write the report."""
    options = parsed(arguments)
    command = " ".join(["./benchmarks/run second_stages", *(arguments or sys.argv[1:])])
    try:
        if SHIPPED is None:
            raise ValueError("there is no checkout around this installation: run it in one")
        make_folder(options.out)
        cohort = PhantomCohort(
            options.work, PRESETS[DEFAULT_PRESET], KINDS[options.kind], {"test": options.patients}
        )
        told = setting(command, hardware=hardware(), kind=options.kind) | measured(cohort, SHIPPED)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    write_report(options.out, "second-stages", told, report(told) + "\n")
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = experiment_parser(__doc__)
    parser.add_argument("--kind", choices=KINDS, default="default", help="of phantoms (%(default)s)")
    parser.add_argument("--patients", type=positive, default=96, help="test phantoms (%(default)s)")
    return parser.parse_args(arguments)


def measured(cohort: PhantomCohort, folder: Path) -> dict[str, Any]:
    """Figures of every second stage and the differences asked for, JSON values."""
    shipped = ShippedStages(cohort, cohort.preset, folder)
    weights = resamples(len(cohort.cases("test")))
    found: dict[str, Distribution | Any] = {}
    alone = [one.scored() for one in shipped.candidates(ROWS["osln"], "test")[0]]
    handed = {}
    for name, row in ASKED.items():
        sets, tags = shipped.candidates(row, "test")
        handed[name] = sum(one.n_candidates for one in sets)
        checkpoint = load_checkpoint(folder / f"{row.classifier}.pt")
        found[name] = figures([scored_patients(checkpoint, sets, tags, number_format="f32")], weights)
    found = {STAGE_ONE: figures([alone], weights)} | found
    return {
        "patients": len(alone),
        "nodes": sum(one.n_nodes for one in alone),
        "candidates": {STAGE_ONE: sum(len(one.scores) for one in alone)} | handed,
        "rows": {name: plain(by) for name, by in found.items()},
        "differences": [
            {"row": row, "minus": minus, "mfroc": plain_interval(found[row]["mfroc"] - found[minus]["mfroc"])}
            for row, minus in QUESTIONS
        ],
    }


def report(told: Mapping[str, Any]) -> str:
    """Tables in Markdown."""
    head = f"{told['kind']} phantoms: {told['patients']} patients, {told['nodes']} nodes"
    lines = [["row", "what scores the candidates", "candidates", *SHOWN.values()]]
    for name, by in told["rows"].items():
        row = "" if name == STAGE_ONE else f"`{name}`"
        lines.append([row, TITLES[name], str(told["candidates"][name]), *cells(by)])
    asked = [["difference", "mFROC", "differs from 0"]]
    for one in told["differences"]:
        words = f"{one['row']} - {one['minus']}"
        asked.append([words, figure_cell(one["mfroc"], "+"), verdict(one["mfroc"])])
    return "\n\n".join([head, table(lines), table(asked)])


if __name__ == "__main__":
    sys.exit(main())
