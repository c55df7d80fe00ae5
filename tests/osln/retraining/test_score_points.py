import numpy as np
import pytest

from osln.metrics.matching import Scored
from osln.retraining import score_points
from osln.retraining.score_points import (
    match_score_thresholds,
    operating_curve,
    renew_score_thresholds,
    score_thresholds,
    set_score_thresholds,
)
from osln.weights.model_store import ModelStore
from small.parts import submit_in_part
from small.store import untrained
from small.studies import add_case, publish_stage_one, published, use_tiny_networks


def scored(scores: list[float], hits: list[bool], n_nodes: int = 2) -> Scored:
    return Scored(np.array(scores, dtype=np.float32).astype(float), np.array(hits, dtype=bool), n_nodes)


def test_a_score_threshold_is_the_lowest_score_with_few_enough_false_positives():
    # By falling score, with the false ones so far in brackets, of two patients: .875 (0), .75 (1),
    # .625 (1), twice .5 (3), .375 (4), .25 (5).
    patients = [
        scored([0.875, 0.75, 0.5, 0.5], [True, False, False, False]),
        scored([0.625, 0.375, 0.25], [True, False, False]),
    ]
    assert score_thresholds(patients) == {
        "0.5": 0.625,  # one false in two patients
        "1": 0.625,  # the two at .5 would make three
        "2": 0.375,
        "3": 0.25,
        "4": 0.25,
        "6": 0.25,
    }


def test_patients_without_nodes_or_candidates_count_for_the_score_threshold():
    busy = scored([0.75, 0.5, 0.25], [False, False, False])
    assert score_thresholds([busy])["1"] == 0.75
    assert score_thresholds([busy, scored([], [], 0)])["1"] == 0.5


def test_a_score_threshold_above_all_candidates_rejects_the_best_one_too():
    points = score_thresholds([scored([0.75, 0.75], [False, True])])
    assert points["0.5"] > 0.75 and np.float32(points["0.5"]) > np.float32(0.75) and points["1"] == 0.75
    assert score_thresholds([scored([1.0], [False])])["0.5"] == 1.0


def test_without_any_candidate_nothing_is_rejected():
    assert score_thresholds([scored([], [])]) == dict.fromkeys(("0.5", "1", "2", "3", "4", "6"), 0.0)


def test_score_thresholds_of_few_patients_do_not_replace_those_of_many(tmp_path):
    models, patient = ModelStore(tmp_path), scored([0.75, 0.25], [True, False])
    assert "were set on 1 validation patients, which are few" in set_score_thresholds(
        models, "glnet", [patient]
    )
    assert models.thresholds("glnet")["0.5"] == 0.75
    other = scored([0.5], [True])
    assert "9 validation patients with nodes are too few" in set_score_thresholds(
        models, "glnet", [other] * 9
    )
    assert models.thresholds("glnet")["0.5"] == 0.75
    assert set_score_thresholds(models, "glnet", [other] * 10).endswith("were set on 10 validation patients")
    assert models.thresholds("glnet")["0.5"] == 0.5


def test_thresholds_that_are_moved_again_are_those_of_what_is_in_use(tmp_path):
    models = ModelStore(tmp_path)
    models.publish("glnet", models.add(untrained("glnet")).name)
    models.set_thresholds("glnet", {"1": 0.5})
    trying = models.trying(models.add(untrained("glnet", seed=1)))
    before, after = np.array([0.9, 0.6, 0.2]), np.array([0.3, 0.25, 0.1])
    for _ in range(2):
        match_score_thresholds(trying, "glnet", before, after, 1)
        assert 0.1 < trying.thresholds("glnet")["1"] <= 0.25
    assert models.thresholds("glnet") == {"1": 0.5}


def test_the_curve_says_what_share_of_the_nodes_each_score_finds():
    # As above, five times over: ten patients with twenty nodes, of which ten are found at all.
    patients = 5 * [
        scored([0.875, 0.75, 0.5, 0.5], [True, False, False, False]),
        scored([0.375, 0.625, 0.25], [True, False, False]),
    ]
    # False ones of two patients: .75 (1), .625 (2), .5 (4), .25 (5).
    assert operating_curve(patients) == [
        {"fp_per_patient": 0.5, "threshold": 0.75, "sensitivity": 0.25},
        {"fp_per_patient": 1.0, "threshold": 0.625, "sensitivity": 0.25},
        {"fp_per_patient": 2.0, "threshold": 0.375, "sensitivity": 0.5},
        {"fp_per_patient": 3.0, "threshold": 0.25, "sensitivity": 0.5},
        {"fp_per_patient": 4.0, "threshold": 0.25, "sensitivity": 0.5},
        {"fp_per_patient": 6.0, "threshold": 0.25, "sensitivity": 0.5},
    ]


def test_few_patients_with_a_node_have_no_curve_however_many_have_none():
    without = [scored([0.5], [False], 0)] * 10
    assert operating_curve([scored([0.5], [True])] * 9 + without) == []
    assert operating_curve(without) == []


