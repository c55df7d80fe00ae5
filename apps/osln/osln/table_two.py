"""Table 2 of the paper as rows of data: each setting of stage one with each classifier of stage two."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from osln.experiments import CLASSIFIERS
from osln.table_two_sets import STAGE_ONE_ROWS


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        stage_one: Row of `EXPERIMENTS` that gives the candidates.
        classifier: Row of `CLASSIFIERS`, or None for the stage-one score itself ("#" in the paper).
        joint: Candidates are ranked by the sum of the logits of both stages. Not in the paper: it tells what
            a classifier misses that stage one knows, the distance to the tumor above all.
    """

    stage_one: str
    classifier: str | None
    joint: bool = False

    @property
    def name(self) -> str:
        return f"{self.stage_one}+{self.classifier or 'nothing'}" + ("+score" if self.joint else "")

    @property
    def reads_tags(self) -> bool:
        return self.classifier is not None and CLASSIFIERS[self.classifier].tags

    @property
    def title(self) -> str:
        setting = self.stage_one.split("-")[0].upper()
        if not self.classifier:
            return f"{setting}#"
        return (
            f"{setting} ({CLASSIFIERS[self.classifier].title}{' and stage-one score' if self.joint else ''})"
        )


# As in the paper: weaker classifiers first.
CLASSIFIER_ORDER = (None, "tag", "local-ct", "local-ct-pet", "glnet")

ROWS = {
    row.name: row
    for setting in STAGE_ONE_ROWS
    for row in (*(Row(setting, name) for name in CLASSIFIER_ORDER), Row(setting, "glnet", joint=True))
}

_QUESTIONS = (
    ("glnet", None, "Does GLNet beat the stage-one score?"),
    ("local-ct", None, "Does a CT patch beat it?"),
    ("local-ct-pet", "local-ct", "Does PET help the local module?"),
    ("glnet", "local-ct-pet", "Do tags help the local module?"),
    ("local-ct", "tag", "Is a patch more than tags?"),
)

DIFFERENCES: tuple[tuple[str, str, str], ...] = (
    tuple(
        (Row(setting, better).name, Row(setting, other).name, question)
        for setting in STAGE_ONE_ROWS
        for better, other, question in _QUESTIONS
    )
    + tuple(
        (
            Row("lf-stratified", "glnet").name,
            Row(other, "glnet").name,
            "Do candidates of late fusion help GLNet?",
        )
        for other in ("ct-stratified", "ef-stratified")
    )
    + tuple(
        (Row(setting, "glnet", joint=True).name, Row(setting, "glnet").name, "Does stage one know more?")
        for setting in STAGE_ONE_ROWS
    )
)
"""Paired comparisons: row, minus row, and the question that the difference answers."""


def trained_rows(seeds: int) -> list[tuple[Row, int]]:
    """Every training in order of need: seed after seed, late fusion first, cheap ones first."""
    settings: Sequence[str] = ("lf-stratified", "ct-stratified", "ef-stratified")
    names: Iterable[str] = ("local-ct-pet", "local-ct", "tag", "glnet")
    pairs = [Row(setting, name) for setting in settings for name in names]
    return [(row, seed) for seed in range(seeds) for row in pairs]
