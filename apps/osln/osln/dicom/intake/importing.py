"""DICOM studies into a store: what `./scripts/osln import` does, case by case."""

import csv
import io
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from osln.dicom.intake.case_labels import AmbiguousNamesError
from osln.dicom.intake.case_plans import CasePlan, Skipped, plan_cases
from osln.dicom.intake.deidentify import Deidentifier, identifying_texts
from osln.dicom.intake.one_case import CaseImport, Tell, contents, fingerprint
from osln.dicom.intake.roi_names import RoiRules
from osln.dicom.intake.store_case import import_folder, labels_lie, labels_there, read_manifest
from osln.dicom.reading.files import DAMAGED, Series, Source, text
from osln.files.cells import cell
from osln.files.images import twins, write_atomically
from osln.store.removals import settle_removed


@dataclass(frozen=True)
class ImportOptions:
    """How to import.

    Attributes:
        rules: What names of regions mean.
        required: Of "pet", "tumor" and "nodes": studies without them are skipped.
        wanted_cts: UIDs or numbers of CT series to take instead of the planning CTs.
        link_table: CSV file outside the store that tells which patient became which case; None: none.
    """

    rules: RoiRules
    required: tuple[str, ...] = ()
    wanted_cts: tuple[str, ...] = ()
    link_table: Path | None = None


