"""Arrays and JSON values as files, written whole or not at all."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from osln.checkpoint import plain
from osln.imagefile import write_atomically


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


def write_json(path: Path, content: Any) -> None:
    """Writes JSON, its folder too; NaN becomes null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(plain(content), indent=1) + "\n").encode())
