"""Whether a cohort asks for the zone rule at all, counted before anything is trained.

The false positives of a map are what it marks besides the nodes that count. If fewer nodes lie around that
look the same and do not count than a precision allows, whoever marks every node is precise enough, and the
distance to the tumor is worth nothing.
"""

from collections.abc import Sequence

import numpy as np

from osln.metrics.definitions import MRECALL_PRECISIONS, Counts, macro_curves, mean_recall
from osln.phantom import PhantomParameters
from osln.phantom.findings.findings import Finding

STRICT_PRECISIONS = np.linspace(0.25, 0.50, 26)
"""A second band beside that of mRecall, where the false positives are few."""
BANDS = {"mRecall@.10-.20": MRECALL_PRECISIONS, "mRecall@.25-.50": STRICT_PRECISIONS}
SIZE_STEP_MM = 0.5
"""Classes of the short axis by which a perfect observer judges."""

Patients = Sequence[Sequence[Finding]]
"""Nodes and mimics of each phantom."""


def needs(patients: Patients, parameters: PhantomParameters) -> dict[str, float]:
    """What the figures of stage one can tell of the zone rule in a cohort.

    Args:
        patients: Findings of at least one phantom, some node that counts among them.
        parameters: Of the phantoms: limits of the rule.

    Returns:
        Figures by their words. A *look-alike* is a distal node that does not count and has the size of those
        that count when they are proximal. The *observers* see every node with its size and uptake and nothing
        else, and rank by the share of such nodes that count; one of them is told the zone as well.
    """
    count = len(patients)
    nodes = [[one for one in by if one.kind == "node"] for by in patients]
    every = [one for by in nodes for one in by]
    counting = [one for one in every if one.osln]
    found = {
        "nodes that count per patient": len(counting) / count,
        "look-alikes per patient": sum(looks_alike(one, parameters) for one in every) / count,
    }
    for precision in (0.10, 0.15, 0.20):
        allowed = len(counting) * (1 - precision) / precision / count
        found[f"false positives that precision {precision:.2f} allows, all nodes found"] = allowed
    found["other mimics on the CT per patient"] = (
        sum(one.kind != "node" and not one.avid for by in patients for one in by) / count
    )
    found["share of what counts that needs the zone rule"] = sum(
        one.zone == "proximal" and not one.avid and one.short_axis_mm < parameters.enlarged_short_mm
        for one in counting
    ) / len(counting)
    for words, zones in (("without the zone", False), ("with the zone", True)):
        curves = macro_curves(observed(nodes, zones))
        found |= {f"{name}, observer {words}": float(mean_recall(*curves, at)) for name, at in BANDS.items()}
    return found


def looks_alike(one: Finding, parameters: PhantomParameters) -> bool:
    """A distal node that does not count and would, cold as it is, if it were proximal."""
    size = parameters.visible_short_mm <= one.short_axis_mm < parameters.enlarged_short_mm
    return one.kind == "node" and one.zone == "distal" and not one.osln and size


def observed(nodes: Patients, zones: bool) -> Counts:
    """What an observer finds who marks nodes by falling share of their class that counts.

    Args:
        nodes: Of each patient.
        zones: Whether the zone is a part of the class.
    """
    classes = [[_class(one, zones) for one in by] for by in nodes]
    fates: dict[object, list[bool]] = {}
    for by, told in zip(nodes, classes, strict=True):
        for one, name in zip(by, told, strict=True):
            fates.setdefault(name, []).append(one.osln)
    shares = {name: float(np.mean(fate)) for name, fate in fates.items()}
    levels = np.array(sorted({share for share in shares.values() if share > 0}))
    true = np.zeros((2, len(nodes), len(levels)))
    for number, (by, told) in enumerate(zip(nodes, classes, strict=True)):
        for one, name in zip(by, told, strict=True):
            true[int(one.osln), number] += levels <= shares[name]
    totals = np.array([sum(one.osln for one in by) for by in nodes])
    return Counts(true[1], true[0], true[1], totals, levels)


def _class(one: Finding, zones: bool) -> object:
    return one.avid, int(one.short_axis_mm / SIZE_STEP_MM), one.zone if zones else ""
