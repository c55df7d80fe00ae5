"""DICOM files in a folder or a zip archive, sorted into series by their attributes; names mean nothing."""

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from pydicom.dataset import Dataset

from osln.dicom.reading.headers import read_header, read_header_and_content, start_of
from osln.dicom.reading.referenced import drawn_on
from osln.dicom.reading.slices import Slice, is_picture

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
SLICE_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.128")
"""CT and PET images; screenshots and dose reports call themselves CT too."""
ENHANCED_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2",
    "1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1",
)  # fmt: skip
"""CT and PET with all slices in one file."""
SCANNED: tuple[str | tuple[int, int], ...] = (
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "ImageType",
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "StudyDate",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "SeriesNumber",
    "SeriesDescription",
    "SeriesType",
    "Units",
    "SUVType",
    "CorrectedImage",
    "AttenuationCorrectionMethod",
    "BurnedInAnnotation",
    "StructureSetLabel",
    "StructureSetDate",
    "StructureSetTime",
    "ReferencedFrameOfReferenceSequence",
    "ReferencedSeriesSequence",
    "StructureSetROISequence",
    "SegmentSequence",
    "Manufacturer",
    "ContentLabel",
    "ContentDate",
    "ContentTime",
    "TimezoneOffsetFromUTC",
    *((0x7053, block) for block in (0x10, 0x11, 0x12)),
    *((0x7053, (block << 8) + element) for block in (0x10, 0x11, 0x12) for element in (0x00, 0x09)),
)
"""What tells series apart; the rest of a header is read for the chosen series only, to save memory."""

DAMAGED = (TypeError, AttributeError, KeyError, IndexError, ArithmeticError)
"""What attributes of the wrong kind or number raise where they are used; told as such, not as a traceback."""

ALONE = ("RTSTRUCT", "SEG")
"""Each structure set or segmentation stands for itself, also where several revisions are one series."""

Progress = Callable[[str, int, int], None]
"""Called with what is going on, the steps done and their number (0: not known)."""


@dataclass(frozen=True)
class Series:
    """One series as a source lists it.

    Attributes:
        header: Attributes of one of its instances, at least those of `SCANNED` that it has; of images that
            of a slice, where it has any (`representative`).
        count: Number of instances.
        patients: Patient ids among its instances; more than one means that patients are mixed.
        paths: Its files where they are local already.
        drawn_on: Of a structure set or segmentation whose head names several series: UIDs of those that its
            contours or frames name.
        content: Digest of local files, by which changed ones show (`read_header_and_content`); "" of others.
    """

    header: Dataset
    count: int
    patients: frozenset[str]
    paths: tuple[Path, ...] = ()
    drawn_on: frozenset[str] = frozenset()
    content: str = ""

    @property
    def uid(self) -> str:
        """Series instance UID."""
        return text(self.header, "SeriesInstanceUID")

    @property
    def modality(self) -> str:
        return text(self.header, "Modality").upper()

    @property
    def frame(self) -> str:
        """Frame of reference UID; "" if there is none."""
        return text(self.header, "FrameOfReferenceUID")

    @property
    def is_volume(self) -> bool:
        """Whether it has several images, and slices among them."""
        return self.count > 1 and is_slice(self.header)

    @property
    def is_enhanced(self) -> bool:
        """Whether it has all slices in one file, which is not read."""
        return text(self.header, "SOPClassUID") in ENHANCED_CLASSES

    @property
    def name(self) -> str:
        """How a message calls the series: nothing in it tells who the patient is."""
        number = text(self.header, "SeriesNumber")
        return f"{self.modality or 'unknown'} series{f' {number}' if number else ''} ({self.count} files)"


