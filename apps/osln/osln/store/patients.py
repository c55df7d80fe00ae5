"""Which cases are of one patient, as the import noted it: they learn, validate and test together."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


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


def patient_of(root: str | Path, case: str) -> str:
    """The patient of a case: the one that its manifest names, else the case, which has one of its own."""
    patient = (read_manifest(Path(root), case) or {}).get("patient")
    return patient if isinstance(patient, str) and patient else case


def by_patient(root: str | Path, cases: Iterable[str]) -> dict[str, list[str]]:
    """The cases of each patient; patients and cases in the order in which they come."""
    found: dict[str, list[str]] = {}
    for case in cases:
        found.setdefault(patient_of(root, case), []).append(case)
    return found
