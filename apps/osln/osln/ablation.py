"""Table 1b of the paper as rows of data, with the controls that tell an effect from more computing.

A row is a set of trained networks whose maps are fused. A stratified row holds twice the networks of
an unstratified one and late fusion twice those of a single stream, so each has controls of the same
number of training steps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from osln.cohort import Patient
from osln.experiments import PROXIMAL_MM
from osln.fusion import late_fusion
from osln.instances import CONNECTIVITY
from osln.matching import match
from osln.metrics import Counts, operating_index, stage_one
from osln.sweep import THRESHOLDS, sweep

SIZES_MM = (0.0, 6.0, 8.0, 10.0, 100.0)
"""Borders of the short-axis classes."""


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        segmenter: Row of `SEGMENTERS`.
        length: Training steps in units of the experiment's number.
        seed: Seed of first weights and patches.
    """

    segmenter: str
    length: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.segmenter}-x{self.length}-seed{self.seed}"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: Key in `ROWS`.
        title: What the table shows.
        networks: Segmenter, length and seed offset of each network.
        control: The row answers a question about another one and is not in the paper.
    """

    name: str
    title: str
    networks: tuple[tuple[str, int, int], ...]
    control: bool = False

    def runs(self, seed: int, seeds: int) -> list[Run]:
        """The trainings of the row for one seed; a seed offset wraps around."""
        return [Run(name, length, (seed + offset) % seeds) for name, length, offset in self.networks]

    @property
    def steps(self) -> int:
        """Training steps of all networks together, in units of the experiment's number."""
        return sum(length for _, length, _ in self.networks)


ROWS = {
    row.name: row
    for row in (
        Row("ct", "CT", (("ct", 1, 0),)),
        Row("ef", "EF", (("ef", 1, 0),)),
        Row("lf", "LF", (("ct", 1, 0), ("ef", 1, 0))),
        Row("ct-stratified", "CT, stratified", (("ct-proximal", 1, 0), ("ct-distal", 1, 0))),
        Row("ef-stratified", "EF, stratified", (("ef-proximal", 1, 0), ("ef-distal", 1, 0))),
        Row(
            "lf-stratified",
            "LF, stratified",
            (("ct-proximal", 1, 0), ("ef-proximal", 1, 0), ("ct-distal", 1, 0), ("ef-distal", 1, 0)),
        ),
        Row("ct-long", "CT, twice the steps", (("ct", 2, 0),), control=True),
        Row("ef-long", "EF, twice the steps", (("ef", 2, 0),), control=True),
        Row("lf-long", "LF, twice the steps each", (("ct", 2, 0), ("ef", 2, 0)), control=True),
        Row("two-ct", "max of two CT networks", (("ct", 1, 0), ("ct", 1, 1)), control=True),
    )
}

DIFFERENCES = (
    ("ef", "ct", "Does PET in early fusion help?"),
    ("lf", "ct", "Does late fusion beat CT?"),
    ("lf", "ef", "Does late fusion beat early fusion?"),
    ("lf", "two-ct", "Is late fusion more than two networks?"),
    ("ct-stratified", "ct", "Does stratification help CT?"),
    ("ef-stratified", "ef", "Does stratification help EF?"),
    ("lf-stratified", "lf", "Does stratification help LF?"),
    ("ct-stratified", "ct-long", "... at equal training steps (CT)?"),
    ("ef-stratified", "ef-long", "... at equal training steps (EF)?"),
    ("lf-stratified", "lf-long", "... at equal training steps (LF)?"),
    ("lf-stratified", "ct-stratified", "Does late fusion beat CT, both stratified?"),
    ("lf-stratified", "ef-stratified", "Does late fusion beat EF, both stratified?"),
    ("ct-long", "ct", "Was CT trained long enough?"),
    ("ef-long", "ef", "Was EF trained long enough?"),
)
"""Paired comparisons: row, minus row, and the question that the difference answers."""


def all_runs(rows: Iterable[str], seeds: int) -> list[Run]:
    """Every training of the rows in order of need: seed after seed, of each the controls last."""
    wanted = [run for seed in range(seeds) for row in rows for run in ROWS[row].runs(seed, seeds)]
    return sorted(dict.fromkeys(wanted), key=lambda run: (run.seed, run.length))


