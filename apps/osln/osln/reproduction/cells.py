"""The tables of a report as cells of text, for Markdown and HTML alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from osln.metrics.intervals import interval_cell, verdict
from osln.rows.lines import FIGURES

PAPERS = "the paper's own data"
"""Heading of the paper's figures: other patients, other networks, never the same data."""
NO_BETTER = "not shown better than chance"

Cells = list[list[str]]
"""Rows of a table, the header first."""


def line_cells(table: Mapping[str, Any], kind: str) -> Cells:
    """The lines of one kind of a table; empty if it has none.

    Args:
        table: From `figures.table_figures`.
        kind: "recall" or "froc".
    """
    lines = [line for line in table["lines"] if line["kind"] == kind]
    if not lines:
        return []
    names = FIGURES[kind]
    papers = [name for name in names if any(name in line["paper"] for line in lines)]
    leading = next(iter(names.values()))
    header = ["", *names.values(), f"{leading} by chance"]
    header += ["training steps"] if kind == "recall" else []
    header += [f"{names[name]} ({PAPERS})" for name in papers]
    rows = []
    for line in lines:
        title = f"{line['title']} (control)" if line["control"] else line["title"]
        cells = [title, *(figure_cell(line["figures"][name]) for name in names), chance_cell(line)]
        cells += [f"x {line['units']}"] if kind == "recall" else []
        cells += [f"{line['paper'][name]:.3f}" if name in line["paper"] else "-" for name in papers]
        rows.append(cells)
    return [header, *rows]


def question_cells(table: Mapping[str, Any], kind: str) -> Cells:
    """The paired comparisons of one kind of a table; empty if it has none."""
    asked = [question for question in table["questions"] if question["kind"] == kind]
    if not asked:
        return []
    titles = {line["row"]: line["title"] for line in table["lines"]}
    shown = [name for name in FIGURES[kind] if name in ("mean_recall", "recall", "mfroc", "f1")]
    leading = FIGURES[kind][asked[0]["leading"]]
    rows = [["question", "difference", *(FIGURES[kind][name] for name in shown), f"{leading} differs from 0"]]
    for question in asked:
        pair = " - ".join(titles.get(question[side], question[side]) for side in ("row", "minus"))
        figures = [figure_cell(question["figures"][name], "+") for name in shown]
        rows.append([question["question"], pair, *figures, verdict(question["figures"][question["leading"]])])
    return rows


def figure_cell(entry: Mapping[str, Any], sign: str = "") -> str:
    """A figure with its interval; every training's value behind a slash where they differ."""
    values = entry["per_seed"]
    several = len(values) > 1 and max(values) > min(values)
    return interval_cell({**entry, "per_seed": values if several else []}, sign)


def chance_cell(line: Mapping[str, Any]) -> str:
    """What chance gives, and whether the line is not shown to be better."""
    value = f"{line['chance']['value']:.3f}"
    return value if line["above_chance"] else f"{value}: {NO_BETTER}"


def marked_lines(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Titles of the lines that are not shown to be better than chance."""
    return list(
        dict.fromkeys(
            f"{line['title']} ({'Table ' if table['name'][0].isdigit() else ''}{table['name']})"
            for table in tables
            for line in table["lines"]
            if not line["above_chance"]
        )
    )


def class_cells(classes: Mapping[str, Sequence[Mapping[str, Any]]]) -> Cells:
    """Recall by class of node, false positives by zone, who is left out; means over the trainings.

    Args:
        classes: For each title, one entry of `classes.judge` with its "table" for each training.
    """
    names = sorted({name for by in classes.values() for one in by for name in one["table"]["classes"]})
    last = ["FP proximal", "FP distal", "ceiling", "validation's threshold: recall / precision"]
    last.append("patients left out: of recall (no node) / of precision (no prediction)")
    rows = [["", *names, *last]]
    for title, by in classes.items():
        cells = [title]
        for name in names:
            found = [sum(one["table"]["classes"].get(name, [0, 0])[k] for one in by) for k in (0, 1)]
            cells.append(f"{found[0] / found[1]:.2f}" if found[1] else "")
        chosen = [one["at_validation_threshold"] for one in by]
        cells += [
            f"{_mean(one['table']['false'][zone] for one in by):.1f}" for zone in ("proximal", "distal")
        ]
        cells.append(f"{_mean(one['ceiling'] for one in by):.2f}")
        recall = _mean(one["recall"] for one in chosen)
        precisions = [one["precision"] for one in chosen if one["precision"] is not None]
        cells.append(f"{recall:.3f} / " + (f"{_mean(precisions):.3f}" if precisions else "no prediction"))
        left_out = (_mean(one[name] for one in by) for name in ("without_nodes", "without_predictions"))
        cells.append(" / ".join(f"{number:.3g}" for number in left_out))
        rows.append(cells)
    return rows


def candidate_cells(candidates: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Cells:
    """What each setting of stage one leaves to stage two, by split."""
    names = ("nodes", "candidates", "false", "ceiling")
    header = ["per patient", "nodes", "candidates", "false candidates", "share of nodes hit (ceiling)"]
    rows = [header]
    for setting, by in candidates.items():
        for split, one in by.items():
            rows.append(
                [f"{setting}, {split}", *(f"{one[name]:.{3 if name == 'ceiling' else 1}f}" for name in names)]
            )
    return rows


def training_cells(trainings: Mapping[str, Mapping[str, Any]]) -> Cells:
    """Trainings with their length, loss and time."""
    rows = [["training", "learned from", "steps or passes", "loss at first", "at last", "seconds"]]
    for name, record in trainings.items():
        learned = f"{len(record['train_cases'])} patients"
        learned += (
            f", {record['candidates']} candidates ({record['nodes']} nodes)" if "candidates" in record else ""
        )
        losses = [_loss(one) for one in record["losses"]]
        length = str(record.get("iterations", record.get("epochs", "")))
        rows.append(
            [name, learned, length, f"{losses[0]:.3f}", f"{losses[-1]:.3f}", f"{record['seconds']:.0f}"]
        )
    return rows


def cohort_cells(cohort: Mapping[str, Mapping[str, float]]) -> Cells:
    """What the patients of each split have."""
    names = list(dict.fromkeys(name for by in cohort.values() for name in by))
    rows = [[name, *(_short(by.get(name, 0)) for by in cohort.values())] for name in names]
    return [["", *cohort], *rows]


def _short(value: float) -> str:
    """Three digits, or more before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _loss(entry: Any) -> float:
    """Of a pass, of a number of steps with its figures, or of a detector's report."""
    if isinstance(entry, Mapping):
        return float(entry["total"])
    return float(entry[1] if isinstance(entry, list | tuple) else entry)


def _mean(values: Any) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
