"""Thresholds that follow a new network, on counts and scores made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from osln.metrics.sweep import THRESHOLDS
from osln.retraining import matched_points
from osln.retraining.matched_points import (
    candidate_counts,
    in_order,
    match_operating_points,
    matched,
    matched_score,
    unlabeled_cases,
    unlabeled_columns,
)
from osln.rows.experiments import PRESETS, ROWS
from osln.store.removals import begin_removal, end_removal
from osln.store.splits import assign
from osln.weights.model_store import ModelStore
from small.columns import small_column, tiny_preset
from small.store import untrained
from small.studies import add_case, of_patient


def test_the_threshold_moves_to_where_as_many_are_found():
    before, after = np.zeros((2, len(THRESHOLDS)))
    before[:40], before[:20] = 2, 5
    after[:70], after[:30] = 2, 6
    assert matched(before, after, float(THRESHOLDS[39])) == THRESHOLDS[39]
    after[25:70], after[70:] = 6, 2
    assert matched(before, after, float(THRESHOLDS[30])) == THRESHOLDS[70]


def test_low_thresholds_where_candidates_have_grown_together_are_not_taken():
    before, after = np.zeros((2, len(THRESHOLDS)))
    before[:50] = 2
    after[:5], after[5:20], after[20:60] = 2, 9, 2
    assert matched(before, after, float(THRESHOLDS[10])) == THRESHOLDS[20]


def test_where_the_new_network_finds_less_than_is_wanted_its_most_are_taken():
    before, after = np.zeros((2, len(THRESHOLDS)))
    before[:50], after[10:30] = 8, 3
    assert matched(before, after, float(THRESHOLDS[40])) == THRESHOLDS[29]


@pytest.mark.parametrize("at", [3, 10, 25, 40, 60, 84])
def test_a_network_that_finds_the_same_keeps_its_threshold_to_the_last_digit(at):
    counts = np.zeros(len(THRESHOLDS))
    counts[:5], counts[5:20], counts[20:60] = 2, 9, 3
    threshold = float(THRESHOLDS[at]) * 0.999
    assert matched(counts, counts.copy(), threshold) == threshold


def test_where_nothing_was_counted_at_a_threshold_it_stays():
    before, after = np.zeros((2, len(THRESHOLDS)))
    before[:30], after[:70] = 5, 4
    assert matched(before, after, float(THRESHOLDS[40])) == THRESHOLDS[40]
    assert matched(before, np.zeros(len(THRESHOLDS)), float(THRESHOLDS[20])) == THRESHOLDS[20]


def test_points_stay_in_their_order_where_one_stays():
    moves = {0.4: 0.8, 0.7: 0.7, 0.9: 0.95}
    points = {"0.15": 0.4, "0.10": 0.3, "0.20": 0.7, "0.30": 0.9}
    expected = {"0.10": 0.3, "0.15": 0.8, "0.20": 0.8, "0.30": 0.95}
    assert in_order(points, lambda at: moves.get(at, at)) == expected


@pytest.mark.parametrize(
    ("before", "after", "score", "expected"),
    [
        ([0.9, 0.8, 0.1], [0.5, 0.3, 0.2], 0.7, 0.3),
        ([0.9, 0.8, 0.1], [0.5, 0.3, 0.2], 0.0, 0.0),
        ([0.95, 0.9, 0.3, 0.1], [0.95, 0.9, 0.3, 0.1], 0.35, 0.35),
        ([0.9, 0.8, 0.1], [0.97, 0.95, 0.93], 0.7, 0.93),
        # Equal ones stay together: three are kept and not one.
        ([0.9, 0.2, 0.1], [0.4, 0.4, 0.4], 0.7, 0.4),
    ],
)
def test_as_many_candidates_are_kept_as_before(before, after, score, expected):
    assert matched_score(np.array(before), np.array(after), score) == pytest.approx(expected)


def test_where_none_was_kept_the_score_stays():
    assert matched_score(np.array([0.2, 0.1]), np.array([0.95, 0.3]), 0.9) == 0.9


def test_the_next_score_above_the_one_that_was_let_in_leaves_it_out():
    after = np.array([0.99, 0.98, 0.97], dtype=np.float32)
    moved = matched_score(np.array([0.9, 0.8, 0.1]), after, 0.7)
    assert (after >= moved).tolist() == [True, True, False] and moved == pytest.approx(0.97)


def test_only_cases_without_a_label_are_looked_at(tmp_path):
    for case in "dx":
        add_case(tmp_path, case, approved=case == "d")
    add_case(tmp_path, "y", approved=False, pet=False)
    assert sorted(unlabeled_cases(tmp_path)) == ["x", "y"]
    preset = tiny_preset()
    assert sorted(one.case for one in unlabeled_columns(tmp_path, "ct", preset)) == ["x", "y"]
    assert [one.case for one in unlabeled_columns(tmp_path, "ef", preset)] == ["x"]


def test_cases_of_patients_who_have_been_learned_from_are_not_looked_at(tmp_path):
    for case in "defxyz":
        add_case(tmp_path, case, approved=case == "d")
    of_patient(tmp_path, "P1", "d", "z")
    # The label of e was taken away, f itself is gone: networks may have learned from both.
    assign(tmp_path, "def")
    (tmp_path / "y.nii.gz").write_bytes((tmp_path / "f.nii.gz").read_bytes())
    end_removal(tmp_path, "f", begin_removal(tmp_path, "f", tmp_path / "f.nii.gz"))
    assert unlabeled_cases(tmp_path) == ["x"]


def test_cases_without_an_image_that_is_needed_do_not_use_up_the_number_of_those_looked_at(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(matched_points, "MOST_CASES", 2)
    for case in "wxyz":
        add_case(tmp_path, case, approved=False)
    first, second, third, fourth = unlabeled_cases(tmp_path)
    for case in (first, third):
        (tmp_path / "pet" / f"{case}.nii.gz").unlink()
    preset = tiny_preset()
    assert [one.case for one in unlabeled_columns(tmp_path, "ef", preset)] == [second, fourth]
    assert [one.case for one in unlabeled_columns(tmp_path, "ct", preset)] == [first, second]


class Shifted:
    """Probabilities that fall with the distance from the brightest voxels; an older version is surer."""

    def __init__(self, checkpoint, device="cpu", number_format=None):
        self.factor = 0.5 if checkpoint.metadata.get("new") else 1.0

    def probability(self, column):
        return (self.factor * (column.ct_hu > 30)).astype(np.float32)


def test_the_points_of_the_rows_follow_a_new_version(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "demo", tiny_preset())
    monkeypatch.setattr(matched_points, "Predictor", Shifted)
    models = ModelStore(tmp_path / "models")
    former = untrained("ct")
    models.publish("ct", models.add(replace(former, metadata={**former.metadata, "new": True})).name)
    models.set_thresholds("ct", {"0.15": 0.9})
    columns = [small_column(seed) for seed in range(3)]
    assert candidate_counts(ROWS["ct"], {"ct": Shifted(former)}, columns)[-5] == 12
    told, moved = match_operating_points(models, "ct", former, columns, ["ct", "lf"])
    assert moved == {"ct"}
    assert "operating points of ct were moved" in told and "3 unlabeled cases" in told
    # At .9 the former version has the four balls of each patient; the new one never reaches .9.
    assert 0.4 < models.thresholds("ct")["0.15"] <= 0.5
    assert " are kept" not in told
    assert match_operating_points(models, "ct", former, [], ["ct"]) == ("", set())


def test_points_that_are_moved_again_are_those_of_what_is_in_use(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "demo", tiny_preset())
    monkeypatch.setattr(matched_points, "Predictor", Shifted)
    models = ModelStore(tmp_path / "models")
    former = untrained("ct")
    models.publish("ct", models.add(former).name)
    models.set_thresholds("ct", {"0.15": 0.9})
    trying = models.trying(models.add(replace(former, metadata={**former.metadata, "new": True})))
    moved = []
    for _ in range(2):
        match_operating_points(trying, "ct", former, [small_column(1)], ["ct"])
        moved.append(trying.thresholds("ct")["0.15"])
    assert moved[0] == moved[1] < 0.9 == models.thresholds("ct")["0.15"]


def test_points_at_which_nothing_is_found_are_kept_and_told(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "demo", tiny_preset())
    monkeypatch.setattr(matched_points, "Predictor", Shifted)
    models = ModelStore(tmp_path / "models")
    former = untrained("ct")
    former = replace(former, metadata={**former.metadata, "new": True})
    models.publish("ct", models.add(former).name)
    # The balls have .5 with both versions.
    models.set_thresholds("ct", {"0.15": 0.9})
    trying = models.trying(models.add(former))
    told, moved = match_operating_points(trying, "ct", former, [small_column(1)], ["ct"])
    assert moved == set() and trying.thresholds("ct") == {"0.15": 0.9}
    assert told == (
        "operating points of ct at 0.15 are kept: nothing is found there in the 1 unlabeled cases that were "
        "looked at"
    )
    models.set_thresholds("ct", {"0.10": 0.4, "0.15": 0.9})
    told, moved = match_operating_points(trying, "ct", former, [small_column(1)], ["ct"])
    assert moved == {"ct"} and trying.thresholds("ct") == {"0.10": 0.4, "0.15": 0.9}
    assert "of ct were moved" in told and "; operating points of ct at 0.15 are kept" in told
