"""Write the nodes of a case as DICOM SEG and RTSTRUCT that refer to the CT's DICOM images."""

import argparse
import sys
from pathlib import Path
from typing import Any

from osln.cli.options import add_out, command


def add_parser(commands: Any) -> None:
    """The options."""
    parser = command(commands, "export", __doc__, "my-store case-1 --ct dicom/case-1/ct --out exported")
    parser.add_argument("store", type=Path, help="folder of the cases")
    parser.add_argument("case", help="case id")
    add_out(parser, "folder for the files")
    parser.add_argument("--ct", type=Path, required=True, help="folder with the DICOM files of the CT")
    parser.add_argument("--series", help="UID of the CT series, if the folder holds several")
    parser.add_argument(
        "--what",
        default="final",
        help="final (approved nodes), prediction (the stored one) or the JSON of an inference",
    )
    parser.add_argument("--labels", type=Path, help="label map of that JSON; the image beside it by default")
    parser.add_argument("--format", default="both", help="seg, rtstruct or both (%(default)s)")
    parser.add_argument(
        "--in-part",
        action="store_true",
        help="also of a case that was reviewed in part; the files say so, and are not for planning",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Export one result of one case."""
    from osln.dicom.writing.export import WRITERS, export_case

    exported = export_case(
        options.store,
        options.case,
        options.ct,
        options.out,
        what=options.what,
        formats=tuple(WRITERS) if options.format == "both" else (options.format,),
        label_map=options.labels,
        series_uid=options.series,
        in_part=options.in_part,
    )
    for warning in exported.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    for path in exported.paths:
        sys.stdout.write(f"{path}: {exported.nodes} nodes\n")
    return 0
