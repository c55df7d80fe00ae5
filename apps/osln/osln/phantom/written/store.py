"""Phantoms on disk: a case's files in the store's layout, and the table of splits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from osln.files.images import write_atomically
from osln.imaging.grid import Grid, write_volume
from osln.phantom.parameters import GENERATOR_VERSION
from osln.phantom.patient.scan import Phantom
from osln.phantom.written.origin import FINAL, IMAGES, has_image
from osln.store.layout import check_case

# The paper's patients (section 4.1).
COHORT_SIZES = (84, 23, 34)
SPLITS = ("train", "validation", "test")
# PET is stored in steps of 1/32 SUV, well below its noise, which halves the file.
_SUV_STEPS = 32.0


def case_names(count: int, prefix: str = "phantom") -> list[str]:
    """Case ids prefix-01, prefix-02, ... with as many digits as the count needs, at least two."""
    if count < 1:
        raise ValueError(f"expected at least one case, got {count}")
    digits = max(2, len(str(count)))
    return [check_case(f"{prefix}-{i + 1:0{digits}d}") for i in range(count)]


def split_sizes(count: int, sizes: Sequence[int]) -> list[str]:
    """Split of each of `count` cases in order: train first, then validation, then test.

    Raises:
        ValueError: If the sizes are not three numbers that add up to `count`.
    """
    if len(sizes) != len(SPLITS) or sum(sizes) != count or min(sizes) < 0:
        raise ValueError(
            f"a cohort needs train,validation,test sizes that add up to {count}, got {list(sizes)}"
        )
    return [name for name, size in zip(SPLITS, sizes, strict=True) for _ in range(size)]


def write_case(
    root: str | Path,
    case: str,
    phantom: Phantom,
    *,
    approve: bool,
    made_from: Mapping[str, Any] | None = None,
) -> None:
    """Write one phantom as a case of a store.

    Labels that are there stay: an annotator may have corrected them. `refuse_others` looks first whether they
    are this patient's.

    Args:
        root: the store's folder; made if missing.
        case: case id.
        phantom: what to write.
        approve: also write the true nodes as the approved label (binary, as a viewer submits it).
        made_from: JSON values that, with seed and generator version, decide every voxel. Without it
            `refuse_others` never takes the case for the same.

    Reference: README of sample-datastore for the layout.
    """
    root, case = Path(root), check_case(case)
    for folder in (*IMAGES, *([FINAL] if approve else [])):
        (root / folder).mkdir(parents=True, exist_ok=True)
    grid = Grid(phantom.ct_hu.shape, phantom.affine)
    pet_suv = (np.rint(phantom.pet_suv * _SUV_STEPS) / _SUV_STEPS).astype(np.float32)
    name = f"{case}.nii.gz"
    # First, so that a case that was stopped in is known again.
    approved = approve or has_image(root, FINAL, case)
    text = json.dumps(sidecar(case, phantom, approved=approved, made_from=made_from), indent=1)
    write_atomically(root / "truth" / f"{case}.json", text.encode())
    write_volume(root / "pet" / name, pet_suv, Grid(pet_suv.shape, phantom.pet_affine))
    write_volume(root / "truth" / name, phantom.nodes, grid)
    if not has_image(root, "labels/gtv", case):
        write_volume(root / "labels" / "gtv" / name, phantom.tumor.astype(np.uint8), grid)
    if approve and not has_image(root, FINAL, case):
        write_volume(root / FINAL / name, (phantom.nodes > 0).astype(np.uint8), grid)
    # Last: what has no CT is no case yet.
    write_volume(root / name, phantom.ct_hu, grid)


def sidecar(
    case: str, phantom: Phantom, *, approved: bool, made_from: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """All that is known of a phantom: how it was made, every node and every mimic.

    The misregistration's coefficients rebuild the field (`SplineField.from_json`): the PET shows at p
    what the CT shows at p + u(p). What was drawn for a realistic phantom is its `look`. `made_from` is as in
    `write_case`.
    """
    look = phantom.patient.look
    return {
        "case": case,
        "synthetic": True,
        "generator": "osln.phantom",
        "generator_version": GENERATOR_VERSION,
        "anatomy": phantom.anatomy,
        "seed": phantom.seed,
        "approved": approved,
        **({} if made_from is None else {"made_from": dict(made_from)}),
        "grid": {"shape": list(phantom.ct_hu.shape), "affine": phantom.affine.tolist()},
        "pet_grid": {"shape": list(phantom.pet_suv.shape), "affine": phantom.pet_affine.tolist()},
        "parameters": asdict(phantom.parameters),
        **({"look": asdict(look)} if look else {}),
        "findings": [finding.to_json() for finding in phantom.findings],
        "misregistration": _motion_json(phantom),
    }


def _motion_json(phantom: Phantom) -> dict[str, Any] | None:
    """The misregistration field; where a CT was given, with the matrix from its millimeters to RAS."""
    if phantom.motion is None:
        return None
    description = phantom.motion.to_json()
    if not np.array_equal(phantom.motion_to_ras, np.eye(4)):
        description["to_ras"] = phantom.motion_to_ras.tolist()
    return description
