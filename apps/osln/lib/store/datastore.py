"""The store of studies: the CT is the case, PET and tumor lie beside it and are never listed as cases.

Every id and tag that comes from outside is checked here, in the one place that all routes of MONAI Label pass
through, so that no request reads or writes outside the store. Uploads are read before they are kept.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, ImageLabelModel

from lib.errors import NotReadyError, translated
from lib.store.archive import write_archive
from lib.store.case_files import put_away, take_ct
from lib.store.cases import PERSONS, checked_tag, client_notes
from lib.store.evidence import keep_evidence
from lib.store.labels import accept_submission
from lib.store.predicted import accept_prediction, withdraw_prediction
from lib.store.reports import report_for
from lib.store.served import COPIED, ServedStore
from lib.store.shown_labels import settle
from osln.active.evidence import CaseEvidence
from osln.dicom.served.catalog import FolderImages
from osln.dicom.served.service import FolderService
from osln.files.images import split_suffix
from osln.imaging.grid import Volume, read_volume
from osln.pacs.cases import TOLD
from osln.store.final_copy import prepared_cases
from osln.store.leases import leases
from osln.store.predictions import read_prediction
from osln.store.removals import settle_removed
from osln.store.settling import settle_interrupted
from osln.store.skips import skipped

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0
LOOKED_AT = 1000
"""Files of a folder without cases that are looked at to tell what it is."""


class OslnDatastore(ServedStore):
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
        self._lonely: dict[str, dict[str, str]] = {}
        self._unnoted = threading.local()
        self.images = FolderImages(self.root)
        self.dicom = FolderService(self.images, self._all_cases, self.known)
        try:
            (self.root / "labels" / "gtv").mkdir(parents=True, exist_ok=True)
            settle_removed(self.root)
            settle_interrupted(self.root)
            super().__init__(
                str(self.root), extensions=tuple(extensions), auto_reload=auto_reload, read_only=read_only
            )
            if not read_only:
                self._catch_up()
        except OSError as error:
            raise ValueError(
                f"the folder of the cases, {self.root}, cannot be written ({error.strerror}): the server "
                "keeps labels and its index there; give it the right to write"
            ) from error
        if auto_reload:
            # Atomic writes arrive as renames, which the stock handler does not look at.
            self._handler.on_moved = self._on_any_event

    def _catch_up(self) -> None:
        """Notes newest revisions that the index does not know: it was lost, or could not be written then."""
        objects = self._datastore.objects
        behind = [
            (case, tag)
            for case in objects
            for tag in COPIED
            if tag in objects[case].labels and self.missed(case, tag) is not None
        ]
        if not behind:
            return
        with self.transaction():
            for case, tag in behind:
                self.catch_up(case, tag)

    def ct(self, case: str) -> Volume:
        """The CT that labels of a case are checked against."""
        return read_volume(self.get_image_uri(case))

    def announce(self, case: str, tag: str) -> None:
        """Called before a label is stored, inside its lock.

        Raises:
            UnknownCaseError: If the case was removed meanwhile: a later CT of the same id would inherit it.
        """
        self.check_served(case)

    def leases(self) -> dict[str, dict[str, str]]:
        """Who works on which case: `by`, `since` and `until` of the leases that have not ended."""
        return self._of_cases(leases(self.root))

    def skipped(self) -> dict[str, dict[str, str]]:
        """The cases that are put aside: `by`, `reason` and `at`."""
        return self._of_cases(skipped(self.root))

    def _of_cases(self, found: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        return {case: asdict(one) for case, one in found.items() if case in self._datastore.objects}

    def about_itself(self) -> list[str]:
        """Lines for the log of the start."""
        if self.list_images():
            return []
        told = ["no case yet: put CT volumes as <case>.nii.gz into the studies folder"]
        if any(path.suffix.lower() == ".dcm" for path in islice(self.root.rglob("*"), LOOKED_AT)):
            told.append("there are DICOM files here: ./scripts/osln import makes cases of them")
        return told

    def close(self) -> None:
        """Ends the watching of the folder; the store is not used any more."""
        observer = getattr(self, "_observer", None)
        if observer is not None and observer.is_alive():
            observer.stop()
            observer.join(CLOSE_SECONDS)

    def about_label(self, case: str) -> dict[str, Any]:
        """What the reply to a submission says: what was stored, what could not be noted, where it goes."""
        remarks, self._unnoted.told = getattr(self._unnoted, "told", []), []
        told = report_for(case)
        if remarks:
            warnings = [*told.get("warnings", []), *remarks]
            told |= {"warnings": warnings, "message": " ".join([told.get("message", "Stored."), *remarks])}
        try:
            return told | self.about_delivery(case)
        except Exception:
            logger.exception("The label is stored; what becomes of it cannot be told")
            return told

    def after_storing(self) -> None:
        """Called after a label was stored, outside its lock; for stores that pass labels on."""

    def about_delivery(self, case: str) -> dict[str, Any]:
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
        """Notes a stored label in the index, and whether one fits that was copied.

        The label is stored: a note that cannot be written is told (`about_label`) and undoes nothing. The
        index takes the label up with the next start.

        Args:
            case: Id of the case.
            tag: Of the label.
            info: The notes; `ts`, seconds since the epoch, where it was not stored now.
        """
        try:
            self._note(case, tag, info)
        except Exception as error:
            logger.exception("The %s label of case %s is stored, but not noted in the index", tag, case)
            reason = getattr(error, "strerror", None) or type(error).__name__
            remark = f"The label is stored; the index could not be written ({reason})."
            self._unnoted.told = [*getattr(self._unnoted, "told", []), remark]

    def catch_up(self, case: str, tag: str) -> None:
        """Notes the newest revision of a label where the index does not know it.

        Where that cannot be written, the next visit of the case or the next start does it.
        """
        if (notes := self.missed(case, tag)) is None:
            return
        try:
            self._note(case, tag, notes)
        except Exception:
            logger.warning("The newest %s label of case %s is not noted", tag, case, exc_info=True)

    def _note(self, case: str, tag: str, info: Mapping[str, Any]) -> None:
        name = self.label_path(case, tag).name
        with self.transaction():
            noted = {"ts": int(time.time()), **info, "name": name}
            self._datastore.objects[case].labels[tag] = DataModel(info=noted, ext=".nii.gz")
            self._look_at_label(case, tag)
            self._update_datastore_file()

    @translated()
    def status(self) -> dict[str, Any]:
        self.check_there()
        return super().status()

    @translated()
    def json(self) -> dict[str, Any]:
        self.check_there()
        return super().json()

    @translated()
    def get_image_uri(self, image_id: str) -> str:
        """Path of a CT as it is called in the store: beside a link's target lies what is of other cases."""
        case = self.known(image_id)
        entry = self._datastore.objects.get(case)
        return str(self.root / f"{case}{entry.image.ext}") if entry else ""

    @translated()
    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Notes of a case, with what viewers show of it and open it by as `names_in` says it."""
        info = super().get_image_info(self.known(image_id))
        return {key: note for key, note in info.items() if key not in TOLD} | self.names_in(info)

    def names_in(self, notes: Mapping[str, Any]) -> dict[str, str]:
        """Patient, study and series in the notes of a case, as a PACS has them.

        {} in a folder, whose cases have their ids only.
        """
        return {}

    @translated()
    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        case = self.known(image_id)
        super().update_image_info(case, client_notes(info, super().get_image_info(case)))

    @translated()
    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Path of a label, "" if there is none; of an approved one, the newest also while its copy waits."""
        case, tag = self.known(label_id), checked_tag(label_tag)
        waiting = None if tag == "original" else self.revisions(case, tag).waiting()
        return str(waiting or super().get_label_uri(case, tag))

    @translated()
    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        case, tag = self.known(label_id), checked_tag(label_tag)
        info = super().get_label_info(case, tag)
        result = read_prediction(self.root, case) if tag == "original" and info else None
        return info if result is None else info | {"params": result}

    @translated()
    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        case = self._with_label(label_id, label_tag)
        former = super().get_label_info(case, label_tag)
        # Who writes a note of a label has not made the label.
        kept = {key: note for key, note in client_notes(info, former).items() if key not in PERSONS}
        super().update_label_info(case, label_tag, kept)

    @translated()
    def datalist(self, full_path: bool = True) -> list[dict[str, str]]:
        """CT and label of each approved case, the newest label also while its copy waits; whole paths."""
        found = self._approved().values()
        return [{kind: str(path.resolve()) for kind, path in files.items()} for files in found]

    def _approved(self, most: int | None = None) -> dict[str, dict[str, Path]]:
        """CT and label of the approved cases whose CT is here, the first `most` of them."""
        waiting, found = prepared_cases(self.root / "labels" / "final"), {}
        for case, entry in self._datastore.filter_by_tag("final").items():
            if most is not None and len(found) >= most:
                break
            ct = self.root / f"{case}{entry.image.ext}"
            label = self.root / "labels" / "final" / f"{case}{entry.labels['final'].ext}"
            if case in waiting:
                label = self.revisions(case, "final").waiting() or label
            if ct.is_file():
                found[case] = {"image": ct, "label": label}
        return found

    @translated()
    def get_dataset_archive(self, limit_cases: int | None) -> str:
        cases = self._approved(limit_cases if limit_cases and limit_cases > 0 else None)
        if not cases:
            raise NotReadyError(
                "no case is approved yet whose CT is here, so there is nothing to download; submit a label"
            )
        return write_archive(cases, self._datastore.model_dump_json(exclude={"base_path"}))

    @translated()
    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Stores an uploaded CT as a case; see `lib.store.case_files`."""
        self.check_there()
        return take_ct(self, image_id, image_filename, image_info)

    def register_case(self, case: str, file: Path, info: dict[str, Any]) -> None:
        """Notes a stored CT in the index."""
        noted = {**client_notes(info or {}), "ts": int(time.time()), "name": file.name}
        with self.transaction():
            entry = DataModel(info=noted, ext=split_suffix(file)[1])
            self._datastore.objects[case] = ImageLabelModel(image=entry)
            self._update_datastore_file()

    @translated()
    def remove_image(self, image_id: str) -> None:
        """Takes a case out of the store; its labels are kept (`lib.store.case_files`)."""
        case = self.known(image_id)
        put_away(self, case)

    @translated()
    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]
    ) -> str:
        """Stores a label after checking it; see `lib.store.labels` for what a label must be."""
        case, tag = self.known(image_id), checked_tag(label_tag)
        info = client_notes(label_info or {})
        if tag == "original":
            accept_prediction(self, case, label_filename, info)
        else:
            accept_submission(self, case, label_filename, info, tag=tag)
            self.after_storing()
        return case

    @translated()
    def save_prediction(self, image_id: str, label_filename: str, info: dict[str, Any], read: str) -> str:
        """Stores what a model of this server found.

        Args:
            image_id: The case.
            label_filename: The label map.
            info: Notes about it.
            read: Marks of the case's files when they were read: they may have changed while the networks ran.
        """
        case = self.known(image_id)
        accept_prediction(self, case, label_filename, client_notes(info), read)
        return case

    def keep_evidence(self, image_id: str, evidence: CaseEvidence, read: str) -> None:
        """Keeps what a stored prediction leaves for the strategies; without it they go by chance.

        Args:
            image_id: The case.
            evidence: What is kept.
            read: Marks of the case's files when they were read.
        """
        try:
            keep_evidence(self, self.known(image_id), evidence, read)
        except (OSError, LookupError, ValueError) as error:
            logger.warning("The prediction of case %s is stored, its evidence is not: %s", image_id, error)

    @translated()
    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Takes a label away; revisions of approved labels stay. Of a link the link goes, not its target."""
        case = self._with_label(label_id, label_tag)
        if label_tag == "original":
            withdraw_prediction(self, case)
        else:
            kept = self.revisions(case, label_tag)
            with kept.lock():
                settle(self, kept, case, label_tag)
                kept.remove_final()
        self.refresh()
