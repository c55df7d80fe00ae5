"""UIDs that need no register: each names its case, and changes with the file that it was made from.

`2.25.` and the UUID of the case is the study; `.1.` or `.2.` and the checksum of the file behind it are the
CT's or the PET's series; one more number is an image. No UID has more than 62 characters of the 64 allowed.
"""

import threading
import uuid
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from isal import isal_zlib

PART = 2**22
"""Bytes that are read at a time."""

NAMESPACE = uuid.UUID("0f5be9a5-7a6c-5d42-9d0b-1c4e8c1f6b0e")
FORMAT = 1
"""Counts up when the same file gives other images than before: browsers keep them for ever."""
UID_ROOT = "2.25."
"""Of UIDs that are made of a UUID: ours, and those of others."""
CT, PET = "1", "2"
ROOT_PARTS, SERIES_PARTS = 3, 5
"""Of a UID: what names the case, and what names the series."""


@lru_cache(maxsize=65536)
def study_uid(case: str) -> str:
    """UID of the study of a case."""
    return f"{UID_ROOT}{uuid.uuid5(NAMESPACE, case).int}"


def series_uid(case: str, kind: str, checksum: int) -> str:
    """UID of a series.

    Args:
        case: Id of the case.
        kind: `CT` or `PET`.
        checksum: Of its file; see `Checksums`.
    """
    return f"{study_uid(case)}.{kind}.{checksum}"


def frame_uid(case: str) -> str:
    """UID of the frame of reference that CT and PET of a case share."""
    return f"{study_uid(case)}.0"


def case_named(uid: str, cases: Iterable[str]) -> str | None:
    """The case that a UID of a study, a series or an image belongs to; None if it is none of these."""
    if not uid.startswith(UID_ROOT):
        return None
    root = ".".join(uid.split(".")[:ROOT_PARTS])
    return next((case for case in cases if study_uid(case) == root), None)


def series_part(uid: str) -> str:
    """UID of the series that a UID of an image, or of the series itself, belongs to."""
    return ".".join(uid.split(".")[:SERIES_PARTS])


class Checksums:
    """CRC-32 of files, read again only when size, time or place of a file have changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], int]] = {}
        self._turn = threading.Lock()

    def of(self, path: Path) -> int:
        """Checksum of a file as it is now.

        Raises:
            OSError: If it cannot be read.
        """
        found = path.stat()
        stamp = found.st_ino, found.st_size, found.st_mtime_ns
        with self._turn:
            known = self._known.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        checksum = FORMAT
        with path.open("rb") as file:
            while part := file.read(PART):
                checksum = isal_zlib.crc32(part, checksum)
        with self._turn:
            self._known[path] = stamp, checksum
        return checksum
