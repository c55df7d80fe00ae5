"""What tags are worth on finer voxels: taggers that learned on the networks' voxels and on a scanner's.

On the candidates that the shipped stage one finds in phantoms, "tag" and "glnet" learn from the tags of the
shipped tagger, of one that learned in the same way on a CT of 1 x 1 x 2 mm, and from the true tags of the
phantom, and are asked about other patients; beside them the patch without tags. Each phantom is imaged on the
networks' grid and on the finer one (docs/results-tags.md). What is made is kept in --work, and the same
command goes on where it was stopped.

    ./benchmarks/run tags --work .osln-measure --out runs/tags
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.candidate_figures import SHOWN, cells
from benchmarks.experiment import experiment_parser, make_or_stop, write_report
from benchmarks.tags_plan import CLASSIFIERS_ASKED, FIRST, LINES, SIZES, TAUGHT, Experiment, base
from osln.cli.engines import add_engine, make_absolute, positive
from osln.cli.options import SHIPPED, SHIPPED_TAGGER
from osln.cli.tables import make_folder
from osln.learning.cores import usable_cores
from osln.metrics.intervals import setting, table, verdict
from osln.reproduction.cells import figure_cell
from osln.reproduction.run import hardware
from osln.rows.experiments import OPERATING_POINT
from osln.simulation.cases import StageOne


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is missing, write the report."""
    options = parsed(arguments)
    make_absolute(options)
    command = " ".join(["./benchmarks/run tags", *(arguments or sys.argv[1:])])
    try:
        if SHIPPED is None or SHIPPED_TAGGER is None:
            raise ValueError("there is no checkout around this installation: run it in one")
        for folder in (options.work, options.out):
            make_folder(folder)
        experiment = Experiment(
            options.work,
            dict(zip(SIZES, options.sizes, strict=True)),
            options.seeds,
            tuple(dict.fromkeys(("shipped", *options.taggers))),
            StageOne.shipped(SHIPPED, (OPERATING_POINT,)),
            SHIPPED_TAGGER,
        )
        make_or_stop(options, experiment.wanted(), SHIPPED)
        told = setting(command, hardware=hardware(), seeds=options.seeds) | experiment.results()
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    write_report(options.out, "tags", told, report(told) + "\n")
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = experiment_parser(__doc__)
    parser.add_argument(
        "--sizes",
        type=positive,
        nargs=len(SIZES),
        default=tuple(SIZES.values()),
        metavar="N",
        help="patients: " + ", ".join(f"{name} ({count})" for name, count in SIZES.items()),
    )
    parser.add_argument("--seeds", type=positive, default=3, help="trainings of each network (%(default)s)")
    parser.add_argument(
        "--taggers",
        nargs="+",
        choices=TAUGHT,
        default=("shipped", "fine"),
        metavar="NAME",
        help=f"of {', '.join(TAUGHT)} (default: shipped fine); shipped is what the others are compared with",
    )
    add_engine(parser, usable_cores())
    return parser.parse_args(arguments)


def report(told: Mapping[str, Any]) -> str:
    """Tables in Markdown."""
    head = f"{told['patients']} test patients, {told['nodes']} nodes, {told['candidates']} candidates; "
    head += f"mFROC of stage one alone {figure_cell(told['stage one']['mfroc'])}"
    known = [["tagger", *next(iter(told["taggers"].values()))]]
    for name, areas in told["taggers"].items():
        known.append([name, *("-" if area is None else f"{area:.3f}" for area in areas.values())])
    parts = [
        head,
        "Mean AUC of the tags on other phantoms, on the voxels that the tagger learned on:",
        table(known),
    ]
    for classifier in CLASSIFIERS_ASKED:
        lines = [[f"`{classifier}`", *SHOWN.values(), "mFROC, difference to the first", "differs from 0"]]
        for one in told["lines"]:
            if base(one["classifier"])[0] == classifier:
                line, minus = tuple(one["line"]), one["minus"]["mfroc"]
                apart = ["", ""] if line == FIRST else [figure_cell(minus, "+"), verdict(minus)]
                lines.append([LINES[line], *cells(one["figures"]), *apart])
        parts.append(table(lines))
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
