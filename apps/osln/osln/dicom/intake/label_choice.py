"""Which CT a structure set or segmentation was drawn on, when it was made, and what it holds.

Those of other programs may have tumor and nodes; ours hold one thing each, approved by a person.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from osln.dicom.nodes import APPROVED, IN_PART, PREDICTED, TUMOR, own_kind
from osln.dicom.reading.files import Series, text
from osln.dicom.reading.referenced import named_series
from osln.dicom.reading.rtstruct import drawn
from osln.dicom.reading.segmentation import when_created
from osln.dicom.reading.times import EARLIEST, instant

NO_LABELS = {
    PREDICTED: "a prediction of this program, which nobody has reviewed",
    IN_PART: "nodes of a case that was reviewed in part",
}
"""Why objects of ours are no labels, by their kind."""
KINDS = {"RTSTRUCT": "structure set", "SEG": "segmentation"}
HOLDS = {TUMOR: "tumor", APPROVED: "nodes"}
"""What the others hold."""


def image_of(
    patient: str,
    labels: Series,
    series: Sequence[Series],
    owners: Mapping[str, set[str]],
    wanted: set[str],
) -> tuple[Series | None, str]:
    """The CT that a structure set or segmentation was drawn on, or why there is none.

    Args:
        patient: Whose labels they are.
        labels: Structure set or segmentation.
        series: Of the patient.
        owners: Patients by the UID of a series.
        wanted: UIDs or numbers of the CTs that somebody has asked for.
    """
    named, frames = named_series(labels.header)
    cts = [item for item in series if item.modality == "CT" and item.is_volume]
    if found := [ct for ct in cts if ct.uid in named]:
        for chosen in (found, [ct for ct in found if ct.uid in labels.drawn_on], asked_for(found, wanted)):
            if len(chosen) == 1:
                return chosen[0], ""
        return None, (
            f"it names {len(found)} CTs ({', '.join(ct.name for ct in found)}), and its contours do not tell "
            "on which of them it was drawn: export it for one CT, or import with --ct NUMBER"
        )
    there = [item for item in series if item.uid in named]
    if any(item.is_enhanced for item in there):
        return None, "it was drawn on an enhanced multi-frame file, which is not read; export single slices"
    if any(item.modality == "PT" and item.is_volume for item in there):
        return None, "it was drawn on the PET, not on a CT; only structures of the planning CT are used"
    if any(owners.get(uid, set()) - {patient} for uid in named):
        return None, "it refers to images of another patient; correct the patient ids"
    if named:
        return None, "it refers to a CT that is not here; add that series"
    same = [ct for ct in cts if ct.frame and ct.frame in frames]
    if len(same) == 1:
        return same[0], ""
    return None, f"it names no series, and {len(same)} CTs share its frame of reference"


def asked_for(cts: Sequence[Series], wanted: set[str]) -> list[Series]:
    """The CTs of these UIDs or series numbers."""
    return [ct for ct in cts if ct.uid in wanted or text(ct.header, "SeriesNumber") in wanted]


def newest_first(labels: Sequence[Series]) -> list[Series]:
    """Structure sets or segmentations by the time that they were made."""
    return sorted(labels, key=made_at, reverse=True)


def made_at(labels: Series) -> datetime:
    """When it was made, in UTC; the earliest time there is if it does not say. Without a zone: local time."""
    made = when_created(labels.header) if labels.modality == "SEG" else None
    made = made or drawn(labels.header)
    return EARLIEST if made is None else instant(made)


def holds(labels: Series) -> str:
    """What an object of ours holds, "tumor" or "nodes"; "" for another program's, which may hold both."""
    return HOLDS.get(own_kind(labels.header), "")
