"""Patients of a simulation whose candidates are there, so that no network is asked."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from osln.simulation.cases import DEMO, keep_case
from osln.simulation.cohorts import SimulatedCohort
from small import columns as small_columns

COHORT = SimulatedCohort("tiny", "balls", range(900_000, 900_008), 5)


def keep(path: Path, seed: int) -> None:
    """Four true balls, of which the map lacks one, and as many false ones beside them."""
    column = replace(small_columns.small_column(seed), case=path.stem)
    rng = np.random.default_rng(seed)
    truth = column.nodes > 0
    prob = np.where(truth & (column.nodes != 1), 0.8, 0.0).astype(np.float32)
    for _ in range(6):
        x, y, z = rng.integers((2, 2, 2), np.array(truth.shape) - 5)
        box = (slice(x, x + 3), slice(y, y + 3), slice(z, z + 3))
        if not truth[box].any() and not prob[box].any():
            prob[box] = rng.uniform(0.4, 0.9)
    keep_case(path, column, {"ct": prob}, prob, 0.3, DEMO)
