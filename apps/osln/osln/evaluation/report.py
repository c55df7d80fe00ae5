"""An evaluation as a table on the screen, as Markdown, as JSON and as a curve."""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from osln.evaluation.figures import RECALL_AT_PRECISION, Evaluation, differences
from osln.files.arrays import plain
from osln.files.cells import cell
from osln.metrics.bootstrap import Distribution
from osln.metrics.criteria import Averaging, Criterion
from osln.metrics.intervals import bounds, table

TITLES = {
    "recall": "recall",
    "precision": "precision",
    "f1_at_threshold": "F1",
    "macro_recall": "macro recall",
    "macro_precision": "macro precision",
    "best_f1": "best F1",
    "mfroc": "mFROC",
    RECALL_AT_PRECISION: "stage one: recall at precision .15",
    "mean_recall": "stage one: mRecall (.10 - .20)",
}
AT_THRESHOLD = ("recall", "precision", "f1_at_threshold", "macro_recall", "macro_precision")


@dataclass(frozen=True)
class Report:
    """One or two evaluated sets of predictions.

    Attributes:
        sets: By name, in the order of the columns; the second is what the first is compared with.
        criterion, averaging: Rows that were used.
        draws: Resamples of the intervals.
        seed: Of the resamples.
    """

    sets: Mapping[str, Evaluation]
    criterion: Criterion
    averaging: Averaging
    draws: int
    seed: int

    def content(self) -> dict[str, Any]:
        """JSON values; layout in docs/evaluation.md."""
        return plain(
            {
                "criterion": asdict(self.criterion),
                "averaging": asdict(self.averaging),
                "bootstrap": {"draws": self.draws, "seed": self.seed, "notes": self._intervals()},
                "sets": {name: _set_content(one) for name, one in self.sets.items()},
                "difference": {name: _interval(one) for name, one in self._differences().items()},
            }
        )

    def markdown(self) -> str:
        """The same as a document."""
        about, remarks = (
            "\n".join(f"- {line}" for line in lines) for lines in (self._about(), self._remarks())
        )
        parts = ("# Evaluation", about, table(self._rows()), remarks)
        return "\n\n".join(part for part in parts if part) + "\n"

    def text(self) -> str:
        """The same for the screen."""
        rows = self._rows()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([*self._about(), "", *lines, "", *self._remarks()]) + "\n"

    def _differences(self) -> Mapping[str, Distribution]:
        if len(self.sets) < 2:
            return {}
        one, other = self.sets.values()
        return differences(one, other)

    def _about(self) -> list[str]:
        about = [f"criterion {self.criterion.name}: {self.criterion.title}"]
        about.append(f"averaging {self.averaging.name}: {self.averaging.title}")
        for name, one in self.sets.items():
            counts = _counts(one)
            about.append(
                f"{name}: {counts['patients']} patients ({counts['patients_without_nodes']} without nodes, "
                f"{counts['patients_without_predictions']} without predictions), "
                f"{counts['nodes']} nodes, {counts['found']} found; {counts['false']} false predictions, "
                f"{counts['neither']} neither true nor false"
            )
        return about

    def _rows(self) -> list[list[str]]:
        evaluations = list(self.sets.values())
        changes = self._differences()
        first = f"95 % intervals, {self.draws} resamples of the patients"
        rows = [[first, *self.sets, *(["difference"] if changes else [])]]
        for name in evaluations[0].figures:
            cells = [_cell(one.figures[name]) if name in one.figures else "" for one in evaluations]
            change = [_cell(changes[name], "+") if name in changes else ""] if changes else []
            rows.append([_title(name, evaluations[0]), *cells, *change])
        return rows

    def _intervals(self) -> list[str]:
        """What the intervals cannot say of so few patients; the sets have the same ones."""
        counts = _counts(next(iter(self.sets.values())))
        with_nodes = counts["patients"] - counts["patients_without_nodes"]
        if counts["patients"] < 2:
            return ["no intervals: one patient says nothing of others, nor does a difference on it"]
        if with_nodes == 1:
            return ["one patient has all nodes: intervals of recall and sensitivity say nothing of others"]
        return []

    def _remarks(self) -> list[str]:
        remarks = list(self._intervals())
        for name, one in self.sets.items():
            remarks += [f"{name}: {text}" for text in _left_out(one, self.averaging)]
            reached = one.curve.false_positives[-1]
            if np.isfinite(one.best_threshold):
                remarks.append(f"{name}: best F1 at the score {float(one.best_threshold)!r}")
            if reached < max(one.false_positives):
                remarks.append(
                    f"{name}: the curve ends at {reached:.3g} false positives per patient; beyond it the "
                    "last value stands in"
                )
            remarks += [f"{name}: left out: {text}" for text in one.cohort.left_out]
            remarks += [f"{name}: {text}" for text in one.cohort.notes]
        return remarks


