"""What the rule that makes planted nodes count leaves to find at best: an observer who misses none of them.

He sees every planted node, no mimic, whether it is avid and how far it is from the tumor, measures its short
axis with an error, and ranks by the chance that the phantom's rule lets such a node count. What a row finds
less than he does, it loses in the images and not to the rule.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from osln.phantom.findings.findings import Finding
from osln.phantom.findings.nodes import chance_of_osln
from osln.phantom.parameters import PhantomParameters


def observe(
    patients: Sequence[Sequence[Finding]],
    parameters: PhantomParameters,
    error_mm: float,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """His records, as `planted_figures` reads them.

    Args:
        patients: What was planted into each of them.
        parameters: The rule's.
        error_mm: Standard deviation of his error of the short axis; 0: he knows it.
        rng: Of the errors.

    Returns:
        Of each patient: `nodes` and `false`, every planted node being in one of them.
    """
    sizes = np.array([one.short_axis_mm for by in patients for one in by if one.kind == "node"])
    records = []
    for by in patients:
        record: dict[str, Any] = {"nodes": [], "false": []}
        for one in by:
            if one.kind != "node":
                continue
            possible, shares = _sizes(one.short_axis_mm, sizes, error_mm, rng)
            chances = [
                chance_of_osln(parameters, one.distance_mm, float(size), one.avid) for size in possible
            ]
            told = {"score": float(np.dot(shares, chances)), "short_axis_mm": one.short_axis_mm}
            record["nodes" if one.label else "false"].append(told)
        records.append(record)
    return records


def _sizes(
    true_mm: float, sizes: np.ndarray, error_mm: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Short axes that a node may have whose axis he has measured, and how likely each is among all nodes."""
    if error_mm == 0:
        return np.array([true_mm]), np.ones(1)
    measured = true_mm + error_mm * rng.standard_normal()
    apart = ((sizes - measured) / error_mm) ** 2
    shares = np.exp(-0.5 * (apart - apart.min()))
    return sizes, shares / shares.sum()
