"""Files that are written whole or not at all, and values as JSON can hold them; standard library only."""

import contextlib
import glob
import json
import math
import os
import re
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ABANDONED_S = 86_400
"""Age from which on a temporary file is nobody's."""
UNREADABLE = ".unreadable"
"""Ends the name of a file that was put aside because nobody can read it."""
MEANWHILE = ".meanwhile"
"""Ends the name of one that came where another one was just about to be written."""


def write_atomically(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Temporary file in the same folder, flushed to the disk, then renamed; unlinked on failure.

    A link is replaced by the file, what it leads to stays: a store may be made of links to files of others.

    Args:
        path: Of the file.
        data: Its content.
        mode: Its rights, less those that the process gives to none of its files.

    Raises:
        ValueError: What lies there is a device, a pipe or a folder, in whose place no file may come.
    """
    if path.exists() and not path.is_symlink() and not path.is_file():
        raise ValueError(f"{path} is no file that could be written anew: name another one")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sweep(folder: Path, name: str = "") -> None:
    """Removes what killed programs were writing: temporary files that nobody has touched for a day.

    Args:
        folder: Where they lie.
        name: Of the file that they were to become; "" for any.
    """
    for path in folder.glob(f".{glob.escape(name)}*.*"):
        with contextlib.suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()


def put_aside(path: Path, why: str = UNREADABLE) -> Path:
    """Renames a file that must not stay in its place: its name and why, "-2" for the second one and so on.

    Args:
        path: Of the file.
        why: `UNREADABLE` or `MEANWHILE`.

    Returns:
        What it is called now; no other file had that name.
    """
    aside, number = path.with_name(path.name + why), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}{why}-{number}")
    return path.rename(aside)


def name_before(name: str) -> str:
    """The name of a file before it was `put_aside`; that of any other as it is."""
    return re.sub(rf"({re.escape(UNREADABLE)}|{re.escape(MEANWHILE)})(-\d+)?$", "", name)


def write_json(path: Path, content: Any) -> None:
    """Writes JSON as one line, its folder too; NaN becomes null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(plain(content)) + "\n").encode())


def plain(value: Any) -> Any:
    """A value as JSON can hold it: lists for tuples and arrays, Python numbers, None for NaN and infinity.

    Raises:
        ValueError: If the value, or something in it, has no JSON form.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        # NumPy's arrays and numbers.
        return plain(value.tolist())
    if isinstance(value, float):
        # NaN is not JSON: a web server that passes it on fails.
        return float(value) if math.isfinite(value) else None
    try:
        json.dumps(value)
    except TypeError as error:
        raise ValueError(f"a {type(value).__name__} cannot be said in JSON: {error}") from error
    return value
