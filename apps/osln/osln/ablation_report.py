"""Report of the stratification experiment: tables of intervals, paired differences and classes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from osln.ablation import DIFFERENCES, ROWS
from osln.bootstrap import DRAWS, METRICS, distribution, resamples
from osln.metrics import Counts
from osln.reporting import (
    ONLY_PHANTOMS,
    PAIRED,
    interval_cell,
    plain_interval,
    setting,
    setting_lines,
    table,
    verdict,
    write_sections,
)


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        command: As typed.
        sizes: Patients by split.
        iterations: Training steps of a network.
        seeds: Trainings of each network.
        phantom: Name of the phantom's parameters.
        counts: Node counts by split.
        counts_by_row: Stage-one counts on the test patients, one for each seed.
        figures_by_row: Figures of `ablation.judge`, one for each seed.
        trainings: Record of each training.
    """

    command: str
    sizes: Mapping[str, int]
    iterations: int
    seeds: int
    phantom: str
    counts: Mapping[str, Mapping[str, float]]
    counts_by_row: Mapping[str, Sequence[Counts]]
    figures_by_row: Mapping[str, Sequence[Mapping[str, Any]]]
    trainings: Mapping[str, Mapping[str, Any]]


def summarize(measured: Measured) -> dict[str, Any]:
    """Intervals of every row and of every paired difference, from one set of resamples."""
    weights = resamples(measured.sizes["test"])
    rows = {
        row: {name: distribution(counts, metric, weights) for name, metric in METRICS.items()}
        for row, counts in measured.counts_by_row.items()
    }
    differences = [
        {"row": a, "minus": b, "question": question}
        | {name: plain_interval(rows[a][name] - rows[b][name]) for name in METRICS}
        for a, b, question in DIFFERENCES
        if a in rows and b in rows
    ]
    return {
        "rows": {
            row: {name: plain_interval(found) for name, found in by.items()} for row, by in rows.items()
        },
        "differences": differences,
    }


def write_report(measured: Measured, path: Path) -> None:
    """Write the report as Markdown and, beside it, as JSON.

    Args:
        measured: The measurement.
        path: Markdown file; the JSON file has the same name.
    """
    summary = summarize(measured)
    about = setting(
        measured.command,
        patients=dict(measured.sizes),
        iterations=measured.iterations,
        seeds=measured.seeds,
        phantom=measured.phantom,
    )
    content = {"setting": about, **summary, "counts": measured.counts}
    content |= {"figures": measured.figures_by_row, "trainings": measured.trainings}
    write_sections(path, _sections(measured, summary, about), content)


def _sections(measured: Measured, summary: dict[str, Any], about: dict[str, Any]) -> Iterable[str]:
    rows = summary["rows"]
    sizes = measured.sizes
    yield "# Streams, fusion and distance stratification on phantoms"
    yield f"Shape of Table 1b of the paper, {ONLY_PHANTOMS}"
    yield (
        f"{setting_lines(about)}\n"
        f"- {sizes['train']} training, {sizes['validation']} validation and {sizes['test']} test phantoms "
        f"({measured.phantom}), {measured.seeds} trainings of each network, {measured.iterations} steps "
        "each\n"
        "- Recall at macro precision .15 and mRecall (precision .10 to .20) on the test phantoms, mean of "
        f"the trainings, in brackets the 95 % interval of {DRAWS} resamples of the test phantoms; single "
        "trainings behind the slash"
    )
    yield "## Table"
    paper: list[Sequence[str]] = [("", "Recall@0.15", "mRecall", "networks x steps")]
    for name in (name for name in rows if not ROWS[name].control):
        paper.append((ROWS[name].title, *_cells(rows[name]), _cost(name, measured)))
    yield table(paper)
    yield "## Controls"
    controls: list[Sequence[str]] = [("", "Recall@0.15", "mRecall", "networks x steps")]
    for name in (name for name in rows if ROWS[name].control):
        controls.append((ROWS[name].title, *_cells(rows[name]), _cost(name, measured)))
    yield table(controls)
    yield "## Paired differences"
    yield PAIRED
    paired: list[Sequence[str]] = [
        ("Question", "Difference", "Recall@0.15", "mRecall", "mRecall differs from 0")
    ]
    for entry in summary["differences"]:
        title = f"{ROWS[entry['row']].title} - {ROWS[entry['minus']].title}"
        paired.append((entry["question"], title, *_cells(entry, "+"), verdict(entry["mean_recall"])))
    yield table(paired)
    yield from _class_sections(measured)
    yield "## Trainings"
    losses: list[Sequence[str]] = [
        ("Network", "steps", "Dice loss, last 50 steps", "50 steps before", "seconds")
    ]
    for name, record in measured.trainings.items():
        last, before = record["losses"][-1][2], record["losses"][max(len(record["losses"]) - 2, 0)][2]
        losses.append(
            (name, str(record["iterations"]), f"{last:.3f}", f"{before:.3f}", f"{record['seconds']:.0f}")
        )
    yield table(losses)
    yield "## Phantoms"
    keys = list(dict.fromkeys(key for by in measured.counts.values() for key in by))
    counts: list[Sequence[str]] = [("per patient", *measured.counts)]
    for key in keys:
        counts.append((key, *(f"{by.get(key, 0):.3g}" for by in measured.counts.values())))
    yield table(counts)


def _class_sections(measured: Measured) -> Iterable[str]:
    yield "## Where nodes are lost and false positives lie"
    yield (
        "At each row's own threshold for precision .15 on the test phantoms, means of the trainings: share "
        "of nodes found by zone and uptake and by short axis, false positives per patient by zone, largest "
        "macro recall at any threshold (ceiling), and what the threshold chosen on the validation phantoms "
        "gives on the test ones."
    )
    figures = measured.figures_by_row
    names = sorted({name for by in figures.values() for one in by for name in one["table"]["classes"]})
    header = ("", *names, "FP proximal", "FP distal", "ceiling", "validation threshold: recall / precision")
    classes: list[Sequence[str]] = [header]
    for row, by in figures.items():
        cells = []
        for name in names:
            found = np.sum([one["table"]["classes"].get(name, [0, 0]) for one in by], axis=0)
            cells.append(f"{found[0] / found[1]:.2f}" if found[1] else "")
        false = [
            float(np.mean([one["table"]["false"][zone] for one in by])) for zone in ("proximal", "distal")
        ]
        chosen = [one["at_validation_threshold"] for one in by]
        recall = float(np.mean([one["recall"] for one in chosen]))
        precision = float(np.mean([one["precision"] or 0.0 for one in chosen]))
        cells += [f"{false[0]:.1f}", f"{false[1]:.1f}", f"{np.mean([one['ceiling'] for one in by]):.2f}"]
        classes.append((ROWS[row].title, *cells, f"{recall:.3f} / {precision:.3f}"))
    yield table(classes)
    reached = [ROWS[row].title for row, by in figures.items() if not all(one["reached"] for one in by)]
    if reached:
        yield f"Precision .15 was not reached at any threshold by every training of: {', '.join(reached)}."


def _cells(entry: Mapping[str, Any], sign: str = "") -> list[str]:
    return [interval_cell(entry[name], sign) for name in METRICS]


def _cost(row: str, measured: Measured) -> str:
    lengths = [length for _, length, _ in ROWS[row].networks]
    return " + ".join(str(length * measured.iterations) for length in lengths)
