"""Import DICOM studies (planning CT, PET, RTSTRUCT) into a store, de-identified: docs/dicom-import.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from osln.dicom.intake.deidentify import Deidentifier, read_key
from osln.dicom.intake.importing import ImportOptions, ImportReport, import_studies
from osln.dicom.intake.one_case import PARTS
from osln.dicom.intake.roi_names import load_rules
from osln.dicom.intake.store_case import import_folder
from osln.dicom.reading.files import LocalSource, Source
from osln.dicom.web.credentials import ask_credentials


def command_line() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="folder, zip archive or DICOMweb address (http...)")
    parser.add_argument("store", type=Path, help="folder of the store to write")
    parser.add_argument(
        "--roi", action="append", default=[], metavar="NAME=KIND",
        help="what a region is: tumor, node or ignore; may be given several times",
    )  # fmt: skip
    parser.add_argument("--roi-rules", type=Path, metavar="FILE", help="YAML with rules of your hospital")
    parser.add_argument("--require", nargs="+", choices=PARTS, default=[], help="skip studies without these")
    parser.add_argument(
        "--ct", action="append", default=[], metavar="UID", help="take this CT series (UID or number)"
    )
    parser.add_argument(
        "--keep-identity", action="store_true", help="write names, dates and UIDs as they are"
    )
    parser.add_argument(
        "--key", type=Path, help="secret of the de-identification (default: in the store, made if missing)"
    )
    parser.add_argument("--link-table", type=Path, help="CSV outside the store: which patient is which case")
    parser.add_argument(
        "--user", help="DICOMweb: name; the password comes from OSLN_DICOMWEB_PASSWORD or is asked"
    )
    parser.add_argument("--patient", help="DICOMweb: only this patient id")
    parser.add_argument("--timeout", type=float, default=60, help="DICOMweb: seconds without an answer")
    return parser


def open_source(options: argparse.Namespace) -> Source:
    """What the first argument names."""
    if options.source.lower().startswith(("http://", "https://")):
        from osln.dicom.web.client import WebClient
        from osln.dicom.web.source import WebSource

        credentials = ask_credentials(options.source, options.user)
        web = WebClient(options.source, credentials, timeout_s=options.timeout)
        return WebSource(web, patient=options.patient)
    return LocalSource(options.source)


def tell_on(bar: tqdm) -> Callable[[str, float], None]:
    """Shows words and share on a bar."""

    def tell(words: str, share: float) -> None:
        bar.set_description_str(words, refresh=False)
        bar.update(max(0.0, 100 * share - bar.n))

    return tell


def print_report(report: ImportReport, store: Path) -> None:
    """A person reads it: cases, what was skipped and why, names to be decided."""
    out = sys.stdout.write
    for manifest in report.imported:
        parts = [name for name, there in (("PET", manifest["pet"]), ("nodes", manifest["nodes"])) if there]
        out(f"imported {manifest['case']} ({', '.join(['CT', *parts])}) in {manifest['seconds']} s\n")
        for sentence in manifest["warnings"]:
            out(f"  note: {sentence}\n")
    for item in report.present:
        out(f"left alone {item['case']}: {item['state']}\n")
    for skipped in report.skipped:
        out(f"skipped {skipped['patient']} {skipped['what']}: {skipped['reason']}\n")
    for problem in report.problems:
        out(f"not read: {problem}\n")
    for name, count in report.ambiguous.most_common():
        out(f'decide: --roi "{name}=tumor|node|ignore" ({count} studies)\n')
    out(
        f"{len(report.imported)} imported, {len(report.present)} already there, {len(report.skipped)} "
        f"skipped in {report.seconds} s; identity {report.deidentification['identity']}; "
        f"report: {import_folder(store) / 'report.json'}\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Import; 0 if something is in the store, 1 if nothing could be imported, 2 if it could not begin."""
    options = command_line().parse_args(arguments)
    try:
        rules = load_rules(options.roi_rules, options.roi)
        choices = ImportOptions(rules, tuple(options.require), tuple(options.ct), options.link_table)
        with open_source(options) as source:
            key = read_key(options.key or import_folder(options.store) / "key")
            deidentifier = Deidentifier(key, keep_identity=options.keep_identity)
            with tqdm(total=100, bar_format="{percentage:3.0f} % {desc}", disable=None) as bar:
                report = import_studies(source, options.store, deidentifier, choices, tell_on(bar))
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"error: {error.strerror}: {error.filename}\n")
        return 2
    print_report(report, options.store)
    return 0 if report.imported or report.present else 1


if __name__ == "__main__":
    raise SystemExit(main())
