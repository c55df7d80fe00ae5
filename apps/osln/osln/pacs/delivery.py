"""Approved labels of the mirror to the PACS, as DICOM Segmentations on the CT as the PACS has it now."""

import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from pydicom.dataset import Dataset

from osln.dicom.intake.store_case import noted_images
from osln.dicom.nodes import Author
from osln.dicom.reading.slices import Slice
from osln.dicom.reading.source import CtSeries, ct_series
from osln.dicom.web.errors import AwayError
from osln.dicom.writing.from_store import NOTE, approved, local_time
from osln.dicom.writing.segmentation import seg
from osln.dicom.writing.tumor_seg import tumor_seg
from osln.imaging.labelmaps import read_label_map
from osln.pacs.fetching import images_of
from osln.pacs.mirror import PacsMirror
from osln.pacs.outbox import Entry, Outbox, label_uids
from osln.pacs.stow import store_object
from osln.store.revisions import Revision, label_revisions

logger = logging.getLogger(__name__)

REFUSALS = (ValueError, LookupError, OSError)
"""What says in words why a label cannot be sent."""


def deliver(mirror: PacsMirror, outbox: Outbox, now: float) -> int:
    """Sends what waits and is due, each revision once, oldest first.

    A PACS that is away ends the round; a revision that cannot be sent for its own reason holds up neither
    later ones of its case nor other cases.

    Args:
        mirror: The mirror.
        outbox: Its outbox.
        now: Seconds since the epoch; what is to be tried later is left.

    Returns:
        Number of revisions that were sent.
    """
    sent = 0
    try:
        # One process at a time: two would send the same, although it would become one object.
        with FileLock(mirror.root / ".osln" / "outbox" / ".deliver.lock", timeout=0):
            for entry in outbox.entries():
                if entry.next_try > now:
                    break
                try:
                    for _ in _sending(mirror, outbox, entry):
                        sent += 1
                except AwayError as error:
                    outbox.failed(entry, str(error))
                    break
                except Exception as error:
                    outbox.failed(entry, _words(entry, error))
    except Timeout:
        pass
    return sent


def series_on_pacs(mirror: PacsMirror, case: str, drawn_on: str = "") -> CtSeries:
    """The CT of a case by its headers, which are asked for; its pixels stay where they are.

    Args:
        mirror: The mirror.
        case: Id of the case.
        drawn_on: `Revision.images` of the label that is to refer to it; "" for what was fetched last.

    Raises:
        PacsError: If the PACS fails.
        ValueError: If it has other images now than those, or no object can refer to them.
    """
    headers = mirror.web.headers(mirror.study_of(case), case)
    noted = drawn_on or noted_images(mirror.root, case)
    if noted and images_of(headers, mirror.deidentifier) != noted:
        raise ValueError(
            f"the images of the CT of case {case} on the PACS are not those that were labeled; send the "
            "former images to the PACS again"
        )
    return ct_series([Slice(Path(), header) for header in headers])


def as_object(mirror: PacsMirror, case: str, tag: str, revision: Revision) -> Dataset:
    """A revision as a DICOM Segmentation.

    Raises:
        PacsError, ValueError: As `series_on_pacs`.
    """
    ct = series_on_pacs(mirror, case, revision.images)
    uids = label_uids(case, tag, revision)
    if tag == "final":
        warnings: list[str] = []
        nodes = approved(mirror.root, case, ct.grid, warnings, revision.revision)
        for warning in warnings:
            logger.warning("Case %s: %s", case, warning)
        return seg(nodes, ct, uids)
    path = label_revisions(mirror.root, case, tag).path(revision.revision)
    at = local_time(revision.at)
    author = Author(True, at, person=revision.by, revision=revision.revision, note=NOTE)
    return tumor_seg(read_label_map(path, ct.grid), ct, author, uids)


def _sending(mirror: PacsMirror, outbox: Outbox, entry: Entry) -> Iterator[Revision]:
    """Sends the revisions of a label that wait, oldest first, and yields each that the PACS has now.

    Raises:
        AwayError: At once; nothing can be sent.
        Exception: The first reason why a revision could not be sent, after all were tried.
    """
    first: Exception | None = None
    for revision in outbox.waiting(entry):
        try:
            item = as_object(mirror, entry.case, entry.tag, revision)
            store_object(mirror.web, item)
        except AwayError:
            raise
        except Exception as error:
            name = f"revision {revision.revision} of label {entry.tag} of case {entry.case}"
            # Anything but a refusal is a header that nobody thought of, or a slip: the log tells where.
            slip = not isinstance(error, REFUSALS)
            logger.warning("Cannot be sent: %s: %s", name, error, exc_info=slip)
            first = first or error
            continue
        outbox.delivered(entry, revision)
        logger.info(
            "Revision %d of label %s of case %s is on the PACS", revision.revision, entry.tag, entry.case
        )
        yield revision
    if first is not None:
        raise first
    outbox.close(entry)


def _words(entry: Entry, error: Exception) -> str:
    if isinstance(error, REFUSALS) and type(error) not in (KeyError, IndexError):
        return str(error) or type(error).__name__
    return (
        f"the label of case {entry.case} cannot be written as a DICOM object ({type(error).__name__}: "
        f"{error}); the log of the server says where"
    )
