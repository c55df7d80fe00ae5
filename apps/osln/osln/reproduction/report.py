"""A report as blocks (headings, sentences, tables, pictures), and its writing as Markdown and JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from osln.files.arrays import write_json
from osln.files.images import write_atomically
from osln.metrics.bootstrap import DRAWS
from osln.metrics.intervals import table as markdown_table
from osln.reproduction import cells
from osln.reproduction.cells import Cells

PAIRED = (
    "Same test patients and same resamples on both sides. An interval that holds 0 shows no effect of the "
    "size that this run can see, which is about half the interval's width."
)
CHANCE = {
    "recall": "By chance: the row's own maps, each moved by half its size along every axis.",
    "froc": "By chance: the row's own candidates under scores drawn at random, in expectation.",
}
MEASURE = {
    "recall": (
        "Macro recall at macro precision .15, and its mean over precisions .10 to .20 (mRecall), of the "
        "swept map on the test patients."
    ),
    "froc": (
        "Sensitivity, pooled over all nodes, at 2, 3, 4 and 6 false positives per patient and its mean "
        "(mFROC); F1 at its best threshold and at the one that validation patients chose; on the test "
        "patients."
    ),
}


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    words: str
    level: int = 2


@dataclass(frozen=True)
class Words:
    """A paragraph, or a list if there are several items."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """A table."""

    cells: Cells


@dataclass(frozen=True)
class Picture:
    """A PNG beside the report."""

    path: Path
    caption: str


Block = Heading | Words | Sheet | Picture


@dataclass(frozen=True)
class Content:
    """Everything that a report tells, as JSON values.

    Attributes:
        about: Of `intervals.setting`, with cohort, hardware and recipe; `former_code` names trainings that
            other code has made.
        tables: From `figures.table_figures`, in order.
        cohort: Figures of the patients by split.
        classes: For `cells.class_cells`.
        candidates: For `cells.candidate_cells`.
        trainings: Records of the trainings by name.
        left_out: Reasons for cases that could not be used.
        missing: What stopped the rows that did not run, by their titles.
        seconds: Time of each job by name.
    """

    about: Mapping[str, Any]
    tables: Sequence[Mapping[str, Any]]
    cohort: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    classes: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    candidates: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    trainings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


def blocks(content: Content, pictures: Sequence[tuple[str, Picture]] = ()) -> Iterable[Block]:
    """The report; pictures are given with the name of the table or section that they belong to."""
    yield Heading(f"Results on {content.about['cohort']}", 1)
    yield Words((content.about["warning"],))
    yield Words(tuple(_about_lines(content.about)))
    marked = cells.marked_lines(content.tables)
    if marked:
        yield Words((f"Not shown better than chance, to be looked into: {'; '.join(marked)}.",))
    if content.missing:
        rows = "; ".join(f"{title} ({reason})" for title, reason in content.missing.items())
        yield Words((f"Rows that did not run: {rows}.",))
    for table in content.tables:
        yield from table_blocks(table)
        yield from (picture for section, picture in pictures if section == table["name"])
    yield Heading("Patients")
    yield Sheet(cells.cohort_cells(content.cohort))
    if content.left_out:
        yield Words(tuple(f"left out {case}: {reason}" for case, reason in content.left_out.items()))
    yield from (picture for section, picture in pictures if section == "patients")
    if content.classes:
        yield Heading("Where nodes are lost and false positives lie")
        yield Words(
            (
                "At each row's own threshold for precision .15 on the test patients: share of nodes found "
                "by zone and uptake (avid from SUVmax 2.5) and by diameter of the sphere of the same volume, "
                "false positives per patient by zone, largest macro recall at any threshold (ceiling), and "
                "what the threshold chosen on the validation patients gives.",
            )
        )
        yield Sheet(cells.class_cells(content.classes))
    if content.candidates:
        yield Heading("Candidates that stage one leaves to stage two")
        yield Sheet(cells.candidate_cells(content.candidates))
    yield from _run_blocks(content)


def table_blocks(table: Mapping[str, Any], level: int = 2) -> Iterable[Block]:
    """One table with its questions."""
    numbered = table["name"][0].isdigit()
    yield Heading(f"Table {table['name']}: {table['title']}" if numbered else table["title"], level)
    for kind in ("recall", "froc"):
        lines = cells.line_cells(table, kind)
        if not lines:
            continue
        yield Words(
            (f"{MEASURE[kind]} In brackets the 95 % interval of {DRAWS} resamples of them. {CHANCE[kind]}",)
        )
        yield Sheet(lines)
        noted = [
            f"{line['title']}: {note}"
            for line in table["lines"]
            if line["kind"] == kind
            for note in line["notes"]
        ]
        if noted:
            yield Words(tuple(noted))
        questions = cells.question_cells(table, kind)
        if questions:
            yield Words((PAIRED,))
            yield Sheet(questions)


def _about_lines(about: Mapping[str, Any]) -> Iterable[str]:
    yield f"command: {about['command']}"
    versions = ", ".join(f"{name} {value}" for name, value in about["versions"].items())
    yield f"commit {about['commit']}; {versions}"
    yield f"preset {about['preset']}: {about['recipe']}"
    seeds = about["seeds"]
    shown = (
        f"{seeds} trainings of each row: their mean, single ones behind the slash"
        if seeds > 1
        else "one training of each row"
    )
    yield shown
    yield about["tagger"]
    yield about["hardware"]
    if "former_code" in about:
        yield about["former_code"]


def _run_blocks(content: Content) -> Iterable[Block]:
    if content.trainings:
        yield Heading("Trainings")
        yield Sheet(cells.training_cells(content.trainings))
    if content.seconds:
        yield Heading("Time")
        kinds: dict[str, list[float]] = {}
        for name, seconds in content.seconds.items():
            kinds.setdefault(name.split(" ")[0], []).append(seconds)
        rows = [["jobs", "number", "seconds of a worker"]]
        rows += [[kind, str(len(by)), f"{sum(by):.0f}"] for kind, by in kinds.items()]
        rows.append(["all", str(len(content.seconds)), f"{sum(content.seconds.values()):.0f}"])
        yield Sheet(rows)


def markdown(parts: Iterable[Block], folder: Path) -> str:
    """Blocks as Markdown; pictures are linked relative to the folder of the file."""
    text = []
    for part in parts:
        if isinstance(part, Heading):
            text.append(f"{'#' * part.level} {part.words}")
        elif isinstance(part, Words):
            text.append(
                "\n".join(f"- {item}" for item in part.items) if len(part.items) > 1 else part.items[0]
            )
        elif isinstance(part, Sheet):
            text.append(markdown_table(part.cells))
        else:
            text.append(f"![{part.caption}]({part.path.relative_to(folder)})\n\n*{part.caption}*")
    return "\n\n".join(text) + "\n"


def write_tables(content: Content, folder: Path) -> None:
    """Each table as table-NAME.md and table-NAME.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in content.tables:
        path = folder / f"table-{table['name']}.md"
        head = [Words((content.about["warning"],)), Words(tuple(_about_lines(content.about)))]
        heading, *rest = table_blocks(table, level=1)
        write_atomically(path, markdown([heading, *head, *rest], folder).encode())
        write_json(path.with_suffix(".json"), {"about": content.about, **table})