def test_patients_without_a_node_do_not_make_up_for_those_with_one(tmp_path):
    models = ModelStore(tmp_path)
    patients = [scored([0.5], [True])] * 9 + [scored([0.25], [False], 0)] * 3
    said = set_score_thresholds(models, "glnet", patients)
    assert said.endswith("were set on 12 validation patients, which are few: 10 with nodes are needed")
    said = set_score_thresholds(models, "glnet", patients)
    assert said.endswith(
        "kept: 9 validation patients with nodes are too few to set them, 10 with nodes are needed"
    )


def test_the_curve_is_kept_with_the_weights_that_it_was_measured_with(tmp_path):
    models = ModelStore(tmp_path)
    published(models, untrained("glnet"))
    set_score_thresholds(models, "glnet", [scored([0.5], [True])] * 10)
    assert {point["sensitivity"] for point in models.curve("glnet")} == {0.5}
    assert models.curve_patients("glnet") == 10
    # Not with others in use, before it or behind it.
    published(models, untrained("ct-distal"))
    assert models.curve("glnet") == []
    models.set_thresholds("glnet", {"3": 0.9})
    # Thresholds that come without a curve do not keep the former one.
    assert models.curve("glnet") == models.curve("local-ct") == []
    assert models.curve_patients("glnet") is None


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    """A store with a patient, stage one that finds its bright balls, and a trained local-ct-pet."""
    use_tiny_networks(monkeypatch)
    monkeypatch.setattr(score_points, "FEWEST_PATIENTS", 1)
    models = ModelStore(tmp_path / "models")
    publish_stage_one(models)
    published(models, untrained("local-ct-pet"))
    add_case(tmp_path / "studies", "a", deleted=(2,))
    return tmp_path / "studies", models


def test_a_published_network_of_stage_one_sets_the_scores_of_the_classifiers_behind_it(cohort):
    root, models = cohort
    said = renew_score_thresholds(models, root, "ct-distal", ["a"])
    assert said == "score thresholds of local-ct-pet were set on 1 validation patients"
    assert set(models.thresholds("local-ct-pet")) == set(score_points.OFFERED_FALSE_POSITIVES)
    assert renew_score_thresholds(models, root, "ef", ["a"]) == "", "no classifier follows it"
    kept = renew_score_thresholds(models, root, "ct-distal", [])
    assert kept.startswith("score thresholds of local-ct-pet are kept: 0 validation patients are too few")


def test_no_score_threshold_is_set_on_a_case_that_was_submitted_in_part_meanwhile(cohort):
    root, models = cohort
    submit_in_part(root, "a")
    said = renew_score_thresholds(models, root, "ct-distal", ["a"])
    assert said.startswith("score thresholds of local-ct-pet are kept: 0 validation patients")
    assert models.thresholds("local-ct-pet") == {}


def test_the_scores_of_a_classifier_of_another_tagger_are_kept(cohort):
    root, models = cohort
    published(models, untrained("glnet"), tagger={"sha256": "e" * 64})
    said = renew_score_thresholds(models, root, "ct-distal", ["a"])
    assert "score thresholds of glnet are kept: it learned from the tags of another tagger" in said
    assert models.thresholds("glnet") == {}


def test_cases_of_one_patient_are_one_patient_for_the_score_threshold(tmp_path):
    models, cases = ModelStore(tmp_path), [scored([0.5], [True])] * 10
    patients = ["p", *"pbcdefghi"]
    assert operating_curve(cases, patients) == [] and operating_curve(cases) != []
    said = set_score_thresholds(models, "glnet", cases, patients)
    assert "were set on 9 validation patients, which are few" in said
    said = set_score_thresholds(models, "glnet", cases, patients)
    assert "9 validation patients with nodes are too few" in said


def test_a_score_that_no_candidate_reaches_is_kept_and_told(tmp_path):
    models = ModelStore(tmp_path)
    published(models, untrained("set-glnet"))
    models.set_thresholds("set-glnet", {"3": 0.35, "1": 0.9})
    before = np.array([0.8, 0.4, 0.1])
    told = match_score_thresholds(models, "set-glnet", before, before / 2, 1)
    assert models.thresholds("set-glnet") == {"3": 0.2, "1": 0.9}
    assert told.endswith("; score thresholds of set-glnet at 1 are kept: no candidate reaches them")
    faint = np.array([0.1])
    assert match_score_thresholds(models, "set-glnet", faint, faint, 1) == (
        "score thresholds of set-glnet at 1, 3 are kept: no candidate reaches them"
    )
    assert models.thresholds("set-glnet") == {"3": 0.2, "1": 0.9}


@pytest.mark.parametrize("measured", [True, False])
def test_score_thresholds_that_follow_from_measured_ones_are_measured_and_others_are_not(tmp_path, measured):
    models = ModelStore(tmp_path)
    published(models, untrained("glnet"), tagger=None)
    models.set_thresholds("glnet", {"3": 0.5}, stand_in=not measured)
    before = np.array([0.8, 0.6, 0.1])
    match_score_thresholds(models, "glnet", before, before / 2, 1)
    assert 0.05 < models.thresholds("glnet")["3"] <= 0.3 and models.is_measured("glnet") is measured
