"""Figures of rows from made-up counts and scores, by hand."""

import numpy as np
import pytest

from osln.metrics.bootstrap import resamples
from osln.metrics.definitions import Counts
from osln.metrics.matching import Scored
from osln.reproduction.figures import CandidateResult, MapResult, all_figures, row_figures, table_figures
from osln.rows.experiments import ROWS
from osln.rows.lines import Line, Question, Table, candidate_row
from osln.rows.paper import TABLES

PATIENTS = 4
WEIGHTS = resamples(PATIENTS)
GLNET, STAGE_ONE = candidate_row("lf-stratified", "glnet"), candidate_row("lf-stratified", None)


def patient(hit: float, false: int = 8) -> Scored:
    """One found node of two under a score, and false candidates under .5."""
    return Scored(np.array([hit] + [0.5] * false), np.array([True] + [False] * false), 2)


def scored(good: int, false: int = 8) -> list[Scored]:
    """In so many patients the node is above the false candidates, in the others below."""
    return [patient(0.9 if index < good else 0.1, false) for index in range(PATIENTS)]


def candidates(
    good: int, *, seeds: int = 1, false: int = 8, validation: int | None = None
) -> CandidateResult:
    chosen = good if validation is None else validation
    return CandidateResult([scored(good, false)] * seeds, [scored(chosen, false)] * seeds)


def counts(found: int, false: int = 1) -> Counts:
    """Patients of two nodes, so many of them found, with false predictions, at one threshold."""
    hits = np.full((PATIENTS, 1), found)
    return Counts(hits, np.full_like(hits, false), hits, np.full(PATIENTS, 2), np.array([0.5]))


def test_figures_of_candidates_are_known_by_hand():
    best = row_figures(candidates(4), WEIGHTS)
    # Four of eight nodes at 0 false positives, which is all.
    assert best.found["mfroc"].value == best.found["2"].value == pytest.approx(0.5)
    assert best.found["f1"].value == best.found["f1_chosen"].value == pytest.approx(8 / 12)
    half = row_figures(candidates(2), WEIGHTS)
    assert half.found["mfroc"].value == pytest.approx(0.25) and half.found["f1"].value == pytest.approx(
        4 / 10
    )
    # By chance: a line to 8 FP per patient at .5.
    assert best.chance.value == half.chance.value == pytest.approx(0.5 * np.mean([2, 3, 4, 6]) / 8)
    assert best.above_chance and not row_figures(candidates(0), WEIGHTS).above_chance
    assert best.leading is best.found["mfroc"] and best.notes == ()


def test_the_threshold_of_f1_comes_from_validation_patients():
    found = row_figures(candidates(4, validation=0), WEIGHTS).found
    # There the best score is .1, which keeps every test candidate.
    assert found["f1_chosen"].value == pytest.approx(8 / (4 + 32 + 8))


def test_a_curve_that_ends_early_is_noted():
    assert row_figures(candidates(4, false=5), WEIGHTS).notes == (
        "the curve ends at 5.0 FP per patient, its last value stands in beyond",
    )


def test_figures_of_maps_are_known_by_hand_and_their_chance_is_that_of_the_displaced_maps():
    found = row_figures(MapResult([counts(1), counts(2)], [counts(0)] * 2), WEIGHTS)
    assert found.found["recall"].value == pytest.approx(0.75) and found.found["recall"].per_seed.tolist() == [
        0.5,
        1,
    ]
    assert found.chance.value == 0.0 and found.above_chance and found.leading is found.found["mean_recall"]
    # One of ten predictions is true: no precision from .10 on but .10 itself.
    poor = row_figures(MapResult([counts(1, false=9)], [counts(1, false=9)]), WEIGHTS)
    assert poor.found["recall"].value == 0 and poor.found["mean_recall"].value == pytest.approx(0.5 / 11)
    assert not poor.above_chance and poor.notes == ("precision .15 is not reached by 1 of 1 trainings",)


def test_a_table_has_lines_with_the_papers_figures_and_paired_answers():
    results = {GLNET: candidates(4, seeds=2), STAGE_ONE: candidates(0, seeds=2)}
    found = table_figures(TABLES["2"], all_figures(results, PATIENTS))
    lines = {line["row"]: line for line in found["lines"]}
    assert set(lines) == {GLNET.key, STAGE_ONE.key}
    assert lines[GLNET.key]["paper"] == {"f1": 0.552, "mfroc": 0.645}
    assert lines[GLNET.key]["figures"]["mfroc"]["per_seed"] == [0.5, 0.5]
    assert lines[GLNET.key]["above_chance"] and not lines[STAGE_ONE.key]["above_chance"]
    (question,) = found["questions"]
    assert (
        question["question"] == "Does GLNet beat the stage-one score (LF)?" and question["leading"] == "mfroc"
    )
    # Every patient gains its node, so no resample says otherwise.
    gain = question["figures"]["mfroc"]
    assert (gain["low"], gain["value"], gain["high"]) == pytest.approx((0.5, 0.5, 0.5))


def test_a_question_between_rows_of_which_one_was_not_run_is_left_out():
    table = Table("x", "", (Line("CT", ROWS["ct"]),), (Question("?", ROWS["ct"], ROWS["ef"]),))
    found = table_figures(table, all_figures({ROWS["ct"]: MapResult([counts(1)], [counts(0)])}, PATIENTS))
    assert found["questions"] == [] and [line["units"] for line in found["lines"]] == [1]