def fuse(maps: Iterable[tuple[str, np.ndarray]], distance_mm: np.ndarray | None) -> np.ndarray:
    """Late fusion of maps given with their segmenter's name; a segmenter may occur twice."""
    strongest: dict[str, np.ndarray] = {}
    for name, prob in maps:
        strongest[name] = np.maximum(strongest[name], prob) if name in strongest else prob
    return late_fusion(strongest, distance_mm)


def count(patients: Sequence[Patient], fused: Iterable[np.ndarray]) -> Counts:
    """Stage-one counts of a row.

    Args:
        patients: The patients.
        fused: Fused map of each, in the same order.
    """
    pairs = zip(patients, fused, strict=True)
    return Counts.of([sweep(prob, patient.column.nodes) for patient, prob in pairs])  # type: ignore[arg-type]


def class_table(patients: Sequence[Patient], fused: Iterable[np.ndarray], threshold: float) -> dict[str, Any]:
    """Recall by class of node, and false positives by zone, at one threshold.

    Returns:
        "classes": [found, all] nodes of each class (zone and uptake, short axis); "false": false positives
        per patient by the zone of their center of mass; "radius_only": nodes missed only because
        the prediction over them has no fitting radius.
    """
    classes: dict[str, list[int]] = {}
    false = {"proximal": 0, "distal": 0}
    radius_only = 0
    for patient, prob in zip(patients, fused, strict=True):
        labels, n = ndimage.label(prob >= np.float32(threshold), CONNECTIVITY)
        index = np.arange(1, n + 1)
        scores = ndimage.mean(prob, labels, index) if n else np.zeros(0)
        matching = match(labels, patient.column.nodes, scores)  # type: ignore[arg-type]
        radius_only += int(matching.radius_only.sum())
        for label, by in zip(matching.node_labels, matching.found_by, strict=True):
            entry = patient.truth[int(label)]
            for name in class_names(entry):
                classes.setdefault(name, [0, 0])
                classes[name][0] += int(by >= 0)
                classes[name][1] += 1
        wrong = index[matching.false_positive]
        for center in ndimage.center_of_mass(labels > 0, labels, wrong) if len(wrong) else []:
            at = tuple(np.round(center).astype(int))
            near = patient.column.distance_mm[at] <= PROXIMAL_MM  # type: ignore[index]
            false["proximal" if near else "distal"] += 1
    return {
        "classes": dict(sorted(classes.items())),
        "false": {zone: number / len(patients) for zone, number in false.items()},
        "radius_only": radius_only,
    }


def class_names(entry: Mapping[str, Any]) -> list[str]:
    """The two classes of a node: zone with uptake, and short axis."""
    size = int(np.searchsorted(SIZES_MM, float(entry["short_axis_mm"]), side="right")) - 1
    low, high = SIZES_MM[size], SIZES_MM[size + 1]
    span = f"from {low:g} mm" if size == len(SIZES_MM) - 2 else f"{low:g} to {high:g} mm"
    return [f"{entry['zone']} {'avid' if entry['avid'] else 'cold'}", span]


def judge(counts: Counts, chosen: Counts) -> dict[str, Any]:
    """A row's figures on test patients, also at the threshold that validation patients chose.

    Args:
        counts: Of the test patients.
        chosen: Of the validation patients.
    """
    figures = asdict(stage_one(counts))
    at = operating_index(chosen)
    with_nodes = counts.n_nodes > 0
    recalls = counts.hit_nodes[with_nodes] / counts.n_nodes[with_nodes, None]
    predictions = (counts.true_predictions + counts.false_predictions)[:, at]
    precise = counts.true_predictions[:, at][predictions > 0] / predictions[predictions > 0]
    figures["ceiling"] = float(recalls.mean(axis=0).max())
    figures["at_validation_threshold"] = {
        "threshold": float(THRESHOLDS[at]),
        "recall": float(recalls[:, at].mean()),
        "precision": float(precise.mean()) if len(precise) else None,
        "false_positives": float(counts.false_predictions[:, at].mean()),
    }
    return figures
