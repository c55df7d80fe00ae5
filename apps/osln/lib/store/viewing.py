"""What viewers ask of a store: its images as DICOM, and the case that a UID of theirs names."""

import logging
from pathlib import Path

from lib.errors import NotReadyError, StoreGoneError
from lib.store.index import StoreIndex
from osln.dicom.served.about import AboutImages, about_folder_case
from osln.dicom.served.catalog import FolderImages, SeriesFile
from osln.dicom.served.service import FolderService, series_named
from osln.dicom.served.uids import case_named, series_part, study_uid

logger = logging.getLogger(__name__)


class ViewedStore(StoreIndex):
    """A store whose images are made into DICOM when they are asked for.

    Attributes:
        root: The folder.
        images: Its images.
        dicom: Answers for them.
    """

    root: Path
    images: FolderImages
    dicom: FolderService
    _refused: dict[str, str]
    _lonely: dict[str, dict[str, str]]

    def ct_series(self, case: str) -> str:
        """UID of the series that viewers show as the CT of a case."""
        return self.images.files(case)[0].uid

    def prepare(self, study: str) -> None:
        """Has the images of a study made before they are asked for; does nothing if they cannot be."""
        try:
            self.dicom.prepare(study)
        except (LookupError, ValueError, NotReadyError, StoreGoneError, OSError):
            # Said when they are asked for.
            logger.debug("The images of study %s are not made yet", study, exc_info=True)

    def about_images(self, case: str) -> AboutImages:
        """What is shown of a case, and what a person should know about it."""
        return about_folder_case(self.images, case)

    def _there(self, case: str) -> bool:
        return case in self._datastore.objects or bool(self._refused.get(case))

    def _all_cases(self) -> list[str]:
        """Served and refused ones."""
        return [*self._datastore.objects, *self._refused]

    def _named(self, name: str) -> str:
        """The case that a UID names, also where a file has that name; anything else stays as it is.

        Raises:
            GoneError: If it is neither the study nor a series as its file is now.
        """
        case = case_named(name, self._all_cases())
        if case is not None and name != study_uid(case) and case not in self._refused:
            series_named(self._served(case), case, series_part(name))
        return case or name

    def _served(self, case: str) -> list[SeriesFile]:
        """The series of a case that are made here."""
        return self.images.files(case)
