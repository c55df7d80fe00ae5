"""Find lymph nodes without a server in image files, stores or DICOM studies: docs/detect.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.cli.options import add_models, add_out, command
from osln.rows.experiments import ROWS

if TYPE_CHECKING:
    from tqdm import tqdm

    from osln.output.cases import Case
    from osln.output.writing import Wanted
    from osln.pipeline import Pipeline

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
        "--model", choices=ROWS, default="osln", metavar="ROW",
        help=f"one of {', '.join(served)} (default: osln)",
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
    files.add_argument("--show-rejected", action="store_true", help="rejected candidates as value 2")
    files.add_argument("--seg", action="store_true", help="DICOM SEG too")
    files.add_argument("--rtstruct", action="store_true", help="DICOM RTSTRUCT too")
    files.add_argument("--ct-dicom", type=Path, metavar="FOLDER", help="DICOM of the CT, for image files")
    files.add_argument("--pictures", action="store_true", help="a PNG of each case")
    files.add_argument("--overview", action="store_true", help="index.html of all cases, with pictures")
    dicom = parser.add_argument_group("DICOM studies")
    dicom.add_argument("--roi", action="append", default=[], metavar="NAME=KIND", help="as in import")
    dicom.add_argument("--roi-rules", type=Path, metavar="FILE", help="as in import")
    dicom.add_argument("--keep-identity", action="store_true", help="call cases by patient id")
    many = parser.add_argument_group("many cases")
    many.add_argument("--parts", type=int, default=1, metavar="N", help="split the cases into N jobs")
    many.add_argument("--part", type=int, default=1, metavar="I", help="which of them this is, from 1")
    many.add_argument("--overwrite", action="store_true", help="do finished cases again")
    many.add_argument("--json", action="store_true", help="print what became of the cases as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Detects; 1 if any case failed."""
    from tqdm import tqdm

    from osln.output.writing import Wanted

    forms = tuple(form for form in ("seg", "rtstruct") if getattr(options, form))
    pictures = options.pictures or options.overview
    wanted = Wanted(options.out, options.extension, options.show_rejected, forms, pictures)
    with ExitStack() as stack, tqdm(unit="case", disable=None) as bar:
        cases = _cases(options, stack, bar)
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"{options.out} cannot be made: {error.strerror}") from error
        bar.set_description_str("loading networks")
        return _run(options, cases, _pipeline(options), wanted, bar)


def _cases(options: argparse.Namespace, stack: ExitStack, bar: tqdm) -> list[Case]:
    """The cases of this part; refuses a folder for results that would mix them with the images."""
    from osln.dicom.intake.roi_names import load_rules
    from osln.output.inputs import Reading, chosen_cases, find_cases, part_of

    reading = Reading(
        ROWS[options.model],
        load_rules(options.roi_rules, options.roi),
        options.keep_identity,
        options.ct_dicom,
    )

    def progress(words: str, done: int, total: int) -> None:
        bar.set_description_str(f"{words} {done}/{total}")

    cases = chosen_cases(find_cases(options.inputs, reading, stack, progress), options.cases)
    if any(case.lies_in(options.out) for case in cases):
        raise ValueError(f"the results would lie among the images in {options.out}: choose another folder")
    return part_of(cases, options.part, options.parts)


def _pipeline(options: argparse.Namespace) -> Pipeline:
    from osln.pipeline import PRECISION, load_pipeline
    from osln.stage_two.points import POINT_UNIT
    from osln.weights.devices import devices
    from osln.weights.model_store import ModelStore

    point = None
    if options.false_positives_per_patient is not None:
        point = f"{options.false_positives_per_patient}{POINT_UNIT}"
    elif options.precision is not None:
        point = f"{PRECISION}{options.precision}"
    elif options.score is not None and not 0 < options.score <= 1:
        raise ValueError(f"--score lies above 0 and up to 1, not {options.score:g}")
    return load_pipeline(
        ModelStore(options.models),
        options.model,
        point=point,
        score=options.score or 0.0,
        tagger=options.tagger,
        device=devices(options.device)[0],
    )


def _run(
    options: argparse.Namespace, cases: Sequence[Case], pipeline: Pipeline, wanted: Wanted, bar: tqdm
) -> int:
    from osln.output.overview import write_overview
    from osln.output.running import DONE, FAILED, run_cases

    def say(line: str) -> None:
        bar.write(line, file=sys.stderr if options.json else sys.stdout)

    def tell(words: str, share: float) -> None:
        bar.set_description_str(words)

    for warning in pipeline.warnings:
        say(f"note: {warning}")
    bar.reset(total=len(cases))
    outcomes = []
    for outcome in run_cases(cases, pipeline, wanted, overwrite=options.overwrite, tell=tell):
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
