"""Find lymph nodes without a server in image files, stores or DICOM studies: docs/detect.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.cli.engines import add_engine, add_parts, engine_of, make_absolute
from osln.cli.options import add_models, add_out, command
from osln.rows.experiments import DEFAULT_ROW, ROWS

if TYPE_CHECKING:
    from tqdm import tqdm

    from osln.output.cases import Case
    from osln.output.running import Outcome
    from osln.output.spread import Networks
    from osln.output.writing import Wanted
    from osln.pipeline import Pipeline

NONE = "-"
EXAMPLES = (
    "ct.nii.gz pet.nii.gz tumor.nii.gz -o nodes",
    "ct.nii.gz - tumor.nii.gz -o nodes --model ct-stratified",
    "sample-datastore -o nodes --cases phantom-02 --overview",
    "dicom/ -o nodes --seg --rtstruct",
)


def add_parser(commands: Any) -> None:
    """The options."""
    parser = command(commands, "detect", __doc__, *EXAMPLES)
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT",
        help="CT PET TUMOR of one case ('-' for one that there is not), or stores, or folders of DICOM files",
    )  # fmt: skip
    add_out(parser, "folder to write")
    parser.add_argument("--cases", nargs="+", default=[], metavar="CASE", help="only these cases")
    served = [name for name, row in ROWS.items() if row.served]
    parser.add_argument(
        "--model", choices=ROWS, default=DEFAULT_ROW, metavar="ROW",
        help=f"one of {', '.join(served)} (default: {DEFAULT_ROW})",
    )  # fmt: skip
    add_models(parser)
    parser.add_argument("--tagger", type=Path, metavar="FILE", help="LesaNet's weights (default: shipped)")
    parser.add_argument("--device", help="cpu, cuda or cuda:N (default: the GPU if there is one)")
    point = parser.add_mutually_exclusive_group()
    point.add_argument(
        "--false-positives-per-patient", metavar="N", help="operating point of stage two (default: 3)"
    )
    point.add_argument("--score", type=float, help="keep candidates from this score of stage two on")
    point.add_argument("--precision", metavar="P", help="operating point of rows without stage two")
    files = parser.add_argument_group("what is written")
    files.add_argument(
        "--extension", default=".nii.gz", metavar="SUFFIX",
        help="of the label map: .nii.gz, .nii, .nrrd or .seg.nrrd",
    )  # fmt: skip
    values = files.add_mutually_exclusive_group()
    values.add_argument("--show-rejected", action="store_true", help="rejected candidates as value 2")
    values.add_argument(
        "--every-candidate", action="store_true",
        help="each candidate, rejected or not, as a value of its own, and scores.json: what evaluate reads",
    )  # fmt: skip
    files.add_argument("--seg", action="store_true", help="DICOM SEG too")
    files.add_argument("--rtstruct", action="store_true", help="DICOM RTSTRUCT too")
    files.add_argument(
        "--ct-dicom", type=Path, metavar="FOLDER", help="DICOM of the CTs, for image files and stores"
    )
    files.add_argument("--pictures", action="store_true", help="a PNG of each case")
    files.add_argument("--overview", action="store_true", help="index.html of all cases, with pictures")
    dicom = parser.add_argument_group("DICOM studies")
    dicom.add_argument("--roi", action="append", default=[], metavar="NAME=KIND", help="as in import")
    dicom.add_argument("--roi-rules", type=Path, metavar="FILE", help="as in import")
    dicom.add_argument("--keep-identity", action="store_true", help="call cases by patient id")
    many = parser.add_argument_group("many cases")
    add_parts(many)
    add_engine(many, None)
    many.add_argument("--overwrite", action="store_true", help="do finished cases again")
    many.add_argument("--json", action="store_true", help="print what became of the cases as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Detects; 1 if any case failed."""
    from tqdm import tqdm

    from osln.jobs.memory import few_heaps
    from osln.output.running import run_cases
    from osln.output.scores import check_scores
    from osln.output.writing import Wanted
    from osln.weights.devices import devices

    few_heaps()
    make_absolute(options)
    options.goes_on = not options.overwrite
    forms = tuple(form for form in ("seg", "rtstruct") if getattr(options, form))
    pictures = options.pictures or options.overview
    wanted = Wanted(
        options.out, options.extension, options.show_rejected, forms, pictures, options.every_candidate
    )
    with ExitStack() as stack, tqdm(unit="case", disable=None) as bar:
        options.inputs = [one if one == NONE else str(Path(one).absolute()) for one in options.inputs]
        cases = _cases(options, stack, bar)
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"{options.out} cannot be made: {error.strerror}") from error
        if wanted.every:
            check_scores(wanted.out)
        bar.set_description_str("loading networks")
        networks = _networks(options)
        spread = options.cluster is not None or options.processes is not None
        # Also where workers load it again: what cannot be loaded is refused before any is started.
        pipeline = networks.load("cpu" if spread else devices(options.device)[0])

        def tell(words: str, share: float) -> None:
            bar.set_description_str(words)

        if spread:
            outcomes = _spread(options, cases, networks, wanted)
        else:
            outcomes = run_cases(cases, pipeline, wanted, overwrite=options.overwrite, tell=tell)
        return _run(options, outcomes, len(cases), pipeline, wanted, bar)


