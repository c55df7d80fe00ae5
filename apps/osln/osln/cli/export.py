"""Writes the nodes of a case as DICOM SEG and RTSTRUCT that refer to the CT's DICOM images."""

import argparse
import sys
from pathlib import Path

from osln.dicom.writing.export import WRITERS, export_case


def main(arguments: list[str] | None = None) -> None:
    """Exports one result of one case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, help="folder of the cases")
    parser.add_argument("case", help="case id")
    parser.add_argument("out", type=Path, help="folder for the files")
    parser.add_argument("--ct", type=Path, required=True, help="folder with the DICOM files of the CT")
    parser.add_argument("--series", help="UID of the CT series, if the folder holds several")
    parser.add_argument(
        "--what",
        default="final",
        help="final (approved nodes), prediction (the stored one) or the JSON of an inference",
    )
    parser.add_argument("--labels", type=Path, help="label map of that JSON; the image beside it by default")
    parser.add_argument("--format", choices=(*WRITERS, "both"), default="both", help="both by default")
    options = parser.parse_args(arguments)
    try:
        exported = export_case(
            options.store,
            options.case,
            options.ct,
            options.out,
            what=options.what,
            formats=tuple(WRITERS) if options.format == "both" else (options.format,),
            label_map=options.labels,
            series_uid=options.series,
        )
    except ValueError as error:
        sys.exit(f"osln export: {error}")
    for warning in exported.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    for path in exported.paths:
        sys.stdout.write(f"{path}: {exported.nodes} nodes\n")


if __name__ == "__main__":
    main()
