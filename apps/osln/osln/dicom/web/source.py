"""Studies of a PACS over DICOMweb (QIDO-RS and WADO-RS): the same series and files as from a folder.

Listing asks for attributes only; the pixels of a series are fetched when its case is imported and deleted
after it. The requests themselves are in `osln.dicom.web.client`.
"""

import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import pydicom
from pydicom.dataset import Dataset

from osln.dicom.reading.files import ALONE, Progress, Series, is_slice, representative, text
from osln.dicom.reading.referenced import drawn_on
from osln.dicom.web.client import WebClient
from osln.dicom.web.errors import AwayError, PacsError

MODALITIES = ("CT", "PT", "RTSTRUCT", "SEG")


class WebSource:
    """A DICOMweb service as a source.

    Args:
        web: The service.
        patient: Only this patient id; None: all.
    """

    def __init__(self, web: WebClient, *, patient: str | None = None) -> None:
        self._web = web
        self._filter = {"PatientID": patient} if patient else {}
        self.problems = list(web.warnings)
        self.damaged: list[Dataset] = []
        self._folder = Path(tempfile.mkdtemp(prefix="osln-dicomweb-"))

    def __enter__(self) -> "WebSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def series(self, on_progress: Progress | None = None) -> list[Series]:
        """All CT, PET, RTSTRUCT and SEG series; the attributes of one instance of each.

        A study with a series that the PACS lists and cannot describe is left out whole, and told in
        `problems`: without its PET or its contours it would become another case.

        Raises:
            PacsError: If the PACS does not answer as it should, or describes no study.
        """
        listed = [
            item
            for modality in MODALITIES
            for item in self._web.search_series({"Modality": modality, **self._filter})
        ]
        found: list[Series] = []
        failed: dict[str, PacsError] = {}
        for done, item in enumerate(listed, start=1):
            if on_progress:
                on_progress("asking the PACS", done, len(listed))
            try:
                found += series_of(self._web, item)
            except AwayError:
                raise
            except PacsError as error:
                study, series = text(item, "StudyInstanceUID"), text(item, "SeriesInstanceUID")
                if study not in failed:
                    self.problems.append(f"study {study}, left out whole: its series {series}: {error}")
                failed.setdefault(study, error)
        whole = [series for series in found if text(series.header, "StudyInstanceUID") not in failed]
        if failed and not whole:
            raise next(iter(failed.values()))
        return whole

    def paths(self, series: Series, on_progress: Progress | None = None) -> list[Path]:
        """Fetches the instances of a series into a temporary folder.

        Raises:
            PacsError: If the PACS fails, sends something else than was asked for, or not all of it; except
                where it is away, the sentence begins with the series.
        """
        try:
            return self._fetched(series, on_progress)
        except AwayError:
            raise
        except PacsError as error:
            raise type(error)(f"{series.name}: {error}") from error

    def _fetched(self, series: Series, on_progress: Progress | None) -> list[Path]:
        study, uid = text(series.header, "StudyInstanceUID"), series.uid
        paths = []
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        if series.modality in ALONE:
            instance = text(series.header, "SOPInstanceUID")
            arriving = iter([self._web.instance(study, uid, instance)])
        else:
            arriving = self._web.instances(study, uid)
        for number, ds in enumerate(arriving):
            if on_progress:
                on_progress("fetching", number + 1, series.count)
            if text(ds, "SeriesInstanceUID") != uid or text(ds, "PatientID") not in series.patients:
                raise PacsError("the PACS sent images of another series or patient than asked for")
            path = folder / f"{number:05d}.dcm"
            pydicom.dcmwrite(path, ds, write_like_original=False)
            paths.append(path)
        if len(paths) < series.count:
            raise PacsError(f"{len(paths)} of {series.count} images arrived; try again")
        return paths

    def release(self) -> None:
        """Deletes what was fetched."""
        for folder in self._folder.iterdir():
            shutil.rmtree(folder, ignore_errors=True)


def series_of(web: WebClient, item: Dataset) -> list[Series]:
    """One series that a search found, with the attributes of one instance; those of `ALONE` one by one.

    Where the first instance is no slice (a scout, say), all are asked about.

    Args:
        web: Where it was found.
        item: A result of `WebClient.search_series`.
    """
    study, series = text(item, "StudyInstanceUID"), text(item, "SeriesInstanceUID")
    instances = web.search_instances(study, series)
    listed = text(item, "NumberOfSeriesRelatedInstances")
    if listed.isdecimal() and int(listed) > len(instances):
        raise PacsError(
            f"the PACS lists {len(instances)} of {listed} images of a series; it may limit its results, or "
            "change their order between two answers: try again, or raise its limit"
        )
    alone = text(item, "Modality") in ALONE
    found = []
    for instance in instances if alone else instances[:1]:
        header = web.header(study, series, text(instance, "SOPInstanceUID"))
        patients = frozenset({text(header, "PatientID")})
        if not alone and len(instances) > 1 and not is_slice(header):
            header = representative([header, *web.headers(study, series)])
        count = 1 if alone else len(instances)
        found.append(Series(header, count, patients, drawn_on=drawn_on(header)))
    return found
