"""Scores anybody's detections against the truth: label maps, marks or bare (score, hit) lists.

    ./scripts/osln evaluate maps  PREDICTIONS TRUTH            folders with one image for each case
    ./scripts/osln evaluate marks PREDICTIONS.csv TRUTH.csv    centers in mm, with radius or diameter
    ./scripts/osln evaluate lists PAIRS.csv NODES.csv          score and hit of every prediction

Definitions, columns and the layout of the JSON: docs/evaluation.md.
"""

import argparse
import json
import math
import sys
from pathlib import Path

from osln.evaluation.figures import ALL_SCORES, ScoredPatients, assess, refuse_unpaired
from osln.evaluation.label_maps import MapFolders, map_cohort
from osln.evaluation.marks import list_cohort, mark_cohort
from osln.evaluation.report import Report, curve_csv
from osln.files.images import write_atomically
from osln.metrics.bootstrap import DRAWS, resamples
from osln.metrics.criteria import AVERAGINGS, CRITERIA, PAPER, PAPER_AVERAGING
from osln.metrics.froc import MFROC_FALSE_POSITIVES


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--compare", type=Path, help="another set of predictions of the same patients")
    shared.add_argument("--averaging", choices=AVERAGINGS, default=PAPER_AVERAGING.name)
    shared.add_argument(
        "--at", nargs="+", type=float, default=MFROC_FALSE_POSITIVES, metavar="FP",
        help="false positives per patient at which the FROC is read, ascending (default: 2 3 4 6)",
    )  # fmt: skip
    shared.add_argument(
        "--threshold", type=float, default=ALL_SCORES, help="score (default: all predictions)"
    )
    shared.add_argument(
        "--resamples", type=int, default=DRAWS, help="of the intervals (default: %(default)s)"
    )
    shared.add_argument("--seed", type=int, default=0, help="of the resamples (default: %(default)s)")
    shared.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    shared.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    shared.add_argument("--curve", type=Path, metavar="FILE", help="write the points of the FROC as CSV")
    hits = argparse.ArgumentParser(add_help=False)
    hits.add_argument("--criterion", choices=CRITERIA, default=PAPER.name, help="when a prediction is a hit")
    hits.add_argument("--ignore", type=Path, help="findings that make a prediction neither true nor false")
    hits.add_argument(
        "--only-common", action="store_true", help="leave out what one side lacks instead of refusing it"
    )

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    maps = kinds.add_parser("maps", parents=[shared, hits], help="folders of label maps or probability maps")
    maps.add_argument("predictions", type=Path)
    maps.add_argument("truth", type=Path)
    maps.add_argument("--scores", type=Path, help="CSV or JSON (default: scores.csv or scores.json beside)")
    maps.add_argument("--probabilities", type=Path, help="folder: the mean inside a prediction is its score")
    maps.add_argument("--level", type=float, help="the predictions are probability maps: cut them here")
    maps.add_argument("--split-truth", action="store_true", help="nodes are the truth's connected parts")
    marks = kinds.add_parser("marks", parents=[shared, hits], help="CSV files of centers")
    marks.add_argument("predictions", type=Path)
    marks.add_argument("truth", type=Path)
    marks.add_argument("--patients", type=Path, help="all patients, one a line, also those without marks")
    lists = kinds.add_parser("lists", parents=[shared], help="CSV files of (score, hit) pairs")
    lists.add_argument("predictions", type=Path, help="columns patient, score, hit")
    lists.add_argument("truth", type=Path, help="columns patient, nodes")
    options = parser.parse_args(arguments)
    if options.resamples < 1:
        parser.error("--resamples must be at least 1")
    if options.seed < 0:
        parser.error("--seed must be at least 0")
    if not math.isfinite(options.threshold) and options.threshold != ALL_SCORES:
        parser.error("--threshold is not a finite number")
    if options.compare and options.compare.resolve() == options.predictions.resolve():
        parser.error("--compare names the same predictions again")
    for path in (options.json, options.markdown, options.curve):
        if path is not None and not path.parent.is_dir():
            parser.error(f"there is no folder {path.parent} to write {path.name} into")
    if options.kind == "maps" and options.compare and (options.scores or options.probabilities):
        parser.error("with --compare the scores of each set lie beside it as scores.csv or scores.json")
    return options


def read(options: argparse.Namespace, predictions: Path) -> ScoredPatients:
    """The matched cohort of one set of predictions."""
    if options.kind == "lists":
        return list_cohort(predictions, options.truth)
    criterion = CRITERIA[options.criterion]
    if options.kind == "marks":
        return mark_cohort(
            predictions, options.truth, criterion, options.ignore, options.patients, options.only_common
        )
    folders = MapFolders(
        predictions,
        options.truth,
        options.scores,
        options.probabilities,
        options.level,
        options.ignore,
        options.split_truth,
        options.only_common,
    )
    return map_cohort(folders, criterion)


def report(options: argparse.Namespace) -> Report:
    """Evaluates one set or two."""
    files = [options.predictions, *([options.compare] if options.compare else [])]
    names = [path.resolve().name for path in files]
    if len(set(names)) < len(names):
        names = [str(path) for path in files]
    cohorts = [read(options, path) for path in files]
    for other in cohorts[1:]:
        refuse_unpaired(cohorts[0], other)
    averaging = AVERAGINGS[options.averaging]
    weights = resamples(len(cohorts[0].scored), options.resamples, options.seed)
    sets = {
        name: assess(cohort, weights, options.threshold, tuple(options.at), averaging)
        for name, cohort in zip(names, cohorts, strict=True)
    }
    criterion = CRITERIA[getattr(options, "criterion", PAPER.name)]
    return Report(sets, criterion, averaging, options.resamples, options.seed)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; exit status 1 with words where it cannot work."""
    options = parse(arguments)
    try:
        made = report(options)
        sys.stdout.write(made.text())
        for path, content in (
            (options.json, lambda: json.dumps(made.content(), indent=1) + "\n"),
            (options.markdown, made.markdown),
            (options.curve, lambda: curve_csv(made.sets)),
        ):
            if path is not None:
                write_atomically(path, content().encode())
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
