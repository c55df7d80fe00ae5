"""Figures of every row and answers to every question, from the files of finished jobs."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from osln.metrics.bootstrap import METRICS, Distribution, candidate_distributions, distribution, resamples
from osln.metrics.definitions import Counts
from osln.metrics.froc import best_f1, froc
from osln.metrics.intervals import plain_interval
from osln.metrics.matching import Scored
from osln.reproduction.chance import chance_distribution
from osln.rows.experiments import Row
from osln.rows.lines import FIGURES, Table

LEADING = {kind: next(iter(figures)) for kind, figures in FIGURES.items()}
"""The figure that is compared with chance and that answers the questions."""


@dataclass(frozen=True)
class MapResult:
    """What a row's fused maps find in the test patients, for each seed, and the same maps displaced."""

    test: Sequence[Counts]
    chance: Sequence[Counts]


@dataclass(frozen=True)
class CandidateResult:
    """A row's scored candidates, for each seed."""

    test: Sequence[Sequence[Scored]]
    validation: Sequence[Sequence[Scored]]


Result = MapResult | CandidateResult


@dataclass(frozen=True)
class Figures:
    """A row's figures with their bootstrap distributions.

    Attributes:
        found: By the names of `FIGURES`.
        chance: The leading figure by chance.
        notes: What the reader must know: curves that end early, precisions that are not reached.
    """

    found: Mapping[str, Distribution]
    chance: Distribution
    notes: tuple[str, ...]

    @property
    def leading(self) -> Distribution:
        return self.found[next(iter(name for name in LEADING.values() if name in self.found))]

    @property
    def above_chance(self) -> bool:
        """The interval of the difference from chance lies above 0."""
        return (self.leading - self.chance).interval().low > 0


def row_figures(result: Result, weights: np.ndarray) -> Figures:
    """Figures of a row on the test patients.

    Args:
        result: Of the row.
        weights: (D, P) from `bootstrap.resamples`; the same array for rows that are compared.
    """
    if isinstance(result, MapResult):
        found = {name: distribution(result.test, metric, weights) for name, metric in METRICS.items()}
        chance = distribution(result.chance, METRICS[LEADING["recall"]], weights)
        missed = sum(value == 0 for value in found["recall"].per_seed)
        notes = (
            (f"precision .15 is not reached by {missed} of {len(result.test)} trainings",) if missed else ()
        )
        return Figures(found, chance, notes)
    chosen = [best_f1(patients).threshold for patients in result.validation]
    found = candidate_distributions(result.test, chosen, weights)
    curves = [froc(patients) for patients in result.test]
    ends = [curve.false_positives[-1] for curve in curves if curve.clamped]
    notes = (
        (f"the curve ends at {min(ends):.1f} FP per patient, its last value stands in beyond",)
        if ends
        else ()
    )
    return Figures(found, chance_distribution(result.test, weights), notes)


def table_figures(table: Table, figures: Mapping[Row, Figures]) -> dict[str, Any]:
    """A table as JSON values.

    Returns:
        "lines": title, row, kind, control, the intervals of "figures" with every training's value, the
        "paper"'s own figures, "chance" with "above_chance", and "notes". "questions": words, row, minus and
        the intervals of the differences. Rows that were not run are left out.
    """
    lines = [
        {
            "title": line.title,
            "row": line.row.key,
            "kind": line.row.kind,
            "control": line.control,
            "units": line.row.units,
            "figures": {name: plain_interval(one) for name, one in figures[line.row].found.items()},
            "paper": dict(line.paper),
            "chance": plain_interval(figures[line.row].chance),
            "above_chance": figures[line.row].above_chance,
            "notes": list(figures[line.row].notes),
        }
        for line in table.lines
        if line.row in figures
    ]
    questions = []
    for question in table.questions:
        if question.row not in figures or question.minus not in figures:
            continue
        better, other = figures[question.row].found, figures[question.minus].found
        names = [name for name in FIGURES[question.row.kind] if name in better and name in other]
        questions.append(
            {
                "question": question.words,
                "row": question.row.key,
                "minus": question.minus.key,
                "kind": question.row.kind,
                "leading": LEADING[question.row.kind],
                "figures": {name: plain_interval(better[name] - other[name]) for name in names},
            }
        )
    return {"name": table.name, "title": table.title, "lines": lines, "questions": questions}


def all_figures(results: Mapping[Row, Result], patients: int | Sequence[Hashable]) -> dict[Row, Figures]:
    """Figures of all rows, from one set of resamples of the test patients (as of `resamples`)."""
    weights = resamples(patients)
    return {row: row_figures(result, weights) for row, result in results.items()}
