"""Results of a case on a PACS as DICOM objects that refer to its CT, without anything being stored there."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from osln.dicom.nodes import NodeSet
from osln.dicom.reading.source import CtSeries
from osln.dicom.writing.export import WRITERS
from osln.dicom.writing.from_store import approved, predicted, stored_result
from osln.pacs.delivery import series_on_pacs
from osln.pacs.mirror import PacsMirror
from osln.store.approved import steadily
from osln.store.revisions import Revision, label_revisions

logger = logging.getLogger(__name__)

CHOICES = ("final", "prediction")


def export_stored(mirror: PacsMirror, case: str, what: str, form: str, *, in_part: bool = False) -> Dataset:
    """The approved nodes or the stored prediction of a case.

    Args:
        mirror: The mirror.
        case: Id of the case.
        what: Of `CHOICES`.
        form: Of `osln.dicom.writing.export.WRITERS`: "seg" or "rtstruct".
        in_part: Also the nodes of a case that was reviewed in part; the object says so.

    Raises:
        PacsError: If the PACS fails.
        ValueError: If there is no such choice, nothing to export, or it does not lie on the CT.
    """
    for name, value, values in (("what", what, CHOICES), ("format", form, tuple(WRITERS))):
        if value not in values:
            raise ValueError(f"{name} is one of {', '.join(values)}, not {value!r}")
    if what == "prediction":
        path = mirror.root / "labels" / "original" / f"{case}.nii.gz"
        return export_prediction(mirror, case, path, stored_result(mirror.root, case), form)
    kept = label_revisions(mirror.root, case, "final")
    warnings: list[str] = []

    def read(heads: tuple[Revision | None]) -> tuple[NodeSet, CtSeries]:
        warnings.clear()
        ct = series_on_pacs(mirror, case, heads[0].images if heads[0] else "")
        return approved(mirror.root, case, ct.grid, warnings, also_in_part=in_part), ct

    # A revision that comes meanwhile may have been drawn on other images.
    (nodes, ct), _ = steadily(case, lambda: (kept.head(),), read)
    for warning in warnings:
        logger.warning("Case %s: %s", case, warning)
    return WRITERS[form](nodes, ct)


def export_prediction(
    mirror: PacsMirror, case: str, label_map: str | Path, result: Mapping[str, Any], form: str = "seg"
) -> Dataset:
    """The candidates of an inference, without the rejected ones.

    Args:
        mirror: The mirror.
        case: Id of the case.
        label_map: File of the inference.
        result: Its JSON.
        form: As above.

    Raises:
        PacsError, ValueError: As `export_stored`.
    """
    ct = series_on_pacs(mirror, case)
    return WRITERS[form](predicted(ct.grid, label_map, result), ct)
