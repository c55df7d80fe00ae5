"""A case to be looked at: its images, what tells whether they changed, and the DICOM images of its CT."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from osln.dicom.reading.source import CtSeries
from osln.imaging.grid import Volume
from osln.imaging.study import Study
from osln.output.ct_images import images_of
from osln.rows.experiments import Row
from osln.store.imported_pet import registration
from osln.store.layout import StorePaths, load_study, read_image

Tell = Callable[[str, float], None]
"""Called with what is going on and the share of the case that is done, 0 to 1."""


@dataclass(frozen=True)
class CaseFiles:
    """Image files of a case, and what a person should look at."""

    paths: StorePaths
    warnings: tuple[str, ...] = ()


class Case(Protocol):
    """One patient, whatever the images come from."""

    @property
    def name(self) -> str:
        """What files and messages call it."""

    def fingerprint(self) -> Mapping[str, str | None]:
        """Tells whether the images are the same as at another time."""

    def files(self, tell: Tell) -> AbstractContextManager[CaseFiles]:
        """The images as files, which may be gone afterwards."""

    def ct_series(self, ct: Volume | None) -> CtSeries:
        """The DICOM images of the CT, to which SEG and RTSTRUCT refer; None: the CT is read if need be."""

    def lies_in(self, folder: Path) -> bool:
        """Whether results that are written into this folder would lie among the case's own files."""


@dataclass(frozen=True)
class ImageCase:
    """A case of image files: a store's, or three files that were named.

    Attributes:
        paths: The files.
        ct_dicom: Folder with the DICOM images of CTs, or with a folder of the case's name; None: not given.
    """

    paths: StorePaths
    ct_dicom: Path | None = None

    @property
    def name(self) -> str:
        return self.paths.case

    def fingerprint(self) -> Mapping[str, str | None]:
        """Checksums of the files' content."""
        files = {"ct": self.paths.ct, "pet": self.paths.pet, "tumor": self.paths.tumor}
        return {what: _sha256(path) if path else None for what, path in files.items()}

    @contextmanager
    def files(self, tell: Tell) -> Iterator[CaseFiles]:
        yield CaseFiles(self.paths)

    def ct_series(self, ct: Volume | None) -> CtSeries:
        """The series among those of `ct_dicom` that the CT was made from.

        Raises:
            ValueError: If there is none, or no folder was given.
        """
        if self.ct_dicom is None:
            raise ValueError(
                "SEG and RTSTRUCT refer to the DICOM images of the CT: say where they are (--ct-dicom)"
            )
        own = self.ct_dicom / self.name
        ct = read_image(self.name, "CT", self.paths.ct) if ct is None else ct
        return images_of(self.name, ct, own if own.is_dir() else self.ct_dicom)

    def lies_in(self, folder: Path) -> bool:
        there = [path.resolve().parent for path in (self.paths.ct, self.paths.pet, self.paths.tumor) if path]
        return folder.resolve() in there


@dataclass(frozen=True)
class UnusableCase:
    """A case that cannot be read at all, so that it is told in its turn as others that fail."""

    name: str
    reason: str

    def fingerprint(self) -> Mapping[str, str | None]:
        raise ValueError(self.reason)

    def files(self, tell: Tell) -> AbstractContextManager[CaseFiles]:
        raise ValueError(self.reason)

    def ct_series(self, ct: Volume | None) -> CtSeries:
        raise ValueError(self.reason)

    def lies_in(self, folder: Path) -> bool:
        return False


def load_for(row: Row, paths: StorePaths) -> tuple[Study, list[str]]:
    """A case as a row sees it, without the approved nodes, which no network may see.

    A companion that the row does not need serves the candidates' values (SUV, distance) if it can be
    used, and is left out with a warning if it cannot. Doubts about its registration are warnings, too.

    Raises:
        ValueError: From `load_study`.
    """
    paths = replace(paths, nodes=None)
    needed = replace(
        paths,
        pet=paths.pet if row.needs_pet else None,
        tumor=paths.tumor if row.needs_tumor else None,
    )
    try:
        return load_study(paths), _doubts(paths)
    except ValueError as error:
        if needed == paths:
            raise
        left_out = f"left out, as {row.name} does not need it: {error}"
        return load_study(needed), [*_doubts(needed), left_out]


def _doubts(paths: StorePaths) -> list[str]:
    """Why the PET, which an import registered, may lie wrong."""
    if paths.pet is None:
        return []
    doubt = (registration(paths.ct.parent, paths.case, paths.pet) or {}).get("doubt")
    return [str(doubt)] if doubt else []


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
