"""Whether another computer reads what this one reads: the same folder, or a copy of the same content."""

import contextlib
import hashlib
import os
import stat
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from osln.files.whole import sweep

SAME = "the same folder"
END_BYTES = 2**16
"""Of a file that is not read whole: all of a small one, and the checksums of a packed one (gzip, zip)."""
LABELS = ("labels", "nodes", "truth")
"""Folders of label maps, which are small; the end of one that is not packed is mostly background."""
NEXT = ".next"
"""Ends the hidden name of the newest label where it waits for its place: readers take it already."""


@contextlib.contextmanager
def marked(paths: Sequence[Path]) -> Iterator[dict[Path, Path | None]]:
    """Puts an empty file into each folder, which is told by it from a copy on another computer.

    Args:
        paths: Files and folders; the first is a folder that can be written.

    Yields:
        The mark in each, None in a file and in a folder that cannot be written.
    """
    marks: dict[Path, Path | None] = {}
    try:
        for path in dict.fromkeys(paths):
            # Of what a killed command left, one more than a day old is removed.
            sweep(path, "seen")
            mark = path / f".seen.{uuid.uuid4().hex}"
            try:
                mark.touch()
            except OSError:
                if not marks:
                    raise
                marks[path] = None
            else:
                marks[path] = mark
        yield marks
    finally:
        for made in marks.values():
            if made is not None:
                made.unlink(missing_ok=True)


def seen(marks: Mapping[Path, Path | None]) -> dict[Path, str | None]:
    """What this computer has at the paths of `marked`: `SAME` where the mark is there, else the `content`."""
    return {
        path: SAME if mark is not None and mark.exists() else content(path) for path, mark in marks.items()
    }


def content(path: Path) -> str | None:
    """Checksum of a file, or of the names and sizes of a folder's files and what they hold; None of nothing.

    Label maps and JSON are read whole, of other files the last 64 KiB. Hidden files are left out (locks, and
    what is being written) but for labels that wait for their place; those of hidden folders are not.
    """
    if path.is_file():
        return _checksum(path).hex()
    if not path.is_dir():
        return None
    digest = hashlib.sha256()
    for folder, names, files in os.walk(path):
        names.sort()
        for name in sorted(one for one in files if not one.startswith(".") or one.endswith(NEXT)):
            one = Path(folder, name)
            inside = one.relative_to(path)
            whole = inside.parts[0] in LABELS or one.suffix == ".json"
            digest.update(f"{inside}\0".encode(errors="surrogateescape") + _state(one, whole))
    return digest.hexdigest()


def _state(path: Path, whole: bool) -> bytes:
    """Size and checksum of a file, or of its end, in 40 bytes; zeros if it cannot be read or is no file."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return bytes(40)
        begin = 0 if whole else max(found.st_size - END_BYTES, 0)
        return found.st_size.to_bytes(8, "big") + _checksum(path, begin)
    except OSError:
        return bytes(40)


def _checksum(path: Path, begin: int = 0) -> bytes:
    """SHA-256 of a file from a byte on."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(begin)
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    return digest.digest()
