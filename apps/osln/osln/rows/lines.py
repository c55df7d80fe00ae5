"""What a line of the tables of results is: a row, its caption, the paper's figures, a question.

Only the standard library is imported, as in `experiments`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from osln.rows.experiments import ROWS, Row


@dataclass(frozen=True)
class Line:
    """A row as a table shows it.

    Attributes:
        title: Caption.
        row: What is measured.
        paper: The paper's figures on its own patients, by the names of `FIGURES`.
        control: It answers a question about another line and is not in the paper's table.
    """

    title: str
    row: Row
    paper: Mapping[str, float] = field(default_factory=dict)
    control: bool = False


@dataclass(frozen=True)
class Question:
    """A paired comparison: `row` minus `minus`."""

    words: str
    row: Row
    minus: Row


@dataclass(frozen=True)
class Table:
    """A table of the report."""

    name: str
    title: str
    lines: tuple[Line, ...]
    questions: tuple[Question, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(dict.fromkeys(line.row for line in self.lines))


FIGURES = {
    "recall": {"mean_recall": "mRecall@.10-.20", "recall": "Recall@.15"},
    "froc": {
        "mfroc": "mFROC",
        "f1": "best F1",
        "f1_chosen": "F1 at validation's threshold",
        "2": "@2",
        "3": "@3",
        "4": "@4",
        "6": "@6",
    },
}
"""Figures of both kinds of rows with their headings, the steadiest one first: it answers the questions."""


def candidate_row(setting: str, classifier: str | None) -> Row:
    """The candidates of a row of `ROWS` under a classifier, or ("#") under their stage-one score."""
    return ROWS[setting].changed(classifier=classifier, ranked=classifier is None)


def detector_row(name: str) -> Row:
    """What an end-to-end detector finds."""
    return Row("", "", detector=name, served=False)
