"""Labels that were approved elsewhere, or before the mirror was lost, from the PACS into the mirror.

Only segmentations of ours count, and of them the latest: a foreign one says nothing about whether a case was
reviewed here.
"""

import logging
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from osln.dicom.intake.store_case import noted_images
from osln.dicom.nodes import APPROVED, NAME, TUMOR
from osln.dicom.reading.segmentation import SegFile, read_seg
from osln.dicom.reading.times import instant
from osln.imaging.labelmaps import packed_labels
from osln.imaging.single_nodes import single_nodes
from osln.pacs.delivery import series_on_pacs
from osln.pacs.fetching import images_of
from osln.pacs.listing import StoredSeg, newest
from osln.pacs.mirror import PacsMirror
from osln.pacs.outbox import label_uids
from osln.store.revision import time_of
from osln.store.revisions import AFTER_NODES, ConflictError, Revision, Revisions, label_revisions

logger = logging.getLogger(__name__)

CONTENT = {"gtv": TUMOR, "final": APPROVED}
"""What segmentations of a label are called; tumors first: nodes that came along are newer."""


def wanted_labels(mirror: PacsMirror) -> Iterator[tuple[str, str, StoredSeg]]:
    """Case, tag and segmentation of every label that is newer on the PACS than here."""
    plans = mirror.cases().plans
    by_label: dict[tuple[str, str], list[StoredSeg]] = {}
    for seg in mirror.listing.content()[1]:
        by_label.setdefault((seg.ct, seg.content), []).append(seg)
    for tag, its in CONTENT.items():
        for (case, content), segs in by_label.items():
            best = newest(segs)
            try:
                if its == content and case in plans and best and _is_newer(mirror.root, case, tag, best):
                    yield case, tag, best
            except ValueError as error:
                logger.warning("No label of case %s is taken from the PACS: %s", case, error)


def take_label(
    mirror: PacsMirror,
    case: str,
    tag: str,
    stored: StoredSeg,
    settle: Callable[[Revisions], object] = Revisions.settle,
) -> Revision | None:
    """Fetches a segmentation and makes it the newest revision of a label.

    What was there stays: a label without revisions, for instance nodes of a structure set, becomes one first.

    Args:
        mirror: The mirror.
        case: Id of the case.
        tag: "final" or "gtv".
        stored: The segmentation.
        settle: Does that, inside the lock of the label.

    Returns:
        The revision; None if a newer one was submitted meanwhile.

    Raises:
        PacsError: If the PACS fails.
        ValueError: If the segmentation does not lie on the CT.
        ConflictError: If somebody else writes for long, or other images of the CT were fetched meanwhile.
    """
    ct = series_on_pacs(mirror, case)
    read = read_seg(mirror.web.instance(stored.study, stored.series, stored.instance), ct)
    mask, images = read.mask(), images_of(ct.headers, mirror.deidentifier)
    kept = label_revisions(mirror.root, case, tag)
    with kept.lock():
        if not _is_newer(mirror.root, case, tag, stored):
            return None
        settle(kept)
        if noted_images(mirror.root, case) not in ("", images):
            raise ConflictError("other images of its CT were fetched while it was read")
        counts, node_map = {"voxels": int(mask.sum())}, None
        if tag == "final":
            numbers = _numbered(read)
            counts["nodes"] = single_nodes(numbers)[1]
            node_map = packed_labels(numbers, ct.grid, ct.file_grid)
        else:
            nodes = label_revisions(mirror.root, case, "final").head()
            counts[AFTER_NODES] = nodes.revision if nodes else 0
        created = instant(datetime.fromisoformat(stored.created)) if stored.created else None
        revision = kept.submit(
            packed_labels(mask, ct.grid, ct.file_grid),
            by=stored.by or "unknown",
            source="pacs",
            node_map=node_map,
            numbered=True,
            counts=counts,
            reference=stored.instance,
            at=created,
            images=images,
        )
    logger.info("Label %s of case %s taken from the PACS", tag, case)
    return revision


def _numbered(read: SegFile) -> np.ndarray:
    """The nodes by the numbers in their names ("lymph node 3"), which they keep, or else as in the object."""
    labels = np.zeros(read.grid.shape, dtype=np.uint16, order="F")
    names = [re.fullmatch(rf"{NAME} ([1-9]\d{{0,4}})", segment.name) for segment in read.segments]
    numbers = [
        int(found[1]) if found else segment.number
        for found, segment in zip(names, read.segments, strict=True)
    ]
    if len(set(numbers)) < len(numbers) or max(numbers, default=0) > np.iinfo(labels.dtype).max:
        numbers = [segment.number for segment in read.segments]
    for number, segment in zip(numbers, read.segments, strict=True):
        labels[segment.placed.box][segment.placed.voxels] = number
    return labels


def _is_newer(root: Path, case: str, tag: str, stored: StoredSeg) -> bool:
    history = label_revisions(root, case, tag).history()
    if not history:
        return True
    known = {revision.reference or label_uids(case, tag, revision)[1] for revision in history}
    if stored.instance in known or not stored.created:
        return False
    return instant(datetime.fromisoformat(stored.created)) > time_of(history[0].at)
