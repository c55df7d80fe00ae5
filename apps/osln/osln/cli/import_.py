"""Import DICOM (planning CT, PET, RTSTRUCT or SEG) into a store, de-identified: docs/dicom-import.md."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.cli.options import add_json, command, tell
from osln.cli.progress import shares

if TYPE_CHECKING:
    from osln.dicom.intake.importing import ImportReport
    from osln.dicom.reading.files import Source


def add_parser(commands: Any) -> None:
    """The options."""
    examples = ('export.zip my-store --roi "GTV1=tumor" --require pet tumor', "/path/to/export my-store")
    parser = command(commands, "import", __doc__, *examples)
    parser.add_argument("source", help="folder, zip archive or DICOMweb address (http...)")
    parser.add_argument("store", type=Path, help="folder of the store to write")
    parser.add_argument(
        "--roi", action="append", default=[], metavar="NAME=KIND",
        help="what a region or segment is: tumor, node or ignore; may be given several times",
    )  # fmt: skip
    parser.add_argument("--roi-rules", type=Path, metavar="FILE", help="YAML with rules of your hospital")
    parser.add_argument(
        "--require", nargs="+", metavar="PART", default=[], help="skip studies without pet, tumor or nodes"
    )
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
    add_json(parser)
    parser.set_defaults(run=run)


def open_source(options: argparse.Namespace) -> "Source":
    """What the first argument names."""
    if options.source.lower().startswith(("http://", "https://")):
        from osln.dicom.web.client import WebClient
        from osln.dicom.web.credentials import ask_credentials
        from osln.dicom.web.source import WebSource

        credentials = ask_credentials(options.source, options.user)
        web = WebClient(options.source, credentials, timeout_s=options.timeout)
        return WebSource(web, patient=options.patient)
    from osln.dicom.reading.files import LocalSource

    return LocalSource(options.source)


def taken(case: dict[str, Any]) -> Iterator[str]:
    """What was taken of a study, what was not and why, in lines: an entry of the report's `cases`."""
    if tumor := case["tumor"]:
        yield f"tumor: {', '.join(tumor['regions'])}, {tumor['volume_mm3'] / 1000:.2f} ml"
    else:
        yield "tumor: none"
    sizes = ", ".join(f"{node['region']} {node['volume_mm3'] / 1000:.2f}" for node in case["nodes"])
    if case["approved"]:
        yield f"nodes: {len(case['nodes'])}{f' (ml: {sizes})' if sizes else ''}"
    elif case["nodes"]:
        yield "nodes: not written, and the case is not approved: see the notes"
    else:
        yield (
            "nodes: none contoured: the case is not approved (a patient without nodes is approved in a "
            "viewer: reject what is offered and submit)"
        )
    for sentence in case["chosen"]:
        yield f"taken: {sentence}"
    for reason, names in case["regions left out"].items():
        yield f"not taken: {', '.join(names)} ({reason})"
    for sentence in case["left out"]:
        yield f"not taken: {sentence}"
    for sentence in case["warnings"]:
        yield f"note: {sentence}"


def words(report: "ImportReport", written: Path) -> str:
    """Cases, what was skipped and why, names to be decided."""
    lines: list[str] = []
    out = lines.append
    for manifest, case in zip(report.imported, report.as_json()["cases"], strict=True):
        parts = [name for name, there in (("PET", manifest["pet"]), ("nodes", manifest["nodes"])) if there]
        out(f"imported {manifest['case']} ({', '.join(['CT', *parts])}) in {manifest['seconds']} s")
        lines += [f"  {line}" for line in taken(case)]
    for item in report.present:
        out(f"left alone {item['case']}: {item['state']}")
    for skipped in report.skipped:
        out(f"skipped {skipped['patient']} {skipped['what']}: {skipped['reason']}")
    for problem in report.problems:
        out(f"not read: {problem}")
    if not (report.imported or report.present or report.skipped or report.problems):
        out("nothing to import was found: expected DICOM files of CT series, in folders or zip archives")
    for name, count in report.ambiguous.most_common():
        out(f'decide: --roi "{name}=tumor|node|ignore" ({count} studies)')
    out(
        f"{len(report.imported)} imported, {len(report.present)} already there, {len(report.skipped)} "
        f"skipped in {report.seconds} s; identity {report.deidentification['identity']}; "
        f"report: {written}"
    )
    return "\n".join(lines) + "\n"


def run(options: argparse.Namespace) -> int:
    """Import; 1 also if nothing could be imported."""
    from osln.dicom.intake.deidentify import Deidentifier, read_key
    from osln.dicom.intake.importing import ImportOptions, import_studies
    from osln.dicom.intake.one_case import PARTS
    from osln.dicom.intake.roi_names import load_rules
    from osln.dicom.intake.store_case import import_folder

    if unknown := set(options.require) - set(PARTS):
        raise ValueError(f"--require takes {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    rules = load_rules(options.roi_rules, options.roi)
    choices = ImportOptions(rules, tuple(options.require), tuple(options.ct), options.link_table)
    folder = import_folder(options.store)
    with open_source(options) as source:
        deidentifier = Deidentifier(
            read_key(options.key or folder / "key"), keep_identity=options.keep_identity
        )
        with shares() as show:
            report = import_studies(source, options.store, deidentifier, choices, show)
    tell(options, words(report, folder / "report.json"), report.as_json())
    # Of a study that was there already no name was looked at.
    if report.imported and not report.present and (unused := rules.unused):
        sys.stderr.write(
            f"no region that was read is called {' or '.join(map(repr, unused))}, as --roi says: nothing was "
            "decided by that. The names of the regions stand above\n"
        )
        return 0 if rules.applied else 1
    return 0 if report.imported or report.present else 1
