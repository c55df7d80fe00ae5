"""Columns as files, so that a cohort is prepared once."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from osln.files.images import write_atomically
from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn

FORMAT = 2
"""Of the files; another one makes them anew."""
OPTIONAL = ("pet_suv", "distance_mm", "nodes", "known")
"""Arrays that a column may be without."""


def save_column(path: Path, column: LungColumn, more: Mapping[str, Any] | None = None) -> None:
    """Writes a compact column (without its tumor mask) atomically.

    Args:
        path: File to write.
        column: From `lung_column.compact`.
        more: JSON values to keep with it.
    """
    description = {
        "case": column.case,
        "warnings": list(column.warnings),
        "prefiltered": column.prefiltered,
        "more": dict(more or {}),
    }
    arrays: dict[str, Any] = {
        "affine": column.grid.affine,
        "ct_hu": column.ct_hu,
        "body": np.packbits(column.body),
        "outside_mm": np.array(column.outside_mm, dtype=np.float64),
        "description": np.array(json.dumps(description)),
    }
    for name in OPTIONAL:
        if (array := getattr(column, name)) is not None:
            arrays[name] = array
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


def load_column(path: Path) -> tuple[LungColumn, dict[str, Any]]:
    """The column and what was kept with it.

    Raises:
        ValueError: If the file is damaged; says that it may be deleted.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            ct_hu = stored["ct_hu"]
            description = json.loads(str(stored["description"]))
            images: dict[str, Any] = {name: stored[name] if name in stored else None for name in OPTIONAL}
            column = LungColumn(
                case=description["case"],
                grid=Grid(ct_hu.shape, stored["affine"]),
                ct_hu=ct_hu,
                tumor=None,
                body=np.unpackbits(stored["body"], count=ct_hu.size).reshape(ct_hu.shape).astype(bool),
                warnings=tuple(description["warnings"]),
                outside_mm=tuple(stored["outside_mm"].tolist()),
                # Files of before there was a filter say nothing.
                prefiltered=bool(description.get("prefiltered")),
                **images,
            )
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read ({error}): delete it, it will be made anew") from error
    return column, description["more"]