class Source(Protocol):
    """Where studies come from."""

    problems: list[str]
    """Files that could not be read, in words."""
    damaged: list[Dataset]
    """What could be read of them: the attributes of the patient and series."""

    def series(self, on_progress: Progress | None = None) -> list[Series]:
        """All series that are there."""

    def paths(self, series: Series, on_progress: Progress | None = None) -> list[Path]:
        """Files of one series, fetched if they are not local; valid until `release`."""

    def release(self) -> None:
        """Gives back the disk space of fetched files."""

    def __enter__(self) -> "Source": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LocalSource:
    """A folder with sub-folders, or a zip archive, which is unpacked to a temporary folder.

    Args:
        path: Of the folder or archive.

    Raises:
        ValueError: If it is neither, cannot be read, is encrypted, or does not fit the disk unpacked.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.problems: list[str] = []
        self.damaged: list[Dataset] = []
        self._unpacked: Path | None = None
        if self.path.is_dir():
            self._folder = self.path
        elif self.path.is_file() and zipfile.is_zipfile(self.path):
            self._folder = self._unpacked = Path(tempfile.mkdtemp(prefix="osln-dicom-"))
            try:
                _unpack(self.path, self._folder)
            except BaseException:
                self.__exit__(None, None, None)
                raise
        elif self.path.exists():
            raise ValueError(f"{self.path.name} is neither a folder nor a zip archive")
        else:
            raise ValueError(f"there is no {self.path}; give a folder, a zip archive or a DICOMweb address")

    def __enter__(self) -> "LocalSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._unpacked is not None:
            shutil.rmtree(self._unpacked, ignore_errors=True)

    def series(self, on_progress: Progress | None = None) -> list[Series]:
        """Reads the header of every file; what cannot be read is told in `problems`."""
        files = sorted(path for path in self._folder.rglob("*") if path.is_file())
        found: dict[str, list[tuple[Path, Dataset, str]]] = {}
        for done, path in enumerate(files, start=1):
            if on_progress:
                on_progress("reading headers", done, len(files))
            try:
                header, content = read_header_and_content(path, SCANNED, ALONE)
            except ValueError as error:
                self.problems.append(f"{path.relative_to(self._folder)}: {error}")
                self.damaged += start_of(path)
                continue
            if text(header, "SOPClassUID") == DIRECTORY_CLASS:
                continue
            if not text(header, "SeriesInstanceUID") or not text(header, "SOPInstanceUID"):
                self.problems.append(f"{path.relative_to(self._folder)}: it names no series or instance")
                continue
            alone = text(header, "Modality") in ALONE
            key = text(header, "SOPInstanceUID" if alone else "SeriesInstanceUID")
            found.setdefault(key, []).append((path, header, content))
        return [self._series(items) for items in found.values()]

    def _series(self, items: list[tuple[Path, Dataset, str]]) -> Series:
        header = representative([header for _, header, _ in items])
        patients = frozenset(text(header, "PatientID") for _, header, _ in items)
        # Files may have been given other names since.
        content = hashlib.sha256(" ".join(sorted(one for _, _, one in items)).encode()).hexdigest()
        try:
            named = drawn_on(header, lambda: read_header(items[0][0]))
        except (ValueError, *DAMAGED):
            # Told where the file is used.
            named = frozenset()
        return Series(header, len(items), patients, tuple(path for path, _, _ in items), named, content)

    def paths(self, series: Series, on_progress: Progress | None = None) -> list[Path]:
        """The files themselves."""
        return list(series.paths)

    def release(self) -> None:
        """Nothing was fetched."""


def is_slice(header: Dataset) -> bool:
    """Whether it is one slice of a CT or PET."""
    return text(header, "SOPClassUID") in SLICE_CLASSES and not is_picture(header)


def representative(headers: Sequence[Dataset]) -> Dataset:
    """The header that speaks for a series: the first of a slice; scouts and projections tell nothing of it.

    Args:
        headers: Of the instances of one series, at least one.
    """
    return next((header for header in headers if is_slice(header)), headers[0])


def slices_of(paths: Sequence[Path]) -> list[Slice]:
    """Slices with their whole headers, for `osln.dicom.reading.volume`.

    Raises:
        ValueError: If a file cannot be read; without it, slices would be missing.
    """
    return [Slice(path, read_header(path)) for path in paths]


def text(header: Dataset, keyword: str) -> str:
    """An attribute as text without blanks around it; "" if it is missing or empty."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip("\0 ")


def _unpack(archive: Path, folder: Path) -> None:
    """Members under numbered names: names in archives can point outside, or tell who the patient is."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [member for member in zipped.infolist() if not member.is_dir()]
            needed, free = sum(member.file_size for member in members), shutil.disk_usage(folder).free
            if needed > 0.9 * free:
                raise ValueError(
                    f"{archive.name} unpacks to {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are "
                    "free in the temporary folder; set TMPDIR to a larger disk"
                )
            for number, member in enumerate(members):
                with zipped.open(member) as source, (folder / f"{number:06d}").open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        encrypted = "encrypted" in str(error).lower()
        reason = "is encrypted; unpack it first" if encrypted else "is damaged; copy it again"
        raise ValueError(f"{archive.name} {reason}") from error
