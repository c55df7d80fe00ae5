"""The store of studies: the CT is the case, PET and tumor lie beside it and are never listed as cases.

Every id and tag that comes from outside is checked here, in the one place that all routes of MONAI Label pass
through, so that no request reads or writes outside the store. Uploads are read before they are kept.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.datastore.local import DataModel, ImageLabelModel

from lib.cases import (
    TAGS,
    UPLOAD_SUFFIXES,
    checked_notes,
    checked_tag,
    is_case_id,
    read_ct,
    reason_against,
)
from lib.errors import NotReadyError, UnknownCaseError, translated
from lib.index import StoreIndex
from lib.labels import accept_prediction, accept_submission
from lib.options import listed
from osln.grid import Volume, read_volume, write_volume
from osln.imagefile import split_suffix, twins, write_atomically
from osln.revisions import Revisions, label_revisions
from osln.study import check_case

logger = logging.getLogger(__name__)


class OslnDatastore(StoreIndex):
    """A folder of cases (layout: README of sample-datastore).

    Args:
        studies_path: The folder.
        extensions: Patterns of the files that are cases.
        auto_reload: Notice files that are added or taken away while the server runs.
        read_only: Do not change the index at start.
    """

    def __init__(
        self,
        studies_path: str | Path,
        extensions: tuple[str, ...] = ("*.nii.gz", "*.nii"),
        auto_reload: bool = False,
        read_only: bool = False,
    ) -> None:
        self.root = Path(studies_path).resolve()
        self._refused: dict[str, str] = {}
        (self.root / "labels" / "gtv").mkdir(parents=True, exist_ok=True)
        super().__init__(
            str(self.root), extensions=tuple(extensions), auto_reload=auto_reload, read_only=read_only
        )
        if auto_reload:
            # Atomic writes arrive as renames, which the stock handler does not look at.
            self._handler.on_moved = self._on_any_event

    @property
    def refused(self) -> dict[str, str]:
        """Files at the top of the store that are not served, with the reason."""
        return dict(self._refused)

    def revisions(self, case: str, tag: str) -> Revisions:
        """The kept versions of a case's approved nodes ("final") or tumor ("gtv")."""
        return label_revisions(self.root, case, tag)

    def label_path(self, case: str, tag: str) -> Path:
        """Where a label of ours is stored, whether it exists or not."""
        return self.root / "labels" / tag / f"{case}.nii.gz"

    def ct(self, case: str) -> Volume:
        """The CT that labels of a case are checked against."""
        return read_volume(self.get_image_uri(case))

    def announce(self, case: str, tag: str) -> None:
        """Called before a submitted label is stored, inside its lock; for stores that pass labels on."""

    def about_itself(self) -> list[str]:
        """Lines for the log of the start."""
        if self.list_images():
            return []
        return ["no case yet: put CT volumes as <case>.nii.gz into the studies folder"]

    def about_delivery(self) -> dict[str, Any]:
        """What the reply to a submission says besides what was stored."""
        return {}

    @contextmanager
    def at_hand(self, on_step: Callable[[str], None]) -> Iterator[None]:
        """Inside, the images of all approved cases lie in the folder, for those who read it directly.

        Args:
            on_step: Told what goes on, in a sentence.
        """
        yield

    def register_label(self, case: str, tag: str, info: dict[str, Any]) -> None:
        """Notes a stored label in the index."""
        name = self.label_path(case, tag).name
        with self.transaction():
            noted = {**info, "ts": int(time.time()), "name": name}
            self._datastore.objects[case].labels[tag] = DataModel(info=noted, ext=".nii.gz")
            self._update_datastore_file()

    @translated()
    def get_image_uri(self, image_id: str) -> str:
        return super().get_image_uri(self.known(image_id))

    @translated()
    def get_image_info(self, image_id: str) -> dict[str, Any]:
        return super().get_image_info(self.known(image_id))

    @translated()
    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        super().update_image_info(self.known(image_id), checked_notes(info))

    @translated()
    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        return super().get_label_uri(self.known(label_id), checked_tag(label_tag))

    @translated()
    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        return super().get_label_info(self.known(label_id), checked_tag(label_tag))

    @translated()
    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        self._has_label(label_id, label_tag)
        super().update_label_info(label_id, label_tag, checked_notes(info))

    @translated()
    def get_dataset_archive(self, limit_cases: int | None) -> str:
        if not self.datalist():
            raise NotReadyError("no case is approved yet, so there is nothing to download; submit a label")
        return super().get_dataset_archive(limit_cases)

    @translated()
    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Stores an uploaded CT as a case, after reading it.

        A CT that the case has already is no conflict: 3D Slicer uploads it when an annotator has opened a
        stored CT by hand, to correct a label that was submitted before.

        Raises:
            HTTPException: 422 if it is not a CT in a format that is read, 409 if the case exists already with
                another CT.
        """
        source = Path(image_filename)
        name, suffix = split_suffix(source)
        if suffix not in UPLOAD_SUFFIXES:
            raise ValueError(
                f"a CT is uploaded as one of {listed(UPLOAD_SUFFIXES)}, got a file named *{source.suffix}"
            )
        case = check_case(image_id or name)
        ct = read_ct(case, source)
        target = self.root / f"{case}{'.nii.gz' if suffix == '.nrrd' else suffix}"
        with self.revisions(case, "final").lock():
            if others := [path for path in (target, *twins(target)) if path.exists()]:
                if len(others) == 1 and _same_image(read_volume(others[0]), ct):
                    return case
                raise NotReadyError(
                    f"case {case} exists already with another CT ({others[0].name}); remove it first (DELETE "
                    "/datastore/image) or choose another id (in 3D Slicer: rename the volume)"
                )
            if suffix == ".nrrd":
                write_volume(target, ct.array, ct.grid, ct.file_grid)
            else:
                write_atomically(target, source.read_bytes())
            info = {**checked_notes(image_info or {}), "ts": int(time.time()), "name": target.name}
            with self.transaction():
                self._datastore.objects[case] = ImageLabelModel(
                    image=DataModel(info=info, ext=split_suffix(target)[1])
                )
                self._update_datastore_file()
        return case

    @translated()
    def remove_image(self, image_id: str) -> None:
        """Takes a case out of the store; its companions and revisions are moved to `.osln/.removed`.

        They must not stay in place: a CT stored later under the same id would get another patient's PET.
        """
        case = self.known(image_id)
        ct = Path(super().get_image_uri(case))
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
        archive = self.root / ".osln" / ".removed" / f"{case}-{stamp}"
        archive.mkdir(parents=True)
        for tag in ("final", "gtv"):
            kept = self.revisions(case, tag)
            with kept.lock():
                kept.settle()
        for folder in ("pet", "truth", "labels/gtv", "labels/final", "labels/original"):
            for path in (self.root / folder).glob(f"{case}.*"):
                if split_suffix(path)[0] in (case, f"{case}.json"):
                    (archive / folder).mkdir(parents=True, exist_ok=True)
                    shutil.move(path, archive / folder / path.name)
        shutil.move(self.root / ".osln" / case, archive / "revisions")
        ct.unlink()
        self.refresh()

    @translated()
    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]
    ) -> str:
        """Stores a label after checking it; see `lib.labels` for what a label must be."""
        case, tag = self.known(image_id), checked_tag(label_tag)
        info = checked_notes(label_info or {})
        if tag == "original":
            accept_prediction(self, case, label_filename, info)
        else:
            accept_submission(self, case, label_filename, info, tag=tag)
        return case

    @translated()
    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Takes a label away; revisions of approved labels stay."""
        self._has_label(label_id, label_tag)
        if label_tag == "original":
            Path(super().get_label_uri(label_id, label_tag)).unlink(missing_ok=True)
        else:
            kept = self.revisions(label_id, label_tag)
            with kept.lock():
                kept.settle()
                kept.remove_final()
        self.refresh()

    def known(self, case: str) -> str:
        """The id itself if the store serves the case.

        Raises:
            ValueError: Not fit to be an id.
            UnknownCaseError: No such case.
            NotReadyError: The case is there but refused, for instance because of a twin name.
        """
        if not case:
            raise UnknownCaseError(
                "no case was named, or the session has ended; give image=<case id>, or send the image again "
                "(PUT /session/)"
            )
        check_case(case)
        if case not in self._datastore.objects and not self._refused.get(case):
            self.refresh()
        if reason := self._refused.get(case):
            raise NotReadyError(f"case {case} is not served: {reason}")
        if case not in self._datastore.objects:
            raise UnknownCaseError(
                f"no case {case!r} in the store, which has {len(self._datastore.objects)}; "
                "GET /datastore/?output=all lists them"
            )
        return case

    def _has_label(self, case: str, tag: str) -> None:
        if not super().get_label_uri(self.known(case), checked_tag(tag)):
            there = ", ".join(sorted(self._datastore.objects[case].labels)) or "none"
            raise UnknownCaseError(f"case {case} has no label {tag!r}; it has: {there}")

    def _on_any_event(self, event: Any) -> None:
        try:
            super()._on_any_event(event)
        except Exception:
            # An error here would end the folder watcher for good.
            logger.exception("The store could not be read again after a change of its files")

    def _to_id(self, file: str) -> tuple[str, str]:
        return split_suffix(file)

    def _list_files(self, path: str, patterns: tuple[str, ...]) -> dict[str, str]:
        folder = Path(path).resolve()
        found = {name: name for name in super()._list_files(path, patterns) if (folder / name).is_file()}
        if folder != self.root:
            return found
        refused = {}
        for name in found:
            if reason := reason_against(folder / name):
                refused[split_suffix(name)[0]] = reason
        for case in sorted(refused.keys() - self._refused.keys()):
            logger.warning("Case left out: %s", refused[case])
        self._refused = refused
        return {name: name for name in found if split_suffix(name)[0] not in refused}

    def _remove_non_existing(self) -> int:
        objects = self._datastore.objects
        unfit = [case for case in objects if not is_case_id(case) or case in self._refused]
        for case in unfit:
            del objects[case]
        return len(unfit) + super()._remove_non_existing()

    def _add_non_existing_labels(self, tag: str) -> int:
        return super()._add_non_existing_labels(tag) if tag in TAGS else 0


def _same_image(one: Volume, other: Volume) -> bool:
    return one.grid.matches(other.grid) and np.array_equal(one.array, other.array)
