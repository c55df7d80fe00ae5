"""The content of large files by checksums, read again only when a file has changed or is another one.

Archives are unpacked with the times that they hold, and uncompressed images of many cases have one size: a
file that was put in another one's place is told from it by its own place on the disk.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

SAMPLE_BYTES = 1 << 16


def samples_of(path: Path) -> str:
    """SHA-256 of a file's beginning and middle.

    Raises:
        OSError: If it cannot be read.
    """
    return _read_samples(path, _stamp(path))


def content_of(path: Path) -> str:
    """SHA-256 of all of a file.

    Raises:
        OSError: If it cannot be read.
    """
    return _read_content(path, _stamp(path))


def _stamp(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@lru_cache(maxsize=1 << 14)
def _read_samples(path: Path, stamp: tuple[int, ...]) -> str:
    """Remembered: a round asks for its cases repeatedly."""
    with path.open("rb") as file:
        found = hashlib.sha256(file.read(SAMPLE_BYTES))
        file.seek(path.stat().st_size // 2)
        found.update(file.read(SAMPLE_BYTES))
    return found.hexdigest()


@lru_cache(maxsize=1 << 14)
def _read_content(path: Path, stamp: tuple[int, ...]) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 24):
            found.update(part)
    return found.hexdigest()
