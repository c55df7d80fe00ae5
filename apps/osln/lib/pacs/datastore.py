"""The store of studies on a PACS: a folder that mirrors it (`osln.pacs.mirror`), with all that folders have.

Only what differs is here: cases are listed before their images are fetched, a case can be named by any of its
series, and submitted labels go back to the PACS.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lib.configuration import PacsOptions
from lib.errors import NotReadyError, translated
from lib.pacs import delivery_words
from lib.pacs import settings as pacs_settings
from lib.store.datastore import OslnDatastore
from lib.store.shown_labels import settle
from lib.store.submitted import about
from osln.dicom.served.about import AboutImages
from osln.dicom.served.catalog import SeriesFile
from osln.dicom.served.uids import case_named
from osln.dicom.web.client import WebClient
from osln.dicom.web.errors import AwayError, PacsError
from osln.imaging.grid import Volume
from osln.pacs.cases import TOLD, told
from osln.pacs.derived import DerivedPets
from osln.pacs.mirror import PacsMirror
from osln.pacs.outbox import Outbox
from osln.pacs.returning import take_label, wanted_labels
from osln.store.approved import approved_cases
from osln.store.layout import check_case
from osln.store.revisions import ConflictError

logger = logging.getLogger(__name__)

UNKNOWN_S = 2.0
"""A PACS is asked for a series that nobody knows at most so often."""
TAKEN_AGAIN_S = 300.0
"""A segmentation that could not be taken is tried again after so long."""


class PacsDatastore(OslnDatastore):
    """The cases of a PACS.

    Args:
        mirror: The folder and the PACS.
        auto_reload: As for a folder.
        read_only: As for a folder.
    """

    def __init__(self, mirror: PacsMirror, auto_reload: bool = False, read_only: bool = False) -> None:
        self.mirror = mirror
        self._asked = 0.0
        self._failed: PacsError | None = None
        self._indexed: tuple[int, int] | None = None
        self._remarks: dict[str, str] = {}
        self._not_taken: dict[str, float] = {}
        self.outbox = Outbox(mirror.root)
        self.after_submission: Callable[[], None] = lambda: None
        self.before_listing: Callable[[], None] = lambda: None
        super().__init__(mirror.root, auto_reload=auto_reload, read_only=read_only)
        self.derived = DerivedPets(mirror, self.images)

    @translated()
    def get_image_uri(self, image_id: str) -> str:
        case = self.known(image_id)
        remark = self.mirror.ensure(case)
        if remark and self._remarks.get(case) != remark:
            logger.warning("Case %s: %s", case, remark)
        self._remarks[case] = remark or ""
        return super().get_image_uri(case)

    @translated()
    def get_image_info(self, image_id: str) -> dict[str, Any]:
        case = self.known(image_id)
        fetched = self.mirror.fetched(case)
        warnings = [*(fetched.warnings if fetched else ()), self._remarks.get(case)]
        info = super().get_image_info(case)
        return info | {"warnings": [warning for warning in warnings if warning]}

    def names_in(self, notes: Mapping[str, Any]) -> dict[str, str]:
        return {key: notes[key] for key in TOLD if isinstance(notes.get(key), str)}

    @property
    def left_out(self) -> list[str]:
        """As of a folder, and what the PACS holds that is no case."""
        return [*super().left_out, *self.mirror.cases().left_out]

    def ct(self, case: str) -> Volume:
        """The CT; only its grid where the PACS is down and the images are not here: a label is not lost."""
        try:
            self.mirror.ensure(case)
        except PacsError:
            if grid := self.mirror.ct_grid(case):
                return grid
            raise
        return super().ct(case)

    def ct_series(self, case: str) -> str:
        return case

    def prepare(self, study: str) -> None:
        self.derived.prepare(study)

    def about_images(self, case: str) -> AboutImages:
        return self.derived.about(case)

    def _served(self, case: str) -> list[SeriesFile]:
        return [file for file in [self.derived.of(case)] if file]

    def announce(self, case: str, tag: str) -> None:
        self.outbox.announce(case, tag)

    def after_storing(self) -> None:
        self.after_submission()

    def about_itself(self) -> list[str]:
        waits = self.waiting()["waiting"]
        return [
            f"mirror   {self.root}",
            "the PACS is asked for its cases now; those above were known before",
            *([f"{waits} labels wait for the PACS"] if waits else []),
        ]

    def about_delivery(self, case: str) -> dict[str, Any]:
        return {"pacs": delivery_words.about(self.outbox, case)}

    def waiting(self) -> dict[str, Any]:
        """See `delivery_words.waiting`."""
        return delivery_words.waiting(self.outbox)

    @translated()
    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        raise NotReadyError("the cases of this server are those of its PACS: send the images to the PACS")

    @translated()
    def remove_image(self, image_id: str) -> None:
        raise NotReadyError("the cases of this server are those of its PACS: remove the images there")

    def known(self, case: str) -> str:
        if case:
            check_case(case)
            found = self.mirror.cases().case_of(case)
            ours = case_named(case, self._datastore.objects)
            if found is None and ours is None and case not in self._datastore.objects:
                self._ask_for(case)
                found = self.mirror.cases().case_of(case)
            case = found or case
        return super().known(case)

    def list_images(self) -> list[str]:
        self.before_listing()
        return super().list_images()

    def get_unlabeled_images(self, *filters: Any, **named: Any) -> list[str]:
        self.before_listing()
        return super().get_unlabeled_images(*filters, **named)

    def json(self) -> dict[str, Any]:
        self.before_listing()
        return super().json()

    @translated()
    def get_dataset_archive(self, limit_cases: int | None) -> str:
        with self.at_hand(logger.info):
            return super().get_dataset_archive(limit_cases)

    @contextmanager
    def at_hand(self, on_step: Callable[[str], None]) -> Iterator[None]:
        cases = approved_cases(self.root)
        on_step(f"fetching the images of {len(cases)} approved cases")
        with self.mirror.holding(cases) as lacking:
            for case, reason in lacking.items():
                on_step(f"goes without case {case}: {reason}")
            yield

    def look(self) -> bool:
        """Lists the PACS anew; returns whether anything has changed.

        Raises:
            PacsError: If it does not answer as it should.
        """
        self._asked = time.monotonic()
        try:
            changed = self.mirror.listing.refresh()
            self._failed = None
        except PacsError as error:
            self._failed = error
            raise
        finally:
            # What was listed before a failure is kept, too, and what somebody else has listed.
            if (stamp := self.mirror.listing.stamp) != self._indexed:
                self.refresh()
                self._indexed = stamp
        return changed

    def take_labels(self) -> None:
        """Takes over labels that are newer on the PACS than here.

        Raises:
            AwayError: If the PACS cannot be reached.
        """
        for case, tag, stored in list(wanted_labels(self.mirror)):
            if time.monotonic() < self._not_taken.get(stored.instance, 0.0):
                continue
            try:
                settled = partial(settle, self, case=case, tag=tag)
                revision = take_label(self.mirror, case, tag, stored, settled)
            except AwayError:
                raise
            except (ConflictError, OSError) as error:
                logger.warning("A segmentation of case %s on the PACS is taken later: %s", case, error)
                continue
            except Exception as error:
                # Objects come from anywhere. Its CT may be sent again, or what was wrong here be mended.
                logger.warning("A segmentation of case %s on the PACS was not taken: %s", case, error)
                self._not_taken[stored.instance] = time.monotonic() + TAKEN_AGAIN_S
                continue
            if revision:
                self.register_label(case, tag, about(revision) | {"source": revision.source})

    def _ask_for(self, case: str) -> None:
        try:
            if time.monotonic() - self._asked > UNKNOWN_S:
                self.look()
            elif self._failed:
                raise self._failed
        except PacsError as error:
            raise PacsError(f"series {case} is not known here, and {error}") from error

    def _list_files(self, path: str, patterns: tuple[str, ...]) -> dict[str, str]:
        found = super()._list_files(path, patterns)
        if Path(path).resolve() == self.root:
            found |= {name: name for case in self.mirror.all_cases() if (name := f"{case}.nii.gz")}
        return found

    def _remove_non_existing(self) -> int:
        """Cases stay in the index without their images, with the labels that they have."""
        objects = self._datastore.objects
        listed = self.mirror.all_cases() & objects.keys()
        absent = {case: objects[case] for case in listed if not (self.root / f"{case}.nii.gz").is_file()}
        waiting = self.waiting_labels()
        removed = super()._remove_non_existing() - len(absent)
        for case, entry in absent.items():
            gone = [
                tag
                for tag in entry.labels
                if not self.label_path(case, tag).is_file() and (case, tag) not in waiting
            ]
            for tag in gone:
                del entry.labels[tag]
            removed += len(gone)
            self._datastore.objects[case] = entry
        return removed

    def _reconcile_datastore(self) -> None:
        with self.transaction():
            super()._reconcile_datastore()
            changed = False
            for case, plan in self.mirror.cases().plans.items():
                info = self._datastore.objects[case].image.info
                listed = told(plan)
                if not listed.items() <= info.items():
                    info.update(listed)
                    changed = True
            if changed:
                self._update_datastore_file()


def open_pacs(url: str, app_dir: str, options: PacsOptions, **kinds: bool) -> PacsDatastore:
    """The store of the PACS at an address; asks the PACS nothing yet.

    Args:
        url: As it was given, perhaps with credentials.
        app_dir: Folder of the app.
        options: From the configuration.
        kinds: `auto_reload` and `read_only`.
    """
    web = WebClient(url, pacs_settings.credentials(url), timeout_s=options.timeout_s)
    for warning in web.warnings:
        logger.warning("%s", warning)
    mirror = PacsMirror(
        pacs_settings.mirror_folder(url, app_dir),
        web,
        options.rules,
        options.cache_gb,
        pacs_settings.filters(),
    )
    return PacsDatastore(mirror, **kinds)
