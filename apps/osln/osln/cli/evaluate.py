"""Score anybody's detections against the truth: label maps, marks or bare (score, hit) lists.

maps: folders with one image for each case; marks: centers in mm, with radius or diameter; lists: score and
hit of every prediction.

Definitions, columns and the layout of the JSON: docs/evaluation.md.
"""

import argparse
import json
import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.cli.options import add_json, command, file_to_write, refuse_overwriting, tell
from osln.cli.progress import each
from osln.metrics.criteria import AVERAGINGS, CRITERIA, PAPER, PAPER_AVERAGING

if TYPE_CHECKING:
    from osln.evaluation.figures import ScoredPatients
    from osln.evaluation.report import Report


SCORES = ("scores.csv", "scores.json")
"""Files of scores that lie beside predictions."""


def shared_options() -> argparse.ArgumentParser:
    """What all kinds of predictions have."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--compare", type=Path, help="another set of predictions of the same patients")
    shared.add_argument("--averaging", choices=AVERAGINGS, default=PAPER_AVERAGING.name)
    shared.add_argument(
        "--at", nargs="+", type=float, metavar="FP",
        help="false positives per patient at which the FROC is read, ascending (default: 2 3 4 6)",
    )  # fmt: skip
    shared.add_argument("--threshold", type=float, help="score (default: all predictions)")
    shared.add_argument("--resamples", type=int, help="of the intervals (default: 1000)")
    shared.add_argument("--seed", type=int, default=0, help="of the resamples (default: %(default)s)")
    add_json(shared)
    shared.add_argument("--markdown", type=file_to_write, metavar="FILE", help="write the table")
    shared.add_argument(
        "--curve", type=file_to_write, metavar="FILE", help="write the points of the FROC as CSV"
    )
    return shared


def add_parser(commands: Any) -> None:
    """The options."""
    shared = shared_options()
    hits = argparse.ArgumentParser(add_help=False)
    hits.add_argument("--criterion", choices=CRITERIA, default=PAPER.name, help="when a prediction is a hit")
    hits.add_argument("--ignore", type=Path, help="findings that make a prediction neither true nor false")
    hits.add_argument(
        "--only-common", action="store_true", help="leave out what one side lacks instead of refusing it"
    )

    examples = (
        "maps PREDICTIONS TRUTH --json result.json",
        "marks PREDICTIONS.csv TRUTH.csv --criterion luna16",
        "lists PAIRS.csv NODES.csv",
    )
    parser = command(commands, "evaluate", __doc__, *examples)
    kinds = parser.add_subparsers(dest="kind", required=True)
    maps = kinds.add_parser("maps", parents=[shared, hits], help="folders of label maps or probability maps")
    maps.add_argument("predictions", type=Path)
    maps.add_argument("truth", type=Path)
    maps.add_argument("--scores", type=Path, help="CSV or JSON (default: scores.csv or scores.json beside)")
    maps.add_argument("--probabilities", type=Path, help="folder: the mean inside a prediction is its score")
    maps.add_argument("--level", type=float, help="the predictions are probability maps: cut them here")
    apart = maps.add_mutually_exclusive_group()
    apart.add_argument("--split-truth", action="store_true", help="nodes are the truth's connected parts")
    apart.add_argument(
        "--whole-truth", action="store_true", help="one value is one node, in several parts too"
    )
    maps.add_argument(
        "--whole-predictions", action="store_true",
        help="a prediction map of one value is one prediction, also where it has several parts",
    )  # fmt: skip
    marks = kinds.add_parser("marks", parents=[shared, hits], help="CSV files of centers")
    marks.add_argument("predictions", type=Path)
    marks.add_argument("truth", type=Path)
    marks.add_argument("--patients", type=Path, help="all patients, one a line, also those without marks")
    lists = kinds.add_parser("lists", parents=[shared], help="CSV files of (score, hit) pairs")
    lists.add_argument("predictions", type=Path, help="columns patient, score, hit")
    lists.add_argument("truth", type=Path, help="columns patient, nodes")
    parser.set_defaults(run=run)


def is_input(path: Path) -> bool:
    """Whether a file in a folder is read, or a result of `detect`."""
    from osln.files.images import split_suffix
    from osln.output.writing import read_result

    return bool(
        split_suffix(path)[1] or path.name in SCORES or (path.suffix == ".json" and read_result(path))
    )


def check(options: argparse.Namespace) -> None:
    """Refuses options that do not fit each other.

    Raises:
        ValueError: Says which.
    """
    if options.resamples is not None and options.resamples < 1:
        raise ValueError("--resamples must be at least 1")
    if options.seed < 0:
        raise ValueError("--seed must be at least 0")
    if options.threshold is not None and not math.isfinite(options.threshold):
        raise ValueError("--threshold is not a finite number")
    if options.compare and options.compare.resolve() == options.predictions.resolve():
        raise ValueError("--compare names the same predictions again")
    written = None if options.json in (None, "-") else Path(options.json)
    outputs = [path for path in (written, options.markdown, options.curve) if path is not None]
    for path in outputs:
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder {path.parent} to write {path.name} into")
    named = [options.predictions, options.truth, options.compare]
    named += [getattr(options, name, None) for name in ("ignore", "patients", "scores", "probabilities")]
    given = [path for path in named if path is not None]
    inside = [one for path in given if path.is_dir() for one in path.iterdir() if is_input(one)]
    # Scores that are not there yet would be read as such the next time.
    scores = [options.predictions / name for name in SCORES]
    refuse_overwriting(outputs, [*given, *inside, *scores])
    if options.kind == "maps" and not options.scores:
        for name in SCORES:
            if (options.truth / name).is_file() and not (options.predictions / name).is_file():
                raise ValueError(
                    f"{name} lies in {options.truth}, which is named as the truth: predictions come first "
                    "(evaluate maps PREDICTIONS TRUTH), or take the file away"
                )
    if options.kind == "maps" and options.compare and (options.scores or options.probabilities):
        raise ValueError("with --compare the scores of each set lie beside it as scores.csv or scores.json")


def read(options: argparse.Namespace, predictions: Path) -> "ScoredPatients":
    """The matched cohort of one set of predictions."""
    from osln.evaluation.label_maps import MapFolders, map_cohort
    from osln.evaluation.marks import list_cohort, mark_cohort
    from osln.output.scores import result_scores

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
        options.whole_truth,
        options.whole_predictions,
        options.only_common,
        in_part(options.truth),
        approved(options.truth),
        rejected(predictions),
        failed(predictions),
        mixed(predictions),
        result_scores(predictions),
    )
    return map_cohort(folders, criterion, lambda cases: each(cases, predictions.name))


def store_of(truth: Path) -> Path | None:
    """The store whose approved labels lie in a folder, if they do."""
    folder = truth.resolve()
    return folder.parent.parent if folder.parts[-2:] == ("labels", "final") else None


def in_part(truth: Path) -> list[str]:
    """Cases whose truth is known in part, if the folder is that of the approved labels of a store."""
    from osln.store.approved import approved_cases
    from osln.store.parts import partial_cases

    store = store_of(truth)
    return partial_cases(store, approved_cases(store)) if store else []


def approved(truth: Path) -> dict[str, Path | None]:
    """The maps that tell the nodes of a store's approved labels apart, as training has them.

    Raises:
        ValueError: The newest label of a case does not lie there: the last step of its submission failed.
    """
    from osln.evaluation.label_maps import case_files
    from osln.store.approved import approved_cases
    from osln.store.layout import node_map, one_file
    from osln.store.revisions import label_revisions

    store = store_of(truth)
    if store is None:
        return {}
    # Any data set may have such a folder; a store has the CT, too.
    cases = {case for case in (*case_files(truth), *approved_cases(store)) if one_file(store, case)}
    if former := [case for case in sorted(cases) if label_revisions(store, case, "final").waiting()]:
        raise ValueError(
            f"the newest label of case {former[0]} does not lie in {truth}, since its copy was not put in "
            "place: start the server on the store, which does that, and evaluate again"
        )
    return {case: node_map(store, case) for case in sorted(cases)}


def rejected(predictions: Path) -> dict[str, int]:
    """Values of rejected candidates in the label maps that `detect` has written."""
    from osln.output.label_maps import WITH_REJECTED
    from osln.output.writing import read_result

    results = {path.stem: read_result(path) for path in predictions.glob("*.json")}
    value = WITH_REJECTED["rejected candidate"]
    return {case: value for case, one in results.items() if one.get("made_from", {}).get("with_rejected")}


def mixed(predictions: Path) -> list[str]:
    """A note if the results that `detect` has left in a folder are not all of one row and its weights."""
    from osln.output.writing import read_result

    made = {path.stem: read_result(path).get("made_from") for path in sorted(predictions.glob("*.json"))}
    by: dict[str, list[str]] = {}
    for case, one in made.items():
        if one:
            asked = [one.get(name) for name in ("model", "weights", "tagger", "threshold", "score_threshold")]
            by.setdefault(json.dumps(asked), []).append(case)
    if len(by) < 2:
        return []
    told = "; ".join(
        f"{json.loads(asked)[0]} in {len(cases)} cases ({cases[0]}{', ...' if len(cases) > 1 else ''})"
        for asked, cases in by.items()
    )
    return [f"the predictions were not all made by one row with the same weights and thresholds: {told}"]


def failed(predictions: Path) -> list[str]:
    """Cases in which the last run of `detect` failed, whatever an earlier one has left."""
    from osln.output.writing import FAILED, read_result

    notes = predictions.glob(f"*{FAILED}")
    return [path.name.removesuffix(FAILED) for path in notes if "failed" in read_result(path)]


def patients(options: argparse.Namespace, cases: Collection[str]) -> list[str]:
    """The patient of each case: a store knows who has several, else each is another one."""
    from osln.store.patients import patients_of

    store = store_of(options.truth) if options.kind == "maps" else None
    return list(patients_of(store, cases).values()) if store else list(cases)


def report(options: argparse.Namespace) -> "Report":
    """Evaluates one set or two."""
    from osln.evaluation.figures import ALL_SCORES, assess, refuse_unpaired
    from osln.evaluation.report import Report
    from osln.metrics.bootstrap import DRAWS, resamples
    from osln.metrics.froc import MFROC_FALSE_POSITIVES

    files = [options.predictions, *([options.compare] if options.compare else [])]
    names = [path.resolve().name for path in files]
    if len(set(names)) < len(names):
        names = [str(path) for path in files]
    cohorts = [read(options, path) for path in files]
    for other in cohorts[1:]:
        refuse_unpaired(cohorts[0], other)
    averaging = AVERAGINGS[options.averaging]
    draws = options.resamples or DRAWS
    threshold = ALL_SCORES if options.threshold is None else options.threshold
    for name, cohort in zip(names, cohorts, strict=True):
        highest = max(
            (one.scores.max() for one in cohort.scored.values() if len(one.scores)), default=threshold
        )
        if threshold > highest:
            raise ValueError(
                f"--threshold {threshold:g} leaves no prediction of {name}: the highest score is {highest:g}"
            )
    whose = patients(options, cohorts[0].scored)
    if (number := len(set(whose))) < len(whose):
        note = f"{len(whose)} cases of {number} patients: intervals are over patients, figures over cases"
        cohorts = [replace(one, notes=(*one.notes, note)) for one in cohorts]
    weights = resamples(whose, draws, options.seed)
    sets = {
        name: assess(cohort, weights, threshold, tuple(options.at or MFROC_FALSE_POSITIVES), averaging)
        for name, cohort in zip(names, cohorts, strict=True)
    }
    criterion = CRITERIA[getattr(options, "criterion", PAPER.name)]
    return Report(sets, criterion, averaging, draws, options.seed)


def run(options: argparse.Namespace) -> int:
    """Evaluate, write and show."""
    from osln.evaluation.report import curve_csv
    from osln.files.whole import write_atomically

    check(options)
    made = report(options)
    tell(options, made.text(), made.content())
    if options.markdown is not None:
        write_atomically(options.markdown, made.markdown().encode())
    if options.curve is not None:
        write_atomically(options.curve, curve_csv(made.sets).encode())
    return 0
