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
"""Of each file of a folder: all of a small one, and the checksums of a packed one (gzip, zip)."""


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
    """Checksum of a file, or of the names, sizes and last 64 KiB of a folder's files; None of nothing.

    Hidden files are left out (locks, and what is being written), those of hidden folders are not.
    """
    digest = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            for block in iter(lambda: file.read(2**20), b""):
                digest.update(block)
        return digest.hexdigest()
    if not path.is_dir():
        return None
    for folder, names, files in os.walk(path):
        names.sort()
        for name in sorted(one for one in files if not one.startswith(".")):
            one = Path(folder, name)
            digest.update(f"{one.relative_to(path)}\0".encode(errors="surrogateescape") + _end(one))
    return digest.hexdigest()


def _end(path: Path) -> bytes:
    """Size and last bytes of a file in 40 bytes; of what cannot be read, or is no file, none."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return bytes(40)
        with path.open("rb") as file:
            file.seek(max(found.st_size - END_BYTES, 0))
            return found.st_size.to_bytes(8, "big") + hashlib.sha256(file.read(END_BYTES)).digest()
    except OSError:
        return bytes(40)
