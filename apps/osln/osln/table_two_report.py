"""Report of the stage-two experiment: Table 2's shape with intervals and paired differences."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from osln.bootstrap import CANDIDATE_METRICS, DRAWS, candidate_distributions, resamples
from osln.froc import best_f1, froc
from osln.matching import Scored
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
from osln.table_two import DIFFERENCES, ROWS, Row

TITLES = {
    "f1": "best F1",
    "f1_chosen": "F1 at validation's threshold",
    "2": "@2",
    "3": "@3",
    "4": "@4",
    "6": "@6",
    "mfroc": "mFROC",
}
"""Figures in the order of the paper's table; "@2" is the sensitivity at 2 false positives per patient."""


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        command: As typed.
        sizes: Patients by split.
        epochs: Passes of each training through its candidates.
        seeds: Trainings of each row.
        phantom: Name of the phantom's parameters.
        tagger: `Tagger.describe` of the tagger.
        candidates: Figures of `count_candidates` by setting of stage one and split.
        test: (score, hit) pairs of the test patients by row, for each seed.
        validation: The same of the validation patients.
        trainings: Record of each training.
    """

    command: str
    sizes: Mapping[str, int]
    epochs: int
    seeds: int
    phantom: str
    tagger: Mapping[str, Any]
    candidates: Mapping[str, Mapping[str, Mapping[str, float]]]
    test: Mapping[str, Sequence[Sequence[Scored]]]
    validation: Mapping[str, Sequence[Sequence[Scored]]]
    trainings: Mapping[str, Mapping[str, Any]]


def summarize(measured: Measured) -> dict[str, Any]:
    """Intervals of every row and of every paired difference, from one set of resamples.

    Returns:
        JSON values. "rows": the figures of each row, "thresholds" that validation patients chose for the
        best F1, one for each seed, and "clamped": some curve ends before 6 false positives per patient, so
        that its last value stands in. "differences": questions of `table_two.DIFFERENCES`.
    """
    weights = resamples(measured.sizes["test"])
    chosen = {
        row: [best_f1(patients).threshold for patients in seeds] for row, seeds in measured.validation.items()
    }
    found = {
        row: candidate_distributions(seeds, chosen[row], weights) for row, seeds in measured.test.items()
    }
    return {
        "rows": {
            row: {name: plain_interval(one) for name, one in by.items()}
            | {
                "thresholds": chosen[row],
                "clamped": any(froc(patients).clamped for patients in measured.test[row]),
            }
            for row, by in found.items()
        },
        "differences": [
            {"row": a, "minus": b, "question": question}
            | {name: plain_interval(found[a][name] - found[b][name]) for name in CANDIDATE_METRICS}
            for a, b, question in DIFFERENCES
            if a in found and b in found
        ],
    }


def count_candidates(patients: Sequence[Scored], predictions: Sequence[int]) -> dict[str, float]:
    """What a setting of stage one leaves to stage two.

    Args:
        patients: (score, hit) pairs under any scores.
        predictions: Candidates of each patient, those that hit an already found node too.

    Returns:
        Per patient "nodes", "candidates" and "false"; "ceiling" is the pooled share of nodes that some
        candidate hits, which no classifier can exceed, and NaN without any node.
    """
    nodes = sum(one.n_nodes for one in patients)
    hits = sum(int(one.hits.sum()) for one in patients)
    return {
        "nodes": nodes / len(patients),
        "candidates": sum(predictions) / len(patients),
        "false": sum(int((~one.hits).sum()) for one in patients) / len(patients),
        "ceiling": hits / nodes if nodes else float("nan"),
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
        epochs=measured.epochs,
        seeds=measured.seeds,
        phantom=measured.phantom,
        tagger=dict(measured.tagger),
    )
    content = {"setting": about, **summary}
    content |= {"candidates": measured.candidates, "trainings": measured.trainings}
    write_sections(path, _sections(measured, summary, about), content)


def _sections(measured: Measured, summary: dict[str, Any], about: dict[str, Any]) -> Iterable[str]:
    sizes, tagger = measured.sizes, measured.tagger
    yield "# Stage two on phantoms: what scores the candidates"
    yield f"Shape of Table 2 of the paper, {ONLY_PHANTOMS}"
    yield (
        f"{setting_lines(about)}\n"
        f"- {sizes['stage two']} phantoms for the training of stage two, which no stage-one network has "
        f"seen, {sizes['validation']} validation and {sizes['test']} test phantoms ({measured.phantom}), "
        f"trainings of each row: {measured.seeds}, of {measured.epochs} epochs\n"
        f"- Tagger: {tagger['name']}, {tagger['origin']}, width {tagger['width']}, trained on "
        f"{tagger['trained_on']}, sha256 {str(tagger['sha256'])[:12]}\n"
        "- Candidates at macro precision .15 of stage one; # ranks them by their mean probability\n"
        "- F1, sensitivity at 2, 3, 4 and 6 false positives per patient and their mean (mFROC) on the test "
        "phantoms, pooled over all nodes, those that no candidate hits included; in brackets the 95 % "
        f"interval of {DRAWS} resamples of the test phantoms"
        + ("; mean of the trainings, single ones behind the slash" if measured.seeds > 1 else "")
    )
    rows = summary["rows"]
    for setting_row, by in measured.candidates.items():
        named = [name for name in rows if ROWS[name].stage_one == setting_row]
        yield f"## {Row(setting_row, None).title.rstrip('#')} candidates"
        test = by["test"]
        yield (
            f"{test['candidates']:.1f} candidates per test phantom with {test['nodes']:.1f} nodes; "
            f"{test['ceiling']:.3f} of the nodes are hit by a candidate, which is the ceiling of every row."
        )
        lines: list[Sequence[str]] = [("", *TITLES.values())]
        for name in named:
            lines.append((ROWS[name].title, *(_cell(rows[name][key], measured) for key in TITLES)))
        yield table(lines)
        clamped = [ROWS[name].title for name in named if rows[name]["clamped"]]
        if clamped:
            yield (
                "The curve ends before 6 false positives per patient, so that its last value stands in, for: "
                f"{', '.join(clamped)}."
            )
    yield "## Paired differences"
    yield PAIRED
    paired: list[Sequence[str]] = [("Question", "Difference", "best F1", "mFROC", "mFROC differs from 0")]
    for entry in summary["differences"]:
        title = f"{ROWS[entry['row']].title} - {ROWS[entry['minus']].title}"
        cells = [_cell(entry[name], measured, "+") for name in ("f1", "mfroc")]
        paired.append((entry["question"], title, *cells, verdict(entry["mfroc"])))
    yield table(paired)
    yield "## Candidates"
    counts: list[Sequence[str]] = [
        ("per patient", "patients", "nodes", "candidates", "false candidates", "ceiling")
    ]
    for setting_row, by in measured.candidates.items():
        for split, one in by.items():
            figures = (f"{one['nodes']:.1f}", f"{one['candidates']:.1f}", f"{one['false']:.1f}")
            counts.append((f"{setting_row}, {split}", str(sizes[split]), *figures, f"{one['ceiling']:.3f}"))
    yield table(counts)
    yield "## Trainings"
    yield "Candidates that overlap a node without hitting it are left out; every true node is added."
    losses: list[Sequence[str]] = [
        ("Row", "candidates", "of these nodes", "epochs", "loss, first epoch", "last epoch", "seconds")
    ]
    for name, record in measured.trainings.items():
        first, last = record["losses"][0], record["losses"][-1]
        numbers = (str(record[key]) for key in ("candidates", "nodes", "epochs"))
        losses.append((name, *numbers, f"{first:.3f}", f"{last:.3f}", f"{record['seconds']:.0f}"))
    yield table(losses)


def _cell(entry: Mapping[str, Any], measured: Measured, sign: str = "") -> str:
    """Values of single trainings are shown where there are several; "#" rows have one value."""
    values = entry["per_seed"] if measured.seeds > 1 and np.ptp(entry["per_seed"] or [0]) > 0 else []
    return interval_cell({**entry, "per_seed": values}, sign)
