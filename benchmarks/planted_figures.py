"""Figures of planted patients: from what became of each planted node and each candidate to tables.

A record is what one row made of one patient, plain values that are kept in a file:

    nodes   of each planted node that counts: zone, avid, short_axis_mm, and the score of the candidate that
            finds it, or None
    false   of each candidate that finds none: its score, suv_max, center_mm, and the kind of finding that it
            lies on ("node": a benign one), or None: the patient's own anatomy
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from osln.metrics.bootstrap import resamples
from osln.metrics.froc import Ranked, froc
from osln.metrics.intervals import table
from osln.metrics.matching import Scored, find_overlaps
from osln.metrics.resampling import resampled_figures
from osln.phantom.findings.findings import Finding
from osln.stage_one.candidates import Candidate, Detections

FALSE_POSITIVES = (2.0, 4.0, 8.0)
CLASSES = {
    "proximal": lambda node: node["zone"] == "proximal",
    "distal": lambda node: node["zone"] == "distal",
    "avid": lambda node: node["avid"],
    "cold": lambda node: not node["avid"],
    "under 7 mm": lambda node: node["short_axis_mm"] < 7,
    "7 to 10 mm": lambda node: 7 <= node["short_axis_mm"] < 10,
    "10 mm and more": lambda node: node["short_axis_mm"] >= 10,
}
"""Classes of planted nodes by zone, uptake and short axis."""
COLD_SUV = 2.5
NEAR_MM = 3.0
SAME_PLACE_MM = 10.0

Record = Mapping[str, Any]


def record(found: Detections, findings: Sequence[Finding]) -> dict[str, Any]:
    """What a row made of a patient: the fate of each planted node and what each false candidate lies on.

    Args:
        found: Candidates, rejected ones too; the column holds the planted nodes that count.
        findings: Every planted node and mimic.
    """
    column = found.column
    scores = np.array([candidate.score for candidate in sorted(found.candidates, key=lambda one: one.id)])
    fate = find_overlaps(found.labels, column.nodes).matching(scores)
    by_label = {int(label): by for label, by in zip(fate.node_labels, fate.found_by, strict=True)}
    candidates = {candidate.id: candidate for candidate in found.candidates}
    nodes = []
    for finding in findings:
        if finding.label:
            by = by_label.get(finding.label, -1)  # One that lies outside the column is missed.
            nodes.append(
                {
                    "zone": finding.zone,
                    "avid": bool(finding.avid),
                    "short_axis_mm": round(finding.short_axis_mm, 2),
                    "score": None if by < 0 else float(scores[by]),
                }
            )
    wrong = [candidates[int(label)] for label in fate.prediction_labels[fate.false_positive]]
    false = [
        {
            "score": one.score,
            "suv_max": one.suv_max,
            "center_mm": [round(float(mm), 1) for mm in one.center_mm],
            "lies_on": lies_on(one, findings),
        }
        for one in wrong
    ]
    return {"nodes": nodes, "false": false}


def lies_on(candidate: Candidate, findings: Sequence[Finding]) -> str | None:
    """Kind of the finding that a candidate's center lies in, or within `NEAR_MM` of; None if in none."""
    gaps = [np.linalg.norm(np.subtract(candidate.center_mm, f.center_mm)) - f.radius_mm for f in findings]
    nearest = int(np.argmin(gaps)) if gaps else None
    return None if nearest is None or gaps[nearest] > NEAR_MM else findings[nearest].kind


def scored(one: Record) -> Scored:
    """The (score, hit) pairs of a record."""
    hits = [node["score"] for node in one["nodes"] if node["score"] is not None]
    false = [candidate["score"] for candidate in one["false"]]
    return Scored(
        np.array([*hits, *false], float), np.repeat([True, False], [len(hits), len(false)]), len(one["nodes"])
    )


def threshold_at(records: Sequence[Record], false_positives: float) -> float:
    """Lowest score at which a cohort has at most that many false candidates per patient."""
    curve = froc([scored(one) for one in records])
    return float(curve.thresholds[np.flatnonzero(curve.false_positives <= false_positives)[-1]])


def painted(rows: Mapping[str, Sequence[Record]]) -> dict[str, list[Record]]:
    """The records without what lies on the patient's own anatomy, as a perfect filter would leave them."""
    return {
        row: [{**one, "false": [false for false in one["false"] if false["lies_on"]]} for one in records]
        for row, records in rows.items()
    }


def strength_table(rows: Mapping[str, Sequence[Record]]) -> str:
    """Found at 2, 4 and 8 false candidates per patient and mFROC of each row, with 95 % intervals.

    Intervals are over planted patients, who share one CT. The last columns are what is among the candidates
    at all, at however many false ones.

    Args:
        rows: Records of the same patients in the same order, by the row's name.
    """
    names = [f"{value:g}" for value in FALSE_POSITIVES]
    lines = [["row", *(f"found at {name} false" for name in names), "mFROC", "found at all", "false at all"]]
    for row, records in rows.items():
        patients = [scored(one) for one in records]
        ranked = Ranked.of(patients)
        weights = np.vstack([np.ones(len(patients)), resamples(len(patients))])
        found = resampled_figures(ranked, weights, np.nan, FALSE_POSITIVES)
        found["mfroc"] = resampled_figures(ranked, weights, np.nan)["mfroc"]
        hits, n_nodes = int(ranked.hits.sum()), int(ranked.n_nodes.sum())
        lines.append(
            [
                row,
                *(_interval(found[name]) for name in [*names, "mfroc"]),
                f"{hits} of {n_nodes}",
                f"{(~ranked.hits).sum() / len(patients):.1f}",
            ]
        )
    return table(lines)


