"""DICOM studies into a store: what `scripts/import_dicom.py` does, case by case."""

import csv
import io
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from osln.dicom.case_labels import AmbiguousNamesError, CaseLabels, case_labels, check_names
from osln.dicom.deidentify import Deidentifier, identifying_texts
from osln.dicom.files import Series, Source, slices_of, text
from osln.dicom.roi_names import RoiRules
from osln.dicom.rtstruct import read_structures
from osln.dicom.store_case import ImportedCase, import_folder, read_manifest, write_case
from osln.dicom.studies import CasePlan, Skipped, plan_cases
from osln.dicom.volume import read_ct, read_pet
from osln.grid import Grid, Volume
from osln.imagefile import write_atomically
from osln.study import build_study

PARTS = ("pet", "tumor", "nodes")
LEAST_COVERED = 0.5

Tell = Callable[[str, float], None]
"""Called with what is going on and the share of the whole that is done, 0 to 1."""


@dataclass(frozen=True)
class ImportOptions:
    """How to import.

    Attributes:
        rules: What names of regions mean.
        required: Of "pet", "tumor" and "nodes": studies without them are skipped.
        wanted_cts: UIDs of CT series to take instead of the planning CTs.
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
        reasons = Counter(problem.rpartition(": ")[2] for problem in self.problems)
        values = {**asdict(self), "problems": dict(reasons), "ambiguous": dict(self.ambiguous)}
        return {**values, "imported": [manifest["case"] for manifest in self.imported]}


def import_studies(
    source: Source, store: Path, deidentifier: Deidentifier, options: ImportOptions, tell: Tell | None = None
) -> ImportReport:
    """Imports every planning CT of a source with its tumor, nodes and PET.

    A case that is in the store already is left alone, so that an interrupted import is resumed by running it
    again. A study that cannot be imported is skipped with its reason; the others go on.

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
            report = ImportReport()
            found = source.series(lambda words, done, total: tell(words, 0.1 * done / max(total, 1)))
            report.problems = list(source.problems)
            plans, skipped = plan_cases(found, options.wanted_cts)
            for item in skipped:
                _skip(report, deidentifier, item, found)
            cases = _import_plans(plans, source, store, deidentifier, options, report, tell)
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
    report: ImportReport,
    tell: Tell,
) -> list[tuple[str, CasePlan]]:
    cases = []
    for number, plan in enumerate(plans):
        case = deidentifier.case_id(plan.patient, plan.ct.uid)
        cases.append((case, plan))

        def share(words: str, part: float, number: int = number, case: str = case) -> None:
            tell(f"{case}: {words}", 0.1 + 0.9 * (number + part) / len(plans))

        headers = [series.header for series in (plan.ct, plan.pet, plan.pet_ct, *plan.structures) if series]
        try:
            if known := _known(store, case, plan, deidentifier, options):
                report.present.append({"case": case, "state": known})
                continue
            manifest = _import_case(plan, case, source, store, deidentifier, options, share)
            report.imported.append(manifest)
        except AmbiguousNamesError as error:
            report.ambiguous.update(error.names)
            _skip(report, deidentifier, Skipped(plan.patient, plan.ct.name, str(error)), [plan.ct])
        except (ValueError, OSError) as error:
            reason = (
                str(error) if isinstance(error, ValueError) else f"it could not be stored: {error.strerror}"
            )
            reason = deidentifier.clean(reason, identifying_texts(headers))
            _skip(report, deidentifier, Skipped(plan.patient, plan.ct.name, reason), [plan.ct])
        finally:
            source.release()
    return cases


