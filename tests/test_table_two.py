"""The rows of Table 2 and the order in which they are trained."""

from osln.experiments import EXPERIMENTS, SERVED_CLASSIFIERS
from osln.table_two import CLASSIFIER_ORDER, DIFFERENCES, ROWS, Row, trained_rows
from osln.table_two_sets import STAGE_ONE_ROWS


def test_each_setting_of_stage_one_has_every_classifier_and_the_score_of_stage_one():
    assert set(CLASSIFIER_ORDER) == {None, *SERVED_CLASSIFIERS}
    assert len(ROWS) == 18 and all(row.name == name for name, row in ROWS.items())
    assert {(row.stage_one, row.classifier) for row in ROWS.values()} == {
        (setting, classifier) for setting in STAGE_ONE_ROWS for classifier in CLASSIFIER_ORDER
    }
    assert all(EXPERIMENTS[setting].classifier is None for setting in STAGE_ONE_ROWS)


def test_titles_are_those_of_the_paper():
    assert Row("lf-stratified", None).title == "LF#"
    assert Row("ct-stratified", "glnet").title == "CT (GLNet: CT + PET + tags)"
    assert {row.classifier for row in ROWS.values() if row.reads_tags} == {"glnet", "tag"}


def test_one_row_a_setting_adds_what_stage_one_knows():
    joint = [row for row in ROWS.values() if row.joint]
    assert [row.stage_one for row in joint] == list(STAGE_ONE_ROWS)
    assert joint[-1].title == "LF (GLNet: CT + PET + tags and stage-one score)"
    assert joint[-1].name == "lf-stratified+glnet+score"


def test_every_difference_is_between_rows_of_the_table():
    for row, minus, question in DIFFERENCES:
        assert row in ROWS and minus in ROWS and row != minus and question.endswith("?")
    assert len({(row, minus) for row, minus, _ in DIFFERENCES}) == len(DIFFERENCES)


def test_late_fusion_is_trained_first_and_each_row_once_for_each_seed():
    rows = trained_rows(2)
    assert len(rows) == 24 == len({(row.name, seed) for row, seed in rows})
    assert [seed for _, seed in rows] == [0] * 12 + [1] * 12
    assert {row.stage_one for row, _ in rows[:4]} == {"lf-stratified"}
    assert None not in {row.classifier for row, _ in rows}
