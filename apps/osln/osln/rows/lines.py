"""What a line of the tables of results is: a row that is run, its caption, the paper's figures, a question.

Only the standard library is imported, as in `experiments`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from osln.rows.experiments import ROWS, Experiment

STAGE_ONE_ROWS = {name: row for name, row in ROWS.items() if not row.classifier}
"""Rows that end with the fused map."""


@dataclass(frozen=True)
class Row:
    """What is run and measured.

    Attributes:
        stage_one: Row of `STAGE_ONE_ROWS` that gives the map; "" for an end-to-end detector.
        classifier: Row of `CLASSIFIERS` that scores the candidates again.
        detector: Row of `DETECTORS`.
        ranked: Candidates under their stage-one score are measured ("#" in the paper), not the map.
        length: Training steps of each network in units of the preset's.
        copies: Trainings of each network that are fused by their maximum.
        joint: Candidates are ranked by the sum of the log odds of both stages.
    """

    stage_one: str = ""
    classifier: str | None = None
    detector: str | None = None
    ranked: bool = False
    length: int = 1
    copies: int = 1
    joint: bool = False

    @property
    def name(self) -> str:
        """Unique, also as a file name."""
        if self.detector:
            return self.detector
        setting = self.stage_one + (f"-x{self.length}" if self.length > 1 else "")
        setting += f"-of-{self.copies}" if self.copies > 1 else ""
        if self.classifier:
            return f"{setting}+{self.classifier}" + ("+score" if self.joint else "")
        return f"{setting}#" if self.ranked else setting

    @property
    def kind(self) -> str:
        """Which figures it has: "recall" (of a map) or "froc" (of scored candidates)."""
        return "froc" if self.classifier or self.detector or self.ranked else "recall"

    @property
    def setting(self) -> "Row":
        """The row that ends with the map of this one."""
        return replace(self, classifier=None, ranked=False, joint=False)

    @property
    def teacher(self) -> "Row":
        """The row whose candidates its classifier learns from: the same without turned views."""
        return replace(self, stage_one=STAGE_ONE_ROWS[self.stage_one].stage_one, joint=False)

    @property
    def turns(self) -> int:
        """Turned views of a patient whose answers are averaged."""
        return STAGE_ONE_ROWS[self.stage_one].turns if self.stage_one else 1

    @property
    def units(self) -> int:
        """Training steps of all its networks of stage one together, in units of the preset's."""
        networks = STAGE_ONE_ROWS[self.stage_one].segmenters if self.stage_one else ()
        return len(networks) * self.length * self.copies


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
    """The candidates of a setting under a classifier, or ("#") under their stage-one score."""
    return Row(setting, classifier, ranked=classifier is None)


def row_of(experiment: Experiment) -> Row:
    """The row of the tables that an experiment is."""
    if experiment.classifier is None:
        return Row(experiment.name)
    alike = (experiment.segmenters, experiment.turns)
    setting = next(name for name, row in STAGE_ONE_ROWS.items() if (row.segmenters, row.turns) == alike)
    return Row(setting, experiment.classifier)
