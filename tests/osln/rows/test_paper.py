"""The tables hold every row once, with the paper's figures, and ask questions of rows that they have."""

import pytest

from osln.rows.detectors import DETECTORS
from osln.rows.experiments import CLASSIFIERS, GATED, ROWS, SEGMENTERS
from osln.rows.lines import FIGURES, candidate_row, detector_row
from osln.rows.paper import ALL, COHORT_SIZES, TABLES, rows_of

# Copied from the paper, Table 1: recall at precision .15, mRecall.
TABLE_1A = {
    "3D U-Net, CT": (0.736, 0.762),
    "3D U-Net, EF": (0.732, 0.722),
    "SE-UNet, CT": (0.686, 0.693),
    "SE-UNet, EF": (0.705, 0.705),
    "HRNet, CT": (0.524, 0.538),
    "HRNet, EF": (0.656, 0.638),
    "PSNN, CT": (0.709, 0.714),
    "PSNN, EF": (0.574, 0.592),
}
TABLE_1B = {
    "LF, with stratification": (0.828, 0.817),
    "LF, without stratification": (0.786, 0.732),
    "EF, with stratification": (0.788, 0.760),
    "EF, without stratification": (0.732, 0.722),
    "CT, with stratification": (0.772, 0.772),
    "CT, without stratification": (0.736, 0.762),
}
# Table 2: best F1, mFROC.
TABLE_2 = {
    "CT#": (0.407, 0.431),
    "EF#": (0.370, 0.395),
    "LF#": (0.441, 0.478),
    "CT (random views)": (0.220, 0.067),
    "CT (tags)": (0.380, 0.408),
    "CT (CT)": (0.421, 0.449),
    "CT (CT + PET)": (0.450, 0.491),
    "CT (GLNet: CT + PET + tags)": (0.513, 0.563),
    "EF (random views)": (0.225, 0.092),
    "EF (tags)": (0.397, 0.444),
    "EF (CT)": (0.423, 0.473),
    "EF (CT + PET)": (0.469, 0.518),
    "EF (GLNet: CT + PET + tags)": (0.507, 0.572),
    "LF (random views)": (0.257, 0.143),
    "LF (tags)": (0.471, 0.531),
    "LF (CT)": (0.513, 0.576),
    "LF (CT + PET)": (0.526, 0.594),
    "LF (GLNet: CT + PET + tags)": (0.552, 0.645),
    "MULAN on CT": (0.335, 0.348),
    "MULAN on CT + PET": (0.436, 0.475),
}


def papers(table: str, *names: str) -> dict[str, tuple[float, ...]]:
    return {
        line.title: tuple(line.paper[name] for name in names) for line in TABLES[table].lines if line.paper
    }


def test_the_figures_of_the_paper_are_the_papers():
    assert papers("1a", "recall", "mean_recall") == TABLE_1A
    assert papers("1b", "recall", "mean_recall") == TABLE_1B
    assert papers("2", "f1", "mfroc") == TABLE_2
    assert papers("beyond") == {}


def test_no_network_classifier_or_row_is_left_out():
    rows = rows_of(ALL)
    # But one zone's network alone, and other ways of using the same maps, which train nothing.
    trained = {row for row in ROWS.values() if row.fusion == "max" and row.in_tumor}
    assert {row for row in trained if not row.of_one_zone} <= set(rows)
    assert {row.classifier for row in rows if row.classifier} == set(CLASSIFIERS)
    assert {row.detector for row in rows if row.detector} == set(DETECTORS)
    assert {name for row in rows for name in row.segmenters} == set(SEGMENTERS)


def test_the_rows_that_are_served_train_all_that_is_shipped_and_nothing_else():
    rows = rows_of(["served"])
    assert {row.name for row in rows if row.name} == {
        name for name, row in ROWS.items() if row.served and not row.of_one_zone
    }
    assert {name for row in rows for name in row.segmenters} == {
        "ct",
        "ef",
        "ct-proximal",
        "ef-proximal",
        "ct-distal",
        "ef-distal",
        *GATED,
    }
    controls = {line.row for line in TABLES["served"].lines if line.control}
    assert {row.units for row in rows} == {1, 2, 3, 4} and set(rows) - controls <= set(rows_of(ALL))


def test_a_row_has_one_name_and_is_run_once():
    rows = rows_of(TABLES)
    assert len({row.key for row in rows}) == len(rows) == len(set(rows))
    assert all(row in TABLES["1a"].rows and row in TABLES["1b"].rows for row in (ROWS["ct"], ROWS["ef"]))
    assert ROWS["ct"].changed(length=2).key == "ct-x2" and ROWS["ct"].changed(copies=2).key == "ct-of-2"
    joint = candidate_row("lf-stratified", "glnet").changed(joint=True)
    assert joint.key == "lf-stratified+glnet+score" and joint.setting == ROWS["lf-stratified"]


def test_a_row_is_what_it_does_whatever_it_is_called():
    osln, turned = ROWS["osln"], ROWS["osln-turned"]
    assert candidate_row("lf-stratified", "glnet") == osln != osln.changed(joint=True)
    assert (osln.name, osln.key, osln.stage_one) == ("osln", "lf-stratified+glnet", "lf-stratified")
    assert (turned.key, turned.setting.key) == ("lf-turned+glnet", "lf-turned")
    # Operating points and classifiers are those without turns.
    assert turned.stage_one == "lf-stratified" and turned.teacher == osln
    assert detector_row("mulan-ct").key == "mulan-ct"


def test_questions_are_asked_of_rows_of_one_kind_that_the_table_has():
    for table in TABLES.values():
        for question in table.questions:
            assert {question.row, question.minus} <= set(table.rows)
            assert question.row.kind == question.minus.kind and question.row != question.minus
        assert len({question.words for question in table.questions}) == len(table.questions)
        assert {row.kind for row in table.rows} <= set(FIGURES)


def test_stratified_rows_are_compared_with_rows_of_as_many_training_steps():
    by_words = {question.words: question for question in TABLES["1b"].questions}
    for stream in ("CT", "EF", "LF"):
        question = by_words[f"... at equal training steps ({stream})?"]
        assert question.row.units == question.minus.units
    question = by_words["Is late fusion more than two networks?"]
    assert question.row.units == question.minus.units == 2
    controls = {line.row for line in TABLES["1b"].lines if line.control}
    assert all(not line.paper for line in TABLES["1b"].lines if line.control) and len(controls) == 4


@pytest.mark.parametrize("preset", COHORT_SIZES)
def test_a_generated_cohort_has_patients_in_every_split(preset):
    sizes = COHORT_SIZES[preset]
    assert min(sizes.of(split) for split in ("train", "validation", "test", "stage two")) > 0


def test_differences_of_five_points_need_ninety_test_patients():
    assert COHORT_SIZES["demo"].test >= 90
