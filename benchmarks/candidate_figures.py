"""What measurements of second stages share: their figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from osln.metrics.bootstrap import Distribution, candidate_distributions
from osln.metrics.intervals import plain_interval
from osln.metrics.matching import Scored
from osln.reproduction.cells import figure_cell

SHOWN = {"mfroc": "mFROC", "2": "@2", "4": "@4", "6": "@6"}
"""Names of the figures in reports: sensitivity at so many false positives per patient, and its mean."""


def figures(seeds: Sequence[Sequence[Scored]], weights: np.ndarray) -> dict[str, Distribution]:
    """Figures of `SHOWN` of the same patients under the scores of each training, averaged over these."""
    # No threshold is chosen: F1 is not shown.
    told = candidate_distributions(seeds, [float("nan")] * len(seeds), weights)
    return {name: told[name] for name in SHOWN}


def plain(found: Mapping[str, Distribution]) -> dict[str, dict[str, Any]]:
    """As JSON values."""
    return {name: plain_interval(one) for name, one in found.items()}


def cells(told: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What `plain` gave, as the cells of a table."""
    return [figure_cell(told[name]) for name in SHOWN]