def _cases(options: argparse.Namespace, stack: ExitStack, bar: tqdm) -> list[Case]:
    """The cases of this part; refuses a folder for results that would mix them with the images."""
    from osln.dicom.intake.roi_names import load_rules
    from osln.output.cases import ImageCase
    from osln.output.inputs import Reading, chosen_cases, find_cases, part_of
    from osln.store.layout import store_around

    reading = Reading(
        ROWS[options.model],
        load_rules(options.roi_rules, options.roi),
        options.keep_identity,
        options.ct_dicom,
    )

    def progress(words: str, done: int, total: int) -> None:
        bar.set_description_str(f"{words} {done}/{total}")

    cases = chosen_cases(find_cases(options.inputs, reading, stack, progress), options.cases)
    images = [case.name for case in cases if isinstance(case, ImageCase)]
    if images and options.ct_dicom is None and (options.seg or options.rtstruct):
        raise ValueError(
            "--seg and --rtstruct refer to the DICOM images of the CT, which image files and stores, "
            f"imported ones too, do not have ({len(images)} of {len(cases)} cases: {', '.join(images[:3])}): "
            "say where they are with --ct-dicom FOLDER, or give the DICOM studies in place of the store"
        )
    if any(case.lies_in(options.out) for case in cases):
        raise ValueError(f"the results would lie among the images in {options.out}: choose another folder")
    if store := store_around(options.out):
        raise ValueError(
            f"the results would lie in {store}, among the labels of its cases: choose a folder outside it"
        )
    if options.cluster is not None and any(Path(one).suffix.lower() == ".zip" for one in options.inputs):
        raise ValueError(
            "the other computers of a cluster do not see an unpacked archive: unpack it yourself"
        )
    return part_of(cases, *options.parts)


def _networks(options: argparse.Namespace) -> Networks:
    from osln.output.spread import Networks
    from osln.pipeline import PRECISION
    from osln.stage_two.points import POINT_UNIT

    point = None
    if options.false_positives_per_patient is not None:
        point = f"{options.false_positives_per_patient}{POINT_UNIT}"
    elif options.precision is not None:
        point = f"{PRECISION}{options.precision}"
    elif options.score is not None and not 0 < options.score <= 1:
        raise ValueError(f"--score lies above 0 and up to 1, not {options.score:g}")
    return Networks(options.models, options.model, point, options.score or 0.0, options.tagger)


def _spread(
    options: argparse.Namespace, cases: Sequence[Case], networks: Networks, wanted: Wanted
) -> Iterator[Outcome]:
    """Outcomes of cases that workers have done, by name, when all are done."""
    from osln.jobs.run import run_jobs
    from osln.output.spread import case_artifacts

    if options.device is not None:
        raise ValueError("--device is for one process: workers take the GPUs that there are, else the CPU")
    named = [one for one in (options.tagger, options.ct_dicom) if one]
    shared = [options.out, options.models, *named, *(Path(one) for one in options.inputs if one != NONE)]
    found: list[Outcome] = []
    artifacts = case_artifacts(cases, networks, wanted, overwrite=options.overwrite)
    failures = run_jobs(artifacts, engine_of(options, shared), lambda name, made: found.append(made.value))
    for failure in failures.values():
        raise failure
    yield from sorted(found, key=lambda outcome: outcome.case)


def _run(
    options: argparse.Namespace,
    coming: Iterable[Outcome],
    count: int,
    pipeline: Pipeline,
    wanted: Wanted,
    bar: tqdm,
) -> int:
    """Tells what becomes of the cases; 1 if any failed."""
    from osln.output.overview import write_overview
    from osln.output.running import DONE, FAILED

    def say(line: str) -> None:
        bar.write(line, file=sys.stderr if options.json else sys.stdout)

    for warning in pipeline.warnings:
        say(f"note: {warning}")
    bar.reset(total=count)
    outcomes = []
    for outcome in coming:
        outcomes.append(outcome)
        bar.update()
        bar.set_description_str("detecting")
        say(outcome.sentence)
        for warning in outcome.warnings:
            if warning not in pipeline.warnings:
                say(f"  note: {warning}")
    states = [outcome.state for outcome in outcomes]
    failed = states.count(FAILED)
    if options.overview:
        say(f"overview: {write_overview(wanted.out)}")
    if options.json:
        sys.stdout.write(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    there = len(outcomes) - failed - states.count(DONE)
    say(f"{wanted.out}: cases: {states.count(DONE)} done, {there} done before, {failed} failed")
    return 1 if failed else 0