def difference_table(rows: Mapping[str, Sequence[Record]], others: Mapping[str, Sequence[Record]]) -> str:
    """Paired differences of each row from the same row of other weights, with 95 % intervals over patients.

    Args:
        rows, others: As `strength_table`; records of the same patients.
    """
    names = [f"{value:g}" for value in FALSE_POSITIVES]
    lines = [["row", *(f"found at {name} false" for name in names), "mFROC"]]
    for row, records in rows.items():
        weights = np.vstack([np.ones(len(records)), resamples(len(records))])
        sides = []
        for side in (records, others[row]):
            ranked = Ranked.of([scored(one) for one in side])
            found = resampled_figures(ranked, weights, np.nan, FALSE_POSITIVES)
            sides.append(
                [*(found[name] for name in names), resampled_figures(ranked, weights, np.nan)["mfroc"]]
            )
        lines.append([row, *(_interval(ours - theirs, "+") for ours, theirs in zip(*sides, strict=True))])
    return table(lines)


def class_table(rows: Mapping[str, Sequence[Record]], false_positives: float) -> str:
    """Found of each class of nodes, at the lowest score with at most so many false candidates per patient."""
    lines = [["row", *CLASSES]]
    for row, records in rows.items():
        least = threshold_at(records, false_positives)
        nodes = [node for one in records for node in one["nodes"]]
        cells = []
        for belongs in CLASSES.values():
            members = [node for node in nodes if belongs(node)]
            hits = sum(node["score"] is not None and node["score"] >= least for node in members)
            cells.append(f"{hits} of {len(members)}" + (f" ({hits / len(members):.2f})" if members else ""))
        lines.append([row, *cells])
    return table(lines)


def false_table(rows: Mapping[str, Sequence[Record]], false_positives: float) -> str:
    """What the false candidates lie on and how many take up little, at so many of them per patient."""
    lines = [["row", "false", "on the CT's own anatomy", "on benign nodes", "on mimics", "cold"]]
    for row, records in rows.items():
        least = threshold_at(records, false_positives)
        wrong = [one for each in records for one in each["false"] if one["score"] >= least]
        own, benign = (sum(one["lies_on"] == kind for one in wrong) for kind in (None, "node"))
        cold = sum(one["suv_max"] is not None and one["suv_max"] < COLD_SUV for one in wrong)
        cells = [len(wrong), own, benign, len(wrong) - own - benign, cold]
        lines.append([row, *(str(value) for value in cells)])
    return table(lines)


@dataclass(frozen=True)
class Place:
    """Where in the one CT false candidates of several planted patients lie.

    Attributes:
        center_mm: (3,) mean of their centers, RAS mm.
        patients: in how many patients one lies there.
        score: highest.
        suv_max: median of the planted PET.
    """

    center_mm: np.ndarray
    patients: int
    score: float
    suv_max: float


def places(records: Sequence[Record], false_positives: float) -> list[Place]:
    """Where the CT's own anatomy is taken for a node, at so many false candidates per patient.

    Candidates join the place of the best-scored one within `SAME_PLACE_MM`; the most frequent place comes
    first.
    """
    least = threshold_at(records, false_positives)
    wrong = [
        (one["score"], number, one)
        for number, each in enumerate(records)
        for one in each["false"]
        if one["score"] >= least and one["lies_on"] is None
    ]
    groups: list[list[tuple[float, int, Record]]] = []
    for found in sorted(wrong, key=lambda one: -one[0]):
        gaps = [np.linalg.norm(np.subtract(found[2]["center_mm"], g[0][2]["center_mm"])) for g in groups]
        if gaps and min(gaps) <= SAME_PLACE_MM:
            groups[int(np.argmin(gaps))].append(found)
        else:
            groups.append([found])
    made = [
        Place(
            np.mean([one["center_mm"] for _, _, one in group], axis=0),
            len({number for _, number, _ in group}),
            group[0][0],
            float(np.median([one["suv_max"] for _, _, one in group])),
        )
        for group in groups
    ]
    return sorted(made, key=lambda place: (-place.patients, -place.score))


def above_table(found: Sequence[Record]) -> str:
    """Candidates above the operating point on cases without nodes, where all of them are false.

    Args:
        found: Of each row and case: row, point (name of its operating point), case and candidates (their
            number).
    """
    cases = list(dict.fromkeys(one["case"] for one in found))
    lines = [["row", "operating point", *cases, "mean"]]
    for row, point in dict.fromkeys((one["row"], one["point"]) for one in found):
        counts = {one["case"]: one["candidates"] for one in found if one["row"] == row}
        mean = sum(counts.values()) / len(counts)
        lines.append([row, point, *(str(counts[case]) for case in cases), f"{mean:.1f}"])
    return table(lines)


def _interval(values: np.ndarray, sign: str = "") -> str:
    """The first value with the percentiles of the others."""
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return f"{values[0]:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"
