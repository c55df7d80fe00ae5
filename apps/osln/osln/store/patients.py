"""Which cases are of one patient: they learn, validate and test together.

The import notes it; and whose CT is the same to the byte is the same patient, whatever the two are called.
Of a case that is gone what was kept of it says so.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from osln.store.file_content import content_of, samples_of
from osln.store.known_patients import Known, as_kept, keep_known, known_patients
from osln.store.layout import one_file


def import_folder(store: Path) -> Path:
    """Where the import keeps its manifests, its report and the key."""
    return store / ".osln" / "import"


def read_manifest(store: Path, case: str) -> dict[str, Any] | None:
    """The manifest of an imported case; None if there is none or it is damaged."""
    try:
        manifest = json.loads((import_folder(store) / f"{case}.json").read_text())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def patients_of(root: str | Path, cases: Iterable[str]) -> dict[str, str]:
    """The patient of each case, all files being read once: ask for all cases that are to be compared.

    Args:
        root: Folder of the studies.
        cases: Case ids, or `former_ids` of them; one of which nothing is there or known is a patient of its
            own.

    Returns:
        By case, in their order, the patient that its manifest names, else the case. Patients of whom two
        cases have the same CT are one, by the first of their names.
    """
    root = Path(root)
    kept = known_patients(root)
    found = {case: _noted(root, case) for case in cases}
    cts = {case: path for case in found if (path := _ct(root, case))}
    gone = {case: known for case in found if case not in cts and (known := as_kept(kept, case))}
    found |= {case: known.patient for case, known in gone.items() if known.patient and found[case] == case}
    for group in [*same_ct(cts), *_same_as_gone(gone, cts, kept)]:
        names = {found[case] for case in group}
        if len(names) > 1:
            first = min(names)
            found = {case: first if name in names else name for case, name in found.items()}
    return found


def _same_as_gone(
    gone: Mapping[str, Known], cts: Mapping[str, Path], kept: Mapping[str, list[Known]]
) -> list[list[str]]:
    """Groups of cases that have, or had, the CT of one that is gone."""
    groups: dict[str, list[str]] = {}
    for case, known in gone.items():
        groups.setdefault(known.ct, []).append(case)
    marks = {(known.size, known.samples) for known in gone.values()}
    for case, path in cts.items():
        try:
            if (path.stat().st_size, samples_of(path)) in marks:
                groups.setdefault(_checksum(path, as_kept(kept, case)), []).append(case)
        except OSError:
            # As in `same_ct`.
            continue
    return [group for group in groups.values() if len(group) > 1]


def know_patients(root: str | Path, cases: Iterable[str]) -> None:
    """Keeps whose the cases are, as far as they have a CT: `patients_of` knows them when they are gone.

    Raises:
        ValueError: What was kept before is damaged.
    """
    root = Path(root)
    kept, found = known_patients(root), {}
    for case in cases:
        path, before = _ct(root, case), as_kept(kept, case)
        if path is None:
            continue
        noted = _noted(root, case)
        try:
            stat = path.stat()
            now = Known(
                None if noted == case else noted,
                _checksum(path, before),
                samples_of(path),
                stat.st_size,
                stat.st_mtime_ns,
            )
        except OSError:
            # As in `same_ct`.
            continue
        if now != before:
            found[case] = now
    if found:
        keep_known(root, found)


def _checksum(path: Path, known: Known | None) -> str:
    """SHA-256 of a CT, of which all is read only if it has changed since it was kept."""
    stat = path.stat()
    # Two CTs that changed places may have one size and one time: those of an archive.
    if known is not None and (known.size, known.changed, known.samples) == (
        stat.st_size,
        stat.st_mtime_ns,
        samples_of(path),
    ):
        return known.ct
    return content_of(path)


def by_patient(root: str | Path, cases: Iterable[str]) -> dict[str, list[str]]:
    """The cases of each patient (`patients_of`); patients and cases in the order in which they come."""
    found: dict[str, list[str]] = {}
    for case, patient in patients_of(root, cases).items():
        found.setdefault(patient, []).append(case)
    return found


def same_ct(files: Mapping[str, Path]) -> list[list[str]]:
    """Groups of cases, at least two in each, whose CT files are the same to the byte."""
    groups = [list(files)]
    # Whole files are read only where size, beginning and middle are the same as another one's.
    for mark in (lambda path: path.stat().st_size, samples_of, content_of):
        marked: dict[object, list[str]] = {}
        for number, cases in enumerate(groups):
            for case in cases:
                try:
                    marked.setdefault((number, mark(files[case])), []).append(case)
                except OSError:
                    # Gone meanwhile or unreadable: whoever reads it says so.
                    continue
        groups = [cases for cases in marked.values() if len(cases) > 1]
    return groups


def _noted(root: Path, case: str) -> str:
    patient = (read_manifest(root, case) or {}).get("patient")
    return patient if isinstance(patient, str) and patient else case


def _ct(root: Path, case: str) -> Path | None:
    try:
        return one_file(root, case)
    except ValueError:
        # Two files of one name: whoever reads them refuses the case.
        return None
