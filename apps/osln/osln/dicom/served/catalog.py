"""Which series a folder of cases has, and their images, of which a few stay in memory.

Nothing is written: a series is made from its file when it is asked for, and again when it was given up.
"""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from nibabel.orientations import io_orientation
from pydicom.dataset import Dataset

from osln.dicom.nodes import MANUFACTURER
from osln.dicom.served.series import ServedSeries, serve_ct, serve_pet
from osln.dicom.served.uids import CT, PET, Checksums, frame_uid, series_uid, study_uid
from osln.files.images import promised_affine, promised_shape
from osln.imaging.study import check_ct, check_overlap, check_pet
from osln.store.imported_pet import registration
from osln.store.layout import companions, read_image

KEPT_SERIES = 4
"""Two cases with their PET."""
KEPT_BYTES = 2**30
"""Of voxels; the series that was asked for last stays whatever it takes."""


class GoneError(LookupError):
    """A series is not there, or not any more."""


@dataclass(frozen=True)
class SeriesFile:
    """A series that can be made.

    Attributes:
        case: Id of the case.
        kind: `uids.CT` or `uids.PET`.
        path: Its file.
        uid: UID of the series, for the file as it was looked at.
        common: What all images share.
    """

    case: str
    kind: str
    path: Path
    uid: str
    common: Dataset = field(compare=False, repr=False)

    @property
    def modality(self) -> str:
        """As DICOM calls it."""
        return "CT" if self.kind == CT else "PT"


class SeriesCache:
    """Makes series and keeps those that were used last."""

    def __init__(self, checksums: Checksums) -> None:
        self._checksums = checksums
        self._made: dict[str, Future[ServedSeries]] = {}
        self._turn = threading.Lock()
        self._workers = ThreadPoolExecutor(2, thread_name_prefix="images")

    def __len__(self) -> int:
        """Number of series that are there, or being made."""
        return len(self._made)

    def prepare(self, file: SeriesFile) -> "Future[ServedSeries]":
        """Has a series made if it is not there, and returns at once."""
        with self._turn:
            made = self._made.pop(file.uid, None)
            if made is None or (made.done() and made.exception()):
                made = self._workers.submit(self._make, file)
            self._made[file.uid] = made
            self._give_up()
        return made

    def get(self, file: SeriesFile) -> ServedSeries:
        """A series.

        Raises:
            ValueError: If its file cannot be read, or is no CT or PET; the sentence says what to do.
            GoneError: If the file has changed or vanished meanwhile.
        """
        return self.prepare(file).result()

    def _make(self, file: SeriesFile) -> ServedSeries:
        what = "CT" if file.kind == CT else "PET"
        try:
            volume = read_image(file.case, what, file.path)
            now = series_uid(file.case, file.kind, self._checksums.of(file.path))
        except (OSError, ValueError):
            if not file.path.is_file():
                raise GoneError(
                    f"the {what} of case {file.case} is not there any more: reload the page"
                ) from None
            raise
        if now != file.uid:
            raise GoneError(changed(file.case, what))
        (check_ct if file.kind == CT else check_pet)(file.case, volume)
        return (serve_ct if file.kind == CT else serve_pet)(volume, file.common)

    def _give_up(self) -> None:
        """Drops the series that were used longest ago."""
        done = {
            uid: made.result() for uid, made in self._made.items() if made.done() and not made.exception()
        }
        taken = sum(series.pixels.nbytes for series in done.values())
        for uid in list(self._made)[:-1]:
            if len(self._made) <= KEPT_SERIES and taken <= KEPT_BYTES:
                return
            taken -= done[uid].pixels.nbytes if uid in done else 0
            del self._made[uid]


class FolderImages:
    """The images of a folder of cases.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checksums = Checksums()
        self.cache = SeriesCache(self.checksums)
        self._counts: dict[str, int] = {}

    def files(self, case: str) -> list[SeriesFile]:
        """CT and, if there is one, PET of a case.

        Raises:
            ValueError: If the case has no CT, or a file of it has a twin name.
            GoneError: If a file vanishes meanwhile.
        """
        paths = companions(self.root, case)
        found = [self.file(case, CT, paths.ct, self._common(case, CT, paths.ct))]
        if paths.pet is not None:
            found.append(self.file(case, PET, paths.pet, self._common(case, PET, paths.pet)))
        return found

    def file(self, case: str, kind: str, path: Path, common: Dataset) -> SeriesFile:
        """A series of a case.

        Args:
            case: Id of the case.
            kind: `uids.CT` or `uids.PET`.
            path: Its file.
            common: What all images share; the UID of the series is added.

        Raises:
            GoneError: If the file is not there.
        """
        try:
            uid = series_uid(case, kind, self.checksums.of(path))
        except FileNotFoundError:
            what = "CT" if kind == CT else "PET"
            raise GoneError(f"the {what} of case {case} is not there any more: reload the page") from None
        common.SeriesInstanceUID = uid
        return SeriesFile(case, kind, path, uid, common)

    def shown(self, case: str) -> tuple[list[SeriesFile], str]:
        """The series of a case that a viewer can show, and why there is no PET among them ("" if there is).

        Raises:
            ValueError: If the CT cannot be used.
            GoneError: If it changes meanwhile.
        """
        files = self.files(case)
        waiting = [self.cache.prepare(file) for file in files]
        ct = waiting[0].result()
        if len(files) == 1:
            return files, f"case {case} has no PET"
        try:
            check_overlap(case, ct.grid, waiting[1].result().grid)
        except (ValueError, GoneError) as error:
            return files[:1], str(error)
        return files, ""

    def count(self, file: SeriesFile) -> int:
        """Number of images of a series, from the header of its file; 0 if that cannot be read."""
        if file.uid not in self._counts:
            try:
                shape, affine = promised_shape(file.path), promised_affine(file.path)
                self._counts[file.uid] = int(shape[list(io_orientation(affine)[:, 0]).index(2)])
            except (OSError, ValueError, IndexError):
                return 0
        return self._counts[file.uid]

    def _common(self, case: str, kind: str, path: Path) -> Dataset:
        moved = kind == PET and registration(self.root, case, path) is not None
        common = folder_heading(case)
        common.SeriesNumber = int(kind)
        common.SeriesDescription = {CT: "CT", PET: "PET registered to the CT" if moved else "PET"}[kind]
        # Turned from the file's axes, which nobody knows to be the scanner's.
        common.ImageType = ["DERIVED", "SECONDARY", "AXIAL"] if kind == CT else ["DERIVED", "SECONDARY"]
        return common


def folder_heading(case: str) -> Dataset:
    """Patient and study of a case of which nothing but its images is known; dates are left open."""
    heading = Dataset()
    heading.SpecificCharacterSet = "ISO_IR 192"
    heading.PatientName = heading.PatientID = case
    heading.PatientBirthDate = heading.PatientSex = ""
    heading.StudyInstanceUID, heading.FrameOfReferenceUID = study_uid(case), frame_uid(case)
    heading.StudyDate = heading.StudyTime = heading.StudyID = heading.StudyDescription = ""
    heading.AccessionNumber = heading.ReferringPhysicianName = heading.PositionReferenceIndicator = ""
    heading.Manufacturer = MANUFACTURER
    return heading


def changed(case: str, what: str) -> str:
    """The sentence for whoever asks for images that were made from a former file."""
    return f"the {what} of case {case} has changed since it was opened: load it again (reload the page)"
