"""What a store's cases were made from: the same one is made whole, and nothing is written over another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from osln.files.images import SUFFIXES
from osln.phantom.parameters import GENERATOR_VERSION
from osln.store.layout import check_case

IMAGES = ("", "pet", "labels/gtv", "truth")
"""Folders in which each case has an image."""
FINAL = "labels/final"
"""Folder of the approved labels."""


def content_key(array: np.ndarray, affine: np.ndarray) -> str:
    """SHA-256 of an image, whatever file it came from.

    Args:
        array: (x, y, z).
        affine: (4, 4), voxel index to RAS mm.
    """
    about = repr((array.dtype.str, array.shape, np.asarray(affine, dtype=float).tolist()))
    return hashlib.sha256(about.encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


def has_image(root: Path, folder: str, case: str) -> bool:
    """Whether a case has an image of any format in a folder of the store."""
    return any((root / folder / f"{case}{suffix}").exists() for suffix in SUFFIXES)


def is_whole(root: str | Path, case: str, *, approve: bool) -> bool:
    """Whether all images of a case are there, with `approve` its approved label, too."""
    wanted = (*IMAGES, FINAL) if approve else IMAGES
    return all(has_image(Path(root), folder, case) for folder in wanted)


def refuse_others(
    root: str | Path, cases: Sequence[str], first_seed: int, made_from: Mapping[str, Any]
) -> None:
    """Looks that each case is not there, or was made from the same: so a stopped cohort is made whole.

    Args:
        root: Folder of a store or of DICOM studies.
        cases: Names; the seeds are `first_seed`, `first_seed` + 1, ...
        first_seed: Of the first case.
        made_from: As of `osln.phantom.written.store.write_case`.

    Raises:
        ValueError: One is there and was made from something else, or a server has worked on it, or there is
            nothing that says what it was made from; says which one and why.
    """
    reasons = {
        case: why
        for seed, case in enumerate(cases, start=first_seed)
        if (why := _other(Path(root), check_case(case), {"seed": seed, **made_from}))
    }
    if reasons:
        case, why = next(iter(reasons.items()))
        more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        raise ValueError(
            f"{root} has {case} already{more}, which would become another patient ({why}): give another "
            "--out or --prefix, or the options that it was made with"
        )


def _other(root: Path, case: str, wanted: Mapping[str, Any]) -> str:
    """Why the case that is there is, or may be, another patient; empty if it is not or none is there."""
    if (root / ".osln" / case).exists():
        return "a server has worked on it"
    if (root / case).exists():
        return "it has a folder of DICOM files; if a run was stopped in it, take the folder away"
    if not any(has_image(root, folder, case) for folder in (*IMAGES, FINAL)):
        return ""
    path = root / "truth" / f"{case}.json"
    try:
        told = json.loads(path.read_text())
        found = {**told["made_from"], **{name: told[name] for name in ("seed", "generator_version")}}
    except (OSError, ValueError, KeyError, TypeError):
        return f"{path} does not say what it was made from"
    # As JSON has it: lists for tuples.
    now = json.loads(json.dumps({**wanted, "generator_version": GENERATOR_VERSION}))
    apart = sorted(name for name in found.keys() | now.keys() if found.get(name) != now.get(name))
    return f"another {', '.join(apart).replace('_', ' ')}" if apart else ""
