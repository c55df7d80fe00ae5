"""Arrays as files, written whole or not at all, with a checksum at their end that others read over."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from osln.files.whole import plain as plain
from osln.files.whole import write_atomically
from osln.files.whole import write_json as write_json

SEAL = b"\nsha256: "
"""Stands between the content of a file and its checksum."""
SEAL_LENGTH = len(SEAL) + 64
ARCHIVE_END = b"PK\x05\x06"
"""Begins the end of an npz file, which is a zip file without a comment."""
ARCHIVE_END_LENGTH = 22


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an npz file, its folder too."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _sealed(buffer.getvalue()))


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes an npy file, its folder too."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _sealed(buffer.getvalue()))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote.

    Raises:
        ValueError: The file is damaged. One without a checksum, which former software wrote, is believed.
        OSError: It cannot be read.
    """
    content = _opened(path.read_bytes())
    if content[-ARCHIVE_END_LENGTH:][: len(ARCHIVE_END)] != ARCHIVE_END:
        raise ValueError("it does not end as such a file does")
    with _damage_told(), np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return dict(stored)


def read_array(path: Path) -> np.ndarray:
    """What `write_array` wrote; errors as of `read_arrays`."""
    content = io.BytesIO(_opened(path.read_bytes()))
    with _damage_told():
        array: np.ndarray = np.load(content, allow_pickle=False)
    if content.read(1):
        raise ValueError("it is longer than its content")
    return array


def _sealed(content: bytes) -> bytes:
    return content + SEAL + hashlib.sha256(content).hexdigest().encode()


def _opened(data: bytes) -> bytes:
    """The content of a file, after its checksum was compared if it has one."""
    content, seal = data[:-SEAL_LENGTH], data[-SEAL_LENGTH:]
    if not seal.startswith(SEAL):
        return data
    if data != _sealed(content):
        raise ValueError("it is not what was written: its checksum differs")
    return content


@contextmanager
def _damage_told() -> Iterator[None]:
    """Makes a ValueError of whatever NumPy's and Python's readers of damaged files raise."""
    try:
        yield
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error
