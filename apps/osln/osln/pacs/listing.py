"""What a PACS holds: its CT, PET and RTSTRUCT series, and the segmentations that this program stored there.

Kept on the disk, so that a listing asks about new and changed series only, a restart about none, and a PACS
that is down does not empty the list. Attributes are asked for, pixels never.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydicom.dataset import Dataset

from osln.dicom.nodes import own_kind
from osln.dicom.reading.files import SCANNED, Progress, Series, text
from osln.dicom.reading.segmentation import when_created
from osln.dicom.reading.times import EARLIEST, instant
from osln.dicom.web.client import WebClient
from osln.dicom.web.errors import AwayError, PacsError
from osln.dicom.web.source import MODALITIES, series_of
from osln.files.images import write_atomically

KEPT = (*SCANNED, "StudyTime")
FORMAT = 3
"""Of the file; another one is listed anew."""
SAVED_S = 10.0
"""So often a list is kept while it is made."""
REPLACED = ("RTSTRUCT",)
"""Modalities whose objects may be replaced by others of the same series and number."""


@dataclass(frozen=True)
class StoredSeg:
    """A segmentation of ours on the PACS.

    Attributes:
        ct: Series of the CT that it was drawn on.
        study, series, instance: Its UIDs.
        content: one of `osln.dicom.nodes.OWN_KINDS`.
        created: ISO 8601, without an offset local time of whoever made it; "" if it does not say.
        number: Of the revision.
        by: Annotator.
    """

    ct: str
    study: str
    series: str
    instance: str
    content: str
    created: str
    number: int
    by: str


class Listing:
    """The series of a PACS.

    Args:
        file: Where the list is kept.
        web: The PACS.
        filters: Attributes that all series must have, besides the modality.
    """

    def __init__(self, file: Path, web: WebClient, filters: Mapping[str, str] | None = None) -> None:
        self.file = file
        self._web = web
        self._filters = dict(filters or {})
        self._stamp: tuple[int, int] | None = None
        self._read: tuple[list[Series], list[StoredSeg]] = ([], [])
        self._left_out: tuple[str, ...] = ()

    @property
    def stamp(self) -> tuple[int, int] | None:
        """Changes with the list; None before the first."""
        try:
            found = self.file.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino

    def content(self) -> tuple[list[Series], list[StoredSeg]]:
        """Images and structure sets, and the segmentations of ours, as of the last refresh by anybody."""
        if (stamp := self.stamp) != self._stamp:
            kept = self._kept()
            series = [_series(item) for entry in kept["series"].values() for item in entry["items"]]
            segs = [StoredSeg(**entry["seg"]) for entry in kept["segs"].values() if entry["seg"]]
            self._left_out = tuple(kept["left out"].values())
            self._read, self._stamp = (series, segs), stamp
        return self._read

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why series are not in the list, or not as they are now; a sentence each."""
        self.content()
        return self._left_out

    def refresh(self, on_progress: Progress | None = None) -> bool:
        """Asks the PACS; returns whether anything has changed.

        A series that the PACS lists and cannot describe is left out, or stays as it was, and is asked about
        again the next time. What was described is kept as it comes, so that no failure costs it again.

        Raises:
            PacsError: If the PACS does not answer as it should, or describes no series at all; series that it
                was not asked about stay as they were.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.file.with_suffix(".lock")):
            before = self._kept()
            found = [
                (modality, item)
                for modality in MODALITIES
                for item in self._web.search_series({"Modality": modality, **self._filters})
            ]
            # Those that failed the last time come last: they hold up no other one.
            found.sort(key=lambda one: text(one[1], "SeriesInstanceUID") in before["left out"])
            after, first, saved = _empty(), None, time.monotonic()
            try:
                for done, (modality, item) in enumerate(found, start=1):
                    uid, kind = text(item, "SeriesInstanceUID"), "segs" if modality == "SEG" else "series"
                    try:
                        known = before[kind].get(uid)
                        if known is None or not self._is_same(known, modality, item):
                            if on_progress:
                                on_progress("asking the PACS", done, len(found))
                            known = {
                                "listed": text(item, "NumberOfSeriesRelatedInstances"),
                                **self._described(kind, item),
                            }
                    except AwayError:
                        raise
                    except PacsError as error:
                        first = first or error
                        after["left out"][uid] = f"{modality} series {uid}: {error}"
                        if known is None:
                            continue
                    after[kind][uid] = known
                    if time.monotonic() - saved > SAVED_S:
                        self._save(_joined(before, after), before)
                        saved = time.monotonic()
            except BaseException:
                self._save(_joined(before, after), before)
                raise
            if first is not None and not after["series"] and not after["segs"]:
                raise first
            return self._save(after, before)

    def _is_same(self, known: dict[str, Any], modality: str, item: Dataset) -> bool:
        """Whether a series is as it was described; a structure set may be replaced within its series."""
        if known["listed"] != text(item, "NumberOfSeriesRelatedInstances"):
            return False
        if modality not in REPLACED:
            return True
        there = self._web.search_instances(text(item, "StudyInstanceUID"), text(item, "SeriesInstanceUID"))
        return {text(one, "SOPInstanceUID") for one in there} == {
            text(_series(one).header, "SOPInstanceUID") for one in known["items"]
        }

    def _save(self, after: dict[str, Any], before: dict[str, Any]) -> bool:
        """Keeps a list in place of the former one; returns whether they differ."""
        if after == before:
            return False
        write_atomically(self.file, json.dumps(after).encode())
        return True

    def _described(self, kind: str, item: Dataset) -> dict[str, Any]:
        if kind == "series":
            return {"items": [_as_json(series) for series in series_of(self._web, item)]}
        study, series = text(item, "StudyInstanceUID"), text(item, "SeriesInstanceUID")
        for instance in self._web.search_instances(study, series)[:1]:
            header = self._web.header(study, series, text(instance, "SOPInstanceUID"))
            referenced = header.get("ReferencedSeriesSequence")
            if (kind := own_kind(header)) and referenced:
                created = when_created(header)
                seg = StoredSeg(
                    ct=text(referenced[0], "SeriesInstanceUID"),
                    study=study,
                    series=series,
                    instance=text(header, "SOPInstanceUID"),
                    content=kind,
                    created=created.isoformat() if created else "",
                    number=int(header.get("InstanceNumber") or 0),
                    by=text(header, "ContentCreatorName").rstrip("^"),
                )
                return {"seg": asdict(seg)}
        return {"seg": None}

    def _kept(self) -> dict[str, Any]:
        try:
            kept = json.loads(self.file.read_text())
        except (OSError, ValueError):
            kept = {}
        return _empty() | kept if kept.get("format") == FORMAT else _empty()


def _empty() -> dict[str, Any]:
    return {"format": FORMAT, "series": {}, "segs": {}, "left out": {}}


def _joined(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """A list that was not asked to its end: the rest stays as it was."""
    kinds = ("series", "segs", "left out")
    return {"format": FORMAT} | {kind: before[kind] | after[kind] for kind in kinds}


def newest(segs: list[StoredSeg]) -> StoredSeg | None:
    """The one made last; None if there is none."""

    def age(seg: StoredSeg) -> tuple[datetime, int, str]:
        created = instant(datetime.fromisoformat(seg.created)) if seg.created else EARLIEST
        return created, seg.number, seg.instance

    return max(segs, key=age, default=None)


def _as_json(series: Series) -> dict[str, Any]:
    kept = Dataset()
    for tag in KEPT:
        if tag in series.header:
            kept.add(series.header[tag])
    return {
        "header": kept.to_json_dict(),
        "count": series.count,
        "patients": sorted(series.patients),
        "drawn on": sorted(series.drawn_on),
    }


def _series(values: dict[str, Any]) -> Series:
    header = Dataset.from_json(values["header"])
    return Series(
        header, int(values["count"]), frozenset(values["patients"]), drawn_on=frozenset(values["drawn on"])
    )