@dataclass
class ImportReport:
    """What an import did; holds nothing that identifies a patient, except `problems`.

    Attributes:
        imported: The manifest of each new case.
        present: Cases that were in the store already, with a sentence each.
        skipped: What was not imported: patient, what, reason.
        ambiguous: Number of studies by name of a region that somebody has to decide.
        problems: Unreadable files with their paths, for the screen only.
        deidentification: What was removed.
        seconds: Duration.
    """

    imported: list[dict[str, Any]] = field(default_factory=list)
    present: list[dict[str, str]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    ambiguous: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    deidentification: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """What is written into the store: unreadable files are counted only, for paths can be names."""
        told = ("case", "tumor", "nodes", "approved", "chosen", "left out", "warnings")
        reasons = Counter(problem.rpartition(": ")[2] for problem in self.problems)
        values = {**asdict(self), "problems": dict(reasons), "ambiguous": dict(self.ambiguous)}
        cases = [{key: manifest[key] for key in told} | _regions(manifest) for manifest in self.imported]
        return {**values, "imported": [manifest["case"] for manifest in self.imported], "cases": cases}


def _regions(manifest: dict[str, Any]) -> dict[str, Any]:
    """Names of the regions or segments that are neither tumor nor node, by the reason."""
    unused: dict[str, list[str]] = {}
    for region in (manifest["structures"] or {}).get("regions", []):
        if region["kind"] == "other":
            unused.setdefault(region["reason"], []).append(region["name"])
    return {"regions left out": unused}


def import_studies(
    source: Source, store: Path, deidentifier: Deidentifier, options: ImportOptions, tell: Tell | None = None
) -> ImportReport:
    """Imports every planning CT of a source with its tumor, nodes and PET.

    A case that is in the store already is left alone, so that an interrupted import is resumed by running it
    again. Where only its images are gone, its labels stay as they are. A study that cannot be imported is
    skipped with its reason; the others go on.

    Args:
        source: Folder, archive or DICOMweb.
        store: Folder of the store; made if it is not there.
        deidentifier: Replaces what identifies patients.
        options: Rules of names and what a study must have.
        tell: Progress.

    Returns:
        What was done, which is also written to `<store>/.osln/import/report.json`.

    Raises:
        ValueError: If another import is writing to the store, the link table lies inside the store, or the
            source cannot be listed.
    """
    begun = time.perf_counter()
    tell = tell or (lambda words, share: None)
    if options.link_table and options.link_table.resolve().is_relative_to(store.resolve()):
        raise ValueError("the link table tells who the patients are: put it outside the store")
    folder = import_folder(store)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(str(folder / "lock"), timeout=0):
            # What an interrupted removal has left must not be taken for the case that comes now.
            unfinished = settle_removed(store)
            report = ImportReport()
            found = source.series(lambda words, done, total: tell(words, 0.1 * done / max(total, 1)))
            report.problems = list(source.problems)
            plans, skipped = plan_cases(found, options.wanted_cts, source.damaged)
            for item in skipped:
                _skip(report, deidentifier, item, found)
            cases = _import_plans(plans, source, store, deidentifier, options, unfinished, report, tell)
            report.deidentification = deidentifier.report()
            report.seconds = round(time.perf_counter() - begun, 1)
            written = json.dumps(report.as_json(), indent=1, ensure_ascii=False) + "\n"
            write_atomically(folder / "report.json", written.encode())
            if options.link_table:
                _write_links(options.link_table, cases)
    except Timeout as error:
        raise ValueError("another import is writing to this store; wait for it to end") from error
    tell("done", 1.0)
    return report


def _import_plans(
    plans: list[CasePlan],
    source: Source,
    store: Path,
    deidentifier: Deidentifier,
    options: ImportOptions,
    unfinished: Mapping[str, str],
    report: ImportReport,
    tell: Tell,
) -> list[tuple[str, CasePlan]]:
    cases = []
    for number, plan in enumerate(plans):
        case = deidentifier.case_id(plan.patient, plan.ct.uid)
        cases.append((case, plan))

        def share(words: str, part: float, number: int = number, case: str = case) -> None:
            tell(f"{case}: {words}", 0.1 + 0.9 * (number + part) / len(plans))

        headers = [series.header for series in plan.series]
        try:
            if known := _known(store, case, plan, deidentifier, options):
                report.present.append({"case": case, "state": known})
                continue
            if case in unfinished:
                raise ValueError(unfinished[case])
            kept = labels_there(store, case)
            job = CaseImport(
                plan, case, source, store, deidentifier, options.rules, options.required, share, kept
            )
            job.warnings += _about_labels(store, case, kept)
            report.imported.append(job.run())
        except AmbiguousNamesError as error:
            report.ambiguous.update(error.names)
            _skip(report, deidentifier, Skipped(plan.patient, plan.ct.name, str(error)), [plan.ct])
        except (ValueError, OSError, *DAMAGED) as error:
            reason = reason_of(error)
            reason = deidentifier.clean(reason, identifying_texts(headers))
            _skip(report, deidentifier, Skipped(plan.patient, plan.ct.name, reason), [plan.ct])
        finally:
            source.release()
    return cases


def _about_labels(store: Path, case: str, kept: Sequence[str]) -> list[str]:
    """What to say of labels that the store has already, and of those of which it has revisions alone."""
    told = []
    if lying := [part for part in kept if labels_lie(store, case, part)]:
        told.append(
            f"the store has a label of the {' and one of the '.join(lying)} of this case: it stayed "
            "as it is, and what the study has was not written; move it away to import it, and, where it has "
            f"revisions, .osln/{case} too"
        )
    if gone := [part for part in kept if part not in lying]:
        told.append(
            f"the store had a label of the {' and one of the '.join(gone)} of this case, which was taken "
            f"away; its revisions are kept in .osln/{case}, so what the study has was not written: restore "
            "one or submit a label, or move that folder away, too, to import it"
        )
    return told


def _known(
    store: Path, case: str, plan: CasePlan, deidentifier: Deidentifier, options: ImportOptions
) -> str | None:
    """What to say about a case that is in the store already; None if it has to be imported."""
    ct = store / f"{case}.nii.gz"
    if not ct.exists() and not twins(ct):
        return None
    manifest = read_manifest(store, case)
    if not manifest or manifest.get("source") != fingerprint(plan, deidentifier, options.rules):
        return "in the store, made from other images or decisions; move its files away to import it again"
    now, noted = contents(plan, deidentifier), manifest.get("contents")
    if not now:
        return "imported before"
    if not isinstance(noted, dict) or not noted:
        return "imported before, without a note of what its files held: whether they changed is not known"
    if changed := [part for part, content in now.items() if noted.get(part, content) != content]:
        return (
            f"in the store, and its {' and '.join(changed)} changed since under the same UIDs; move its "
            "files away to import it again"
        )
    return "imported before"


def reason_of(error: Exception) -> str:
    """Why a study cannot be imported, in words: what damaged files raise is no sentence by itself."""
    if isinstance(error, OSError):
        return f"it could not be stored: {error.strerror}"
    number = str(error).startswith(("could not convert", "invalid literal", "cannot convert"))
    if isinstance(error, ValueError) and not number:
        return str(error)
    return f"an attribute of its DICOM files is damaged ({str(error)[:100]}); export the study again"


def _skip(report: ImportReport, deidentifier: Deidentifier, item: Skipped, found: list[Series]) -> None:
    reason = deidentifier.clean(item.reason, identifying_texts([series.header for series in found]))
    patient = deidentifier.patient(item.patient) if item.patient else ""
    report.skipped.append({"patient": patient, "what": item.what, "reason": reason})


def _write_links(path: Path, cases: list[tuple[str, CasePlan]]) -> None:
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["case", "patient id", "name", "study date", "CT series"])
    for case, plan in cases:
        header = plan.ct.header
        keys = ("PatientID", "PatientName", "StudyDate", "SeriesInstanceUID")
        table.writerow([case, *(cell(text(header, key)) for key in keys)])
    path.touch(mode=0o600)
    path.write_text(out.getvalue(), encoding="utf-8")
