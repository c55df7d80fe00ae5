"""Arrays as files, written whole or not at all."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from osln.files.whole import plain as plain
from osln.files.whole import write_atomically
from osln.files.whole import write_json as write_json


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an npz file, its folder too."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes an npy file, its folder too."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