def _import_case(
    plan: CasePlan,
    case: str,
    source: Source,
    store: Path,
    deidentifier: Deidentifier,
    options: ImportOptions,
    tell: Callable[[str, float], None],
) -> dict[str, Any]:
    begun = time.perf_counter()
    warnings = list(plan.warnings)
    labels = CaseLabels(None, None)
    structures = None
    if plan.structures:
        structures = read_structures(source.paths(plan.structures[0])[0])
        check_names(structures, options.rules)
    tell("reading the CT", 0.0)
    ct_slices = slices_of(source.paths(plan.ct))
    if len(ct_slices) < plan.ct.count:
        raise ValueError(f"{len(ct_slices)} of {plan.ct.count} images of the CT arrived; try again")
    read = read_ct(ct_slices, lambda done, total: tell("reading the CT", 0.4 * done / total))
    ct = read.volume
    warnings += read.warnings
    if structures:
        tell("filling contours", 0.4)
        labels = case_labels(structures, options.rules, ct.grid, plan.ct.frame)
        warnings += labels.warnings
        if labels.tumor is None:
            warnings.append("no region is named as the primary tumor: contour it in the viewer")
    pet, transform, pet_notes = _registered_pet(plan, ct, source, warnings, tell)
    have = {"pet": pet, "tumor": labels.tumor, "nodes": labels.nodes}
    if lacking := [part for part in options.required if have[part] is None]:
        raise ValueError(f"it has no {' and no '.join(lacking)}, which was required; {'; '.join(warnings)}")
    build_study(case, ct, pet, _on(ct, labels.tumor), _on(ct, labels.nodes))
    headers = [ct_slices[0].header] + [s.header for s in (plan.pet, plan.pet_ct, *plan.structures) if s]
    private = identifying_texts(headers)
    manifest = {
        "case": case,
        "patient": deidentifier.patient(plan.patient),
        "ct": {**_described(plan.ct, deidentifier, plan.patient), "values": read.explanation},
        "pet": pet_notes and {**_described(plan.pet, deidentifier, plan.patient), **pet_notes},
        "structures": {
            **_described(plan.structures[0], deidentifier, plan.patient), "regions": labels.regions
        } if plan.structures else None,
        "nodes": labels.instances,
        "chosen": [deidentifier.clean(sentence, private) for sentence in plan.chosen],
        "warnings": [deidentifier.clean(sentence, private) for sentence in warnings],
        "source": _fingerprint(plan, deidentifier, options),
        "seconds": round(time.perf_counter() - begun, 1),
    }  # fmt: skip
    tell("writing", 0.9)
    write_case(store, case, ImportedCase(ct, pet, labels.tumor, labels.nodes, transform, manifest))
    return manifest


def _registered_pet(
    plan: CasePlan, ct: Volume, source: Source, warnings: list[str], tell: Callable[[str, float], None]
) -> tuple[Volume | None, Any, dict[str, Any] | None]:
    """PET on the CT's frame, the transform that brought it there and notes; a PET that fails is left out.

    CT, tumor and nodes are worth having without it, so its failure is a warning.
    """
    if plan.pet is None:
        return None, None, None
    try:
        tell("reading the PET", 0.5)
        read = read_pet(slices_of(source.paths(plan.pet)))
        pet, transform = read.volume, None
        notes: dict[str, Any] = {"values": read.explanation}
        warned = list(read.warnings)
        if plan.registered:
            notes["registration"] = "same frame of reference as the CT: not moved"
            build_study("", ct, pet)
        else:
            # Loaded here: most imports need no registration.
            from osln.registration import register_pet

            pet_ct = read_ct(slices_of(source.paths(plan.pet_ct))).volume if plan.pet_ct else None
            result = register_pet(
                ct, pet, pet_ct, on_progress=lambda part, words: tell(words, 0.6 + 0.3 * part)
            )
            pet, transform = result.pet, result.transform
            notes["registration"] = asdict(result.quality)
            warned += result.warnings
        covered = _covered(ct.grid, pet.grid)
        notes["covers"] = round(covered, 3)
        if covered < LEAST_COVERED:
            warned.append(f"the PET covers {100 * covered:.0f} % of the CT only; outside it the SUV is 0")
    except ValueError as error:
        reason = str(error).removeprefix("case : ")
        warnings.append(f"{plan.pet.name} was left out: {reason}")
        return None, None, None
    warnings += warned
    return pet, transform, notes


def _covered(ct: Grid, pet: Grid) -> float:
    start, stop = ct.box_of(pet)
    return float(np.prod((stop - start) / np.asarray(ct.shape)))


def _on(ct: Volume, array: np.ndarray | None) -> Volume | None:
    return None if array is None else Volume(array, ct.grid, ct.file_grid)


def _described(series: Series | None, deidentifier: Deidentifier, patient: str) -> dict[str, Any]:
    if series is None:
        return {}
    return {"images": series.count, **deidentifier.describe(series.header, patient)}


def _fingerprint(plan: CasePlan, deidentifier: Deidentifier, options: ImportOptions) -> str:
    parts = [f"{name}={kind}" for name, kind in options.rules.chosen.items()]
    for series in (plan.ct, plan.pet, plan.pet_ct, *plan.structures[:1]):
        if series is not None:
            parts.append(f"{series.uid} {text(series.header, 'StructureSetDate')} {series.count}")
    return deidentifier.fingerprint(parts)


def _known(
    store: Path, case: str, plan: CasePlan, deidentifier: Deidentifier, options: ImportOptions
) -> str | None:
    """What to say about a case that is in the store already; None if it has to be imported."""
    if not (store / f"{case}.nii.gz").exists():
        return None
    manifest = read_manifest(store, case)
    if manifest and manifest.get("source") == _fingerprint(plan, deidentifier, options):
        return "imported before"
    return "in the store, made from other images or decisions; move its files away to import it again"


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
        table.writerow([case, *(text(header, key) for key in keys)])
    path.touch(mode=0o600)
    path.write_text(out.getvalue(), encoding="utf-8")
