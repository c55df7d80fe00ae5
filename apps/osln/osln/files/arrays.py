"""Arrays and JSON values as files, written whole or not at all."""

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from osln.files.images import write_atomically


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
    """Writes JSON as one line, its folder too; NaN becomes null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(plain(content)) + "\n").encode())


def plain(value: Any) -> Any:
    """A value as JSON holds it: lists for tuples and arrays, Python's numbers, None for NaN and infinity.

    Raises:
        ValueError: If the value, or something in it, has no JSON form.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float):
        # NaN is not JSON: a web server that passes it on fails.
        return float(value) if math.isfinite(value) else None
    try:
        json.dumps(value)
    except TypeError as error:
        raise ValueError(f"a {type(value).__name__} cannot be said in JSON: {error}") from error
    return value
