"""One case of a PACS into the mirror: an import whose failures leave as much as can be used."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from osln.dicom.intake.case_labels import AmbiguousNamesError
from osln.dicom.intake.case_plans import CasePlan
from osln.dicom.intake.deidentify import Deidentifier
from osln.dicom.intake.one_case import CaseImport, Tell, fingerprint
from osln.dicom.intake.roi_names import RoiRules
from osln.dicom.intake.store_case import labeled_images
from osln.dicom.reading.files import text
from osln.dicom.web.client import PacsError, WebClient
from osln.dicom.web.source import WebSource
from osln.files.images import write_atomically
from osln.imaging.grid import Grid, Volume, canonical, read_volume
from osln.store.revisions import ConflictError


@dataclass(frozen=True)
class Fetched:
    """What is remembered of a case, also when its images have given way.

    Attributes:
        source: Fingerprint of the series and decisions that it was made from.
        study: UID of the CT's study.
        images: Number of images of the CT.
        shape, affine: Grid of the CT's file.
        warnings: What a person should look at.
    """

    source: str
    study: str
    images: int
    shape: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...]
    warnings: tuple[str, ...]

    def empty_ct(self) -> Volume:
        """The CT's grid with zeros, which take no memory."""
        grid = Grid(self.shape, np.array(self.affine))
        return canonical(np.broadcast_to(np.int16(0), self.shape), grid)


class ExchangedError(PacsError):
    """The PACS has other images of a CT than those that its labels were drawn on."""


def read_fetched(root: Path, case: str) -> Fetched | None:
    """What is remembered; None if the case was never fetched, or the file is damaged."""
    try:
        values = json.loads(_file(root, case).read_text())
        for name in ("shape", "warnings"):
            values[name] = tuple(values[name])
        values["affine"] = tuple(tuple(row) for row in values["affine"])
        return Fetched(**values)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def ever_fetched(root: Path) -> set[str]:
    """All cases that something is remembered of."""
    return {path.name.removesuffix(".json") for path in (root / ".osln" / "pacs" / "cases").glob("*.json")}


def images_of(headers: Sequence[Dataset], deidentifier: Deidentifier) -> str:
    """Tells which images these are, as manifests and revisions note it."""
    return deidentifier.fingerprint(text(header, "SOPInstanceUID") for header in headers)


def check_unchanged(
    root: Path, case: str, plan: CasePlan, web: WebClient, deidentifier: Deidentifier
) -> None:
    """Asks the PACS whether it has the images that the labels of a case were drawn on.

    Raises:
        ExchangedError: If it has others.
        PacsError: If it does not answer.
    """
    noted = labeled_images(root, case)
    headers = web.headers(text(plan.ct.header, "StudyInstanceUID"), case) if noted else []
    if noted and images_of(headers, deidentifier) != noted:
        known = read_fetched(root, case)
        drawn = f"the {known.images} that its labels were drawn on" if known else "those that were labeled"
        raise ExchangedError(
            f"the CT of case {case} has {len(headers)} images on the PACS now that are not {drawn}: send the "
            "former images to the PACS again, and others as a series of their own (SeriesInstanceUID)"
        )


def fetch_case(
    plan: CasePlan,
    case: str,
    root: Path,
    web: WebClient,
    deidentifier: Deidentifier,
    rules: RoiRules,
    kept: Sequence[str] = (),
    tell: Tell | None = None,
) -> Fetched:
    """Imports a case into the mirror.

    A structure set with an ambiguous name is taken without that region, one that cannot be used is left out;
    both is told. An annotator can contour the tumor, but not make a CT.

    Args:
        plan: Its series.
        case: Id of the case.
        root: Folder of the mirror.
        web: The PACS.
        deidentifier: For the manifest.
        rules: What names of regions mean.
        kept: Of "tumor" and "nodes": labels that the mirror has already and that are not written.
        tell: Progress.

    Raises:
        PacsError: If the PACS fails.
        ValueError: If the CT cannot be used.
        OSError: If it cannot be stored.
    """
    source = fingerprint(plan, deidentifier, rules)

    def attempt(plan: CasePlan, rules: RoiRules) -> dict[str, Any]:
        with WebSource(web) as opened:
            silent: Tell = tell or (lambda words, share: None)
            job = CaseImport(plan, case, opened, root, deidentifier, rules, (), silent, kept=tuple(kept))
            return job.run()

    manifest = _as_much_as_can_be_used(attempt, plan, rules)
    ct = read_volume(root / f"{case}.nii.gz").file_grid
    known = Fetched(
        source=source,
        study=str(plan.ct.header.StudyInstanceUID),
        images=int(manifest["ct"]["images"]),
        shape=ct.shape,
        affine=tuple(tuple(float(value) for value in row) for row in ct.affine),
        warnings=tuple(manifest["warnings"]),
    )
    _file(root, case).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(_file(root, case), json.dumps(asdict(known)).encode())
    return known


def _as_much_as_can_be_used(
    attempt: Callable[[CasePlan, RoiRules], dict[str, Any]], plan: CasePlan, rules: RoiRules
) -> dict[str, Any]:
    """The manifest of the first import that succeeds: with less and less of the structure set."""
    try:
        return attempt(plan, rules)
    except (PacsError, ConflictError):
        raise
    except AmbiguousNamesError as error:
        told = (
            f"regions with ambiguous names were left out ({', '.join(map(repr, error.names))}): decide "
            f'with --conf roi "{error.names[0]}=tumor" (or =node, =ignore), or with --conf roi_rules FILE'
        )
        rules = rules.ignoring(error.names)
        return _as_much_as_can_be_used(attempt, replace(plan, warnings=[*plan.warnings, told]), rules)
    except ValueError as error:
        if not plan.structures:
            raise
        told = f"the structure set was left out: {error}"
        plan = replace(plan, structures=[], warnings=[*plan.warnings, told])
        return _as_much_as_can_be_used(attempt, plan, rules)


def _file(root: Path, case: str) -> Path:
    return root / ".osln" / "pacs" / "cases" / f"{case}.json"
