"""Columns of a few thousand voxels with bright balls as nodes, and a network that trains in a second."""

from dataclasses import replace

import numpy as np

from osln.imaging.distance import tumor_distance_mm
from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn, compact
from osln.rows.experiments import PRESETS, Preset

SHAPE = (24, 24, 72)
SPACING_MM = (2.5, 2.5, 3.0)
NODE_VOXELS = 2
"""Radius of a node in voxels."""


def tiny_preset(**changes: object) -> Preset:
    """The demo recipe with two levels, small patches and few steps."""
    small = {"patch": (16, 16, 16), "window": (24, 24, 72), "widths": ((4, 4), (8, 8)), "batch": 4}
    return replace(PRESETS["demo"], **(small | {"iterations": 60} | changes))


def small_column(
    seed: int, *, pet: bool = True, tumor: bool = True, nodes: int = 4, case: str = ""
) -> LungColumn:
    """Fat with noise; nodes at random places, bright in CT and PET; tumor at the lower end.

    The upper third of the column is more than 70 mm from the tumor: its nodes are distal.
    """
    rng = np.random.default_rng(seed)
    ct_hu = rng.normal(-100, 15, SHAPE).astype(np.float32)
    pet_suv = rng.gamma(4.0, 0.2, SHAPE).astype(np.float32)
    labels = np.zeros(SHAPE, dtype=np.int32)
    at = np.indices(SHAPE)
    for label in range(1, nodes + 1):
        low = (label - 1) * SHAPE[2] // max(nodes, 1)
        high = label * SHAPE[2] // max(nodes, 1)
        center = [rng.integers(4, 20), rng.integers(4, 20), rng.integers(low + 4, max(high - 4, low + 5))]
        ball = sum((a - c) ** 2 for a, c in zip(at, center, strict=True)) <= NODE_VOXELS**2
        ct_hu[ball], labels[ball] = 60.0, label
        pet_suv[ball] += 4.0
    mask = np.zeros(SHAPE, dtype=bool)
    mask[10:13, 10:13, 2:5] = True
    grid = Grid(SHAPE, np.diag([*SPACING_MM, 1.0]))
    return compact(
        LungColumn(
            case=case or f"case{seed}",
            grid=grid,
            ct_hu=ct_hu,
            pet_suv=pet_suv if pet else None,
            distance_mm=tumor_distance_mm(mask, grid.spacing_mm) if tumor else None,
            tumor=mask if tumor else None,
            nodes=labels,
            body=ct_hu > -500,
        )
    )
