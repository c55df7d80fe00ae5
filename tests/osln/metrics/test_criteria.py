import pytest

from osln.metrics.criteria import AVERAGINGS, CRITERIA, PAPER, PAPER_AVERAGING, Averaging, Criterion


def test_the_default_is_the_papers_criterion():
    assert (PAPER.overlap, PAPER.radius, PAPER.one_node, PAPER.extras) == (
        "voxel",
        "sphere",
        False,
        "ignored",
    )
    assert (PAPER_AVERAGING.sensitivity, PAPER_AVERAGING.precision) == ("pooled", "predicting")
    assert next(iter(CRITERIA)) == next(iter(AVERAGINGS)) == "paper"


def test_every_row_differs_from_the_others_in_what_it_asks():
    asked = {(row.overlap, row.least_iou, row.radius, row.one_node, row.extras) for row in CRITERIA.values()}
    assert len(asked) == len(CRITERIA)


def test_words_that_are_not_known_are_refused():
    for wrong in ({"overlap": "dice"}, {"radius": "mean"}, {"extras": "true"}):
        with pytest.raises(ValueError, match="is one of"):
            Criterion("mine", "mine", **wrong)
    with pytest.raises(ValueError, match="is one of"):
        Averaging("mine", "mine", sensitivity="median")


def test_an_iou_without_its_limit_and_a_limit_without_iou_are_refused():
    with pytest.raises(ValueError, match="least_iou"):
        Criterion("mine", "mine", overlap="iou")
    with pytest.raises(ValueError, match="least_iou"):
        Criterion("mine", "mine", least_iou=0.2)