def curve_csv(sets: Mapping[str, Evaluation]) -> str:
    """Points of the FROC curves: set, threshold, false positives per patient, sensitivity."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["set", "threshold", "false_positives_per_patient", "sensitivity"])
    for name, one in sets.items():
        points = zip(one.curve.thresholds, one.curve.false_positives, one.curve.sensitivity, strict=True)
        writer.writerows([cell(name), *map(float, point)] for point in points)
    return buffer.getvalue()


def _set_content(one: Evaluation) -> dict[str, Any]:
    return {
        **_counts(one),
        "threshold": one.threshold,
        "patients_without_predictions_at_threshold": one.silent,
        "stage_one": None if one.stage_one is None else asdict(one.stage_one),
        "best_f1_threshold": one.best_threshold,
        "false_positives": list(one.false_positives),
        "curve_ends_at": one.curve.false_positives[-1],
        "figures": {name: _interval(found) for name, found in one.figures.items()},
        "left_out": list(one.cohort.left_out),
        "notes": list(one.cohort.notes),
        "cases": {
            case: {
                "nodes": scored.n_nodes,
                "found": int(scored.hits.sum()),
                "false": int((~scored.hits).sum()),
                "neither": one.cohort.neither.get(case, 0),
                "overlapped_but_missed": one.cohort.radius_only.get(case, 0),
            }
            for case, scored in one.cohort.scored.items()
        },
    }


def _left_out(one: Evaluation, averaging: Averaging) -> list[str]:
    """Patients whom the averages over patients cannot count, and where stage one's figures are read."""
    without_nodes = _counts(one)["patients_without_nodes"]
    predicting = averaging.precision == "predicting"
    told = [
        f"macro recall leaves {without_nodes} patients without nodes out, macro precision "
        f"{one.silent if predicting else 0} without a prediction that counts"
    ]
    if one.stage_one is None:
        return told
    if not one.stage_one.reached:
        return [*told, "stage one: no voxel threshold has a precision of .15"]
    return [
        *told,
        f"stage one: precision at least .15 ({one.stage_one.precision:.3f}) at the voxel threshold "
        f"{float(one.stage_one.threshold)!r}, "
        f"{one.stage_one.false_positives:.3g} false positives per patient; the precision leaves "
        f"{one.stage_one.without_predictions if predicting else 0} patients without predictions out",
    ]


def _counts(one: Evaluation) -> dict[str, int]:
    patients, neither = list(one.cohort.scored.values()), one.cohort.neither
    return {
        "patients": len(patients),
        "patients_without_nodes": sum(scored.n_nodes == 0 for scored in patients),
        "patients_without_predictions": sum(
            len(scored.scores) == 0 and not neither.get(case) for case, scored in one.cohort.scored.items()
        ),
        "nodes": sum(scored.n_nodes for scored in patients),
        "found": int(sum(scored.hits.sum() for scored in patients)),
        "false": int(sum((~scored.hits).sum() for scored in patients)),
        "neither": sum(neither.values()),
    }


def _interval(found: Distribution) -> dict[str, float]:
    return asdict(found.interval())


def _title(name: str, one: Evaluation) -> str:
    if name.startswith("froc_"):
        return f"sensitivity at {name.removeprefix('froc_')} FP per patient"
    if name in AT_THRESHOLD:
        kept = "all scores" if one.threshold == -np.inf else f"score from {float(one.threshold)!r}"
        return f"{TITLES[name]}, {kept}"
    if name == "mfroc":
        return f"mFROC at {', '.join(f'{target:g}' for target in one.false_positives)}"
    return TITLES[name]


def _cell(found: Distribution, sign: str = "") -> str:
    interval = found.interval()
    if np.isnan(interval.value):
        return "no value"
    return f"{interval.value:{sign}.3f} {bounds(interval.low, interval.high, sign)}"
