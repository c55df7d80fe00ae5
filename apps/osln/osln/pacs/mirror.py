"""A folder that mirrors a PACS: which cases there are, and the files of one of them when it is asked for.

The folder is an ordinary store (README). All processes that use it may do so at one time.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from osln.dicom.intake.case_plans import CasePlan
from osln.dicom.intake.deidentify import Deidentifier, read_key
from osln.dicom.intake.one_case import fingerprint
from osln.dicom.intake.roi_names import RoiRules
from osln.dicom.intake.store_case import import_folder, labels_there
from osln.dicom.reading.files import text
from osln.dicom.web.client import WebClient
from osln.dicom.web.errors import MissingError, PacsError
from osln.imaging.grid import Volume
from osln.pacs.cases import Cases, find_cases
from osln.pacs.fetching import (
    ExchangedError,
    Fetched,
    check_unchanged,
    ever_fetched,
    fetch_case,
    read_fetched,
)
from osln.pacs.listing import Listing
from osln.pacs.room import Room

logger = logging.getLogger(__name__)

ASK_AGAIN_S = 20.0
"""So long a CT whose images were exchanged counts as such without being asked about again."""


class PacsMirror:
    """The mirror of one PACS.

    Args:
        root: Its folder; made readable for its owner alone, since it holds patient data.
        web: The PACS.
        rules: What names of regions mean.
        cache_gb: Room for images; see `Room`.
        filters: Attributes that all series must have, for instance {"StudyDate": "20260101-"}.
    """

    def __init__(
        self,
        root: Path,
        web: WebClient,
        rules: RoiRules,
        cache_gb: float = 20.0,
        filters: Mapping[str, str] | None = None,
    ) -> None:
        self.root, self.web, self.rules = root.resolve(), web, rules
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        self.deidentifier = Deidentifier(read_key(import_folder(self.root) / "key"))
        self.room = Room(self.root, cache_gb)
        self.listing = Listing(self.root / ".osln" / "pacs" / "listing.json", web, filters)
        self._cases: tuple[object, Cases] = (None, Cases({}, {}, ()))
        self._progress: dict[str, tuple[str, float]] = {}
        self._exchanged: dict[str, tuple[str, float]] = {}

    def cases(self) -> Cases:
        """The cases as of the last listing."""
        stamp = self.listing.stamp
        if self._cases[0] != stamp:
            found = find_cases(self.listing.content()[0])
            left_out = (*found.left_out, *self.listing.left_out)
            self._cases = (stamp, replace(found, left_out=left_out))
        return self._cases[1]

    def all_cases(self) -> set[str]:
        """The listed cases, and those that were fetched once: they keep their labels whatever is listed."""
        return set(self.cases().plans) | ever_fetched(self.root)

    def ensure(self, case: str) -> str | None:
        """Fetches the images of a case if they are not here, or not those that the PACS has now.

        Where the PACS cannot be asked, images that are here are used as they are.

        Returns:
            What a person should know although the images can be used; None if there is nothing.

        Raises:
            PacsError: If they are not here and the PACS fails, or has others than those that were labeled.
            ValueError: If the CT cannot be used; the sentence says why.
        """
        with self.room.using(case):
            here = (self.root / f"{case}.nii.gz").is_file()
            plan = self.cases().plans.get(case)
            if plan is None:
                if here:
                    return None
                raise PacsError(f"case {case} is not on the PACS any more, and its images have given way")
            known = read_fetched(self.root, case)
            if here and known and known.source == fingerprint(plan, self.deidentifier, self.rules):
                return None
            kept = labels_there(self.root, case)
            try:
                if kept:
                    self._check_unchanged(case, plan)
                try:
                    self._fetch(case, plan, kept)
                except MissingError:
                    # Taken away or replaced since the PACS was listed.
                    self.listing.refresh()
                    if (anew := self.cases().plans.get(case)) is None:
                        raise
                    self._fetch(case, anew, kept)
            except PacsError as error:
                if not here:
                    raise
                return f"the images stay as they were fetched: {error}"
        for gone in self.room.make():
            logger.info("The images of case %s gave way to others", gone)
        return None

    def progress(self, case: str) -> tuple[str, float] | None:
        """What this process is doing to fetch a case, and the share that is done; None if it does not."""
        return self._progress.get(case)

    def ct_grid(self, case: str) -> Volume | None:
        """The grid of a case that was fetched once, with zeros as voxels; None if it never was."""
        known = read_fetched(self.root, case)
        return known.empty_ct() if known else None

    def study_of(self, case: str) -> str:
        """UID of the study of a case's CT.

        Raises:
            PacsError: If it is not known.
        """
        if plan := self.cases().plans.get(case):
            return text(plan.ct.header, "StudyInstanceUID")
        if known := read_fetched(self.root, case):
            return known.study
        raise PacsError(f"case {case} is not on the PACS")

    def fetched(self, case: str) -> Fetched | None:
        """What is remembered of a case."""
        return read_fetched(self.root, case)

    @contextmanager
    def holding(self, cases: Iterable[str]) -> Iterator[dict[str, str]]:
        """Inside, the images of these cases are here, and stay; yields why some are not, by case."""
        wanted, lacking = sorted(cases), {}
        with self.room.holding(wanted):
            for case in wanted:
                try:
                    self.ensure(case)
                except ValueError as error:
                    lacking[case] = str(error)
            yield lacking

    def _fetch(self, case: str, plan: CasePlan, kept: Sequence[str]) -> None:
        begun = time.monotonic()

        def tell(words: str, share: float) -> None:
            self._progress[case] = words, share

        tell("fetching the images from the PACS", 0.0)
        try:
            known = fetch_case(plan, case, self.root, self.web, self.deidentifier, self.rules, kept, tell)
        finally:
            del self._progress[case]
        logger.info("Case %s fetched from the PACS in %.1f s", case, time.monotonic() - begun)
        for warning in known.warnings:
            logger.info("Case %s: %s", case, warning)

    def _check_unchanged(self, case: str, plan: CasePlan) -> None:
        """See `check_unchanged`; a case whose images were exchanged is not asked about with each request."""
        told, until = self._exchanged.get(case, (None, 0.0))
        if told and time.monotonic() < until:
            raise ExchangedError(told)
        try:
            check_unchanged(self.root, case, plan, self.web, self.deidentifier)
        except ExchangedError as error:
            self._exchanged[case] = str(error), time.monotonic() + ASK_AGAIN_S
            raise
        self._exchanged.pop(case, None)
