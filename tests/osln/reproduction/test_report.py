"""The report tells what was measured, marks what is no better than chance, keeps the paper's data apart."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from osln.reproduction.cells import candidate_cells, class_cells, figure_cell, line_cells, question_cells
from osln.reproduction.html import page
from osln.reproduction.report import Content, Picture, blocks, markdown, write_tables


def interval(value: float, low: float | None = None, high: float | None = None, seeds: tuple = ()) -> dict:
    return {
        "value": value,
        "low": value if low is None else low,
        "high": value if high is None else high,
        "per_seed": list(seeds or (value,)),
    }


def line(title: str, value: float, *, above: bool = True, paper: dict | None = None, **more: object) -> dict:
    figures = {"mean_recall": interval(value, value - 0.1, value + 0.1), "recall": interval(value)}
    common = {"kind": "recall", "control": False, "units": 2, "notes": [], "figures": figures}
    chance = {"chance": interval(0.05), "above_chance": above, "paper": paper or {}}
    return {"title": title, "row": title.lower(), **common, **chance, **more}


QUESTION = {
    "question": "Does EF <beat> CT?",
    "row": "ef",
    "minus": "ct",
    "kind": "recall",
    "leading": "mean_recall",
    "figures": {"mean_recall": interval(0.2, 0.1, 0.3), "recall": interval(0.1, -0.1, 0.3)},
}
TABLE = {
    "name": "1b",
    "title": "Streams",
    "lines": [
        line("CT", 0.4, paper={"recall": 0.736, "mean_recall": 0.762}),
        line("EF", 0.6, above=False, paper={"recall": 0.732, "mean_recall": 0.722}, notes=["ends early"]),
        line("CT long", 0.5, control=True),
    ],
    "questions": [QUESTION],
}
FIGURES = {
    "table": {"classes": {"distal avid": [3, 4]}, "false": {"proximal": 1.0, "distal": 2.5}},
    "ceiling": 0.9,
    "without_nodes": 1,
    "without_predictions": 4,
    "at_validation_threshold": {"recall": 0.5, "precision": 0.2},
}
TRAINING = {
    "train_cases": ["a", "b"],
    "iterations": 100,
    "losses": [[50, 1.5, 0.7], [100, 1.0, 0.5]],
    "seconds": 12.3,
}
CLASSIFIER = {
    "train_cases": ["a"], "candidates": 30, "nodes": 7, "epochs": 6, "losses": [0.9, 0.6], "seconds": 5.0
}  # fmt: skip


@pytest.fixture
def content():
    about = {
        "command": "./scripts/osln tables --table 1b",
        "commit": "abc1234",
        "versions": {"numpy": "1.0"},
        "cohort": "generated phantoms (4 train)",
        "warning": "Measured on generated phantoms: they are not comparable.",
        "preset": "demo",
        "recipe": "800 steps",
        "seeds": 2,
        "tagger": "no row reads tags",
        "hardware": "a computer, 2 cores, no GPU",
    }
    return Content(
        about,
        [TABLE],
        cohort={"train": {"patients": 4.0, "nodes": 17.0}, "test": {"patients": 3.0}},
        classes={"CT": [FIGURES, FIGURES]},
        candidates={"ct": {"test": {"nodes": 2.0, "candidates": 10.0, "false": 8.0, "ceiling": 0.5}}},
        trainings={"network ct seed 0": TRAINING, "ct+glnet seed 0": CLASSIFIER},
        left_out={"case-9": "no PET"},
        seconds={"network ct seed 0": 12.0, "network ef seed 0": 8.0, "counts of ct": 1.0},
    )


@pytest.fixture
def picture(tmp_path):
    figure = Figure(figsize=(1, 1))
    figure.savefig(tmp_path / "curve.png")
    return Picture(tmp_path / "curve.png", "A <curve>")


def test_lines_have_figures_chance_and_the_papers_own_data_in_columns_of_their_own():
    header, ct, ef, long = line_cells(TABLE, "recall")
    assert header == [
        "", "mRecall@.10-.20", "Recall@.15", "mRecall@.10-.20 by chance", "training steps",
        "mRecall@.10-.20 (the paper's own data)", "Recall@.15 (the paper's own data)",
    ]  # fmt: skip
    assert ct == ["CT", "0.400 [0.300, 0.500]", "0.400 [0.400, 0.400]", "0.050", "x 2", "0.762", "0.736"]
    assert ef[3] == "0.050: not shown better than chance"
    assert long[0] == "CT long (control)" and long[-2:] == ["-", "-"]
    assert line_cells(TABLE, "froc") == []


def test_questions_have_their_difference_and_whether_it_is_shown():
    _, row = question_cells(TABLE, "recall")
    assert row == [
        "Does EF <beat> CT?", "EF - CT", "+0.200 [+0.100, +0.300]", "+0.100 [-0.100, +0.300]", "yes, above"
    ]  # fmt: skip


def test_the_values_of_several_trainings_are_shown_where_they_differ():
    assert figure_cell(interval(0.3, seeds=(0.2, 0.4))).endswith("/ 0.200 0.400")
    assert "/" not in figure_cell(interval(0.3, seeds=(0.3, 0.3)))


def test_classes_and_candidates_are_means_of_what_was_counted():
    header, row = class_cells({"CT": [FIGURES, FIGURES]})
    assert header[1] == "distal avid" and row == [
        "CT",
        "0.75",
        "1.0",
        "2.5",
        "0.90",
        "0.500 / 0.200",
        "1 / 4",
    ]
    silent = FIGURES | {"at_validation_threshold": {"recall": 0.0, "precision": None}}
    assert class_cells({"CT": [silent]})[1][-2] == "0.000 / no prediction"
    nodes = {"nodes": 2, "candidates": 10, "false": 8, "ceiling": 0.5}
    assert candidate_cells({"lf": {"test": nodes}})[1] == ["lf, test", "2.0", "10.0", "8.0", "0.500"]


def test_the_report_tells_everything(content, picture):
    text = markdown(blocks(content, [("1b", picture)]), picture.path.parent)
    for words in (
        "# Results on generated phantoms (4 train)",
        "they are not comparable",
        "command: ./scripts/osln tables --table 1b",
        "commit abc1234; numpy 1.0",
        "2 trainings of each row",
        "Not shown better than chance, to be looked into: EF (Table 1b).",
        "## Table 1b: Streams",
        "EF: ends early",
        "left out case-9: no PET",
        "| network ct seed 0 | 2 patients | 100 | 1.500 | 1.000 | 12 |",
        "| ct+glnet seed 0 | 1 patients, 30 candidates (7 nodes) | 6 | 0.900 | 0.600 | 5 |",
        "| network | 2 | 20 |",
        "| all | 3 | 21 |",
        "![A <curve>](curve.png)",
    ):
        assert words in text


def test_the_page_needs_nothing_but_the_file(content, picture):
    text = page(blocks(content, [("1b", picture)]))
    assert (
        "http:" not in text
        and "https:" not in text
        and "//" not in text.replace("base64,", "").split("<img")[0]
    )
    assert 'src="data:image/png;base64,iVBOR' in text and text.count("<img") == 1
    assert "Does EF &lt;beat&gt; CT?" in text and "A &lt;curve&gt;" in text
    assert '<td class="marked">0.050: not shown better than chance</td>' in text
    assert '<a href="#table-1b--streams">' in text and 'id="table-1b--streams"' in text
    assert text.count("<table>") == text.count("</table>") == 7


def test_each_table_is_written_as_markdown_and_json(content, tmp_path):
    write_tables(content, tmp_path / "out")
    text = (tmp_path / "out" / "table-1b.md").read_text()
    assert (
        text.startswith("# Table 1b: Streams")
        and "not comparable" in text
        and "| CT long (control) |" in text
    )
    found = json.loads((tmp_path / "out" / "table-1b.json").read_text())
    assert found["lines"][0]["paper"]["recall"] == 0.736 and found["about"]["commit"] == "abc1234"
    assert sorted(path.name for path in Path(tmp_path / "out").iterdir()) == ["table-1b.json", "table-1b.md"]
