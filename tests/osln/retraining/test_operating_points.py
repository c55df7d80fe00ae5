import numpy as np
import pytest

from osln.metrics.matching import Scored
from osln.metrics.sweep import THRESHOLDS
from osln.retraining import operating_points as operating
from osln.retraining.operating_points import (
    operating_curve,
    operating_points,
    points_kept,
    renew_operating_points,
    renew_score_thresholds,
    score_thresholds,
    set_score_thresholds,
)
from osln.rows.experiments import SERVED_SEGMENTERS
from osln.weights.model_store import ModelStore
from small.columns import small_column
from small.store import untrained
from small.studies import add_case, publish_stage_one, published, use_tiny_networks


class TruthPredictor:
    """Answers with the nodes at .9, or .3 for early fusion."""

    def __init__(self, checkpoint, device="cpu", number_format=None):
        self.level = 0.3 if checkpoint.name.startswith("ef") else 0.9

    def probability(self, column):
        return np.where(column.nodes > 0, self.level, 0.0).astype(np.float32)


@pytest.fixture(autouse=True)
def truth(monkeypatch):
    monkeypatch.setattr(operating, "Predictor", TruthPredictor)


def highest_below(level: float) -> float:
    return float(THRESHOLDS[THRESHOLDS <= level][-1])


def test_every_row_that_the_networks_can_make_has_a_threshold_for_each_precision():
    points = operating_points({name: untrained(name) for name in SERVED_SEGMENTERS}, [small_column(0)])
    rows = {"lf-stratified", "lf-mean", "lf", "ct-stratified", "ef-stratified", *SERVED_SEGMENTERS}
    assert set(points) == rows
    assert points["lf"][0]["0.15"] == pytest.approx(highest_below(0.9))
    assert points["ef"][0]["0.15"] == pytest.approx(highest_below(0.3))
    assert set(points["ct"][0]) == {"0.10", "0.15", "0.20", "0.30"} and points["ct"][1] == 1


def test_rows_without_their_networks_are_left_out():
    assert set(operating_points({"ct": untrained("ct")}, [small_column(0)])) == {"ct"}


def test_a_patient_without_pet_is_left_out_of_the_rows_that_need_it():
    networks = {name: untrained(name) for name in ("ct", "ef")}
    both = operating_points(networks, [small_column(0), small_column(1, pet=False)])
    assert {name: patients for name, (_, patients) in both.items()} == {"ct": 2, "ef": 1, "lf": 1}
    assert set(operating_points(networks, [small_column(1, pet=False)])) == {"ct"}


def test_a_published_network_sets_the_points_of_the_rows_that_ask_it_and_of_no_other(tmp_path):
    models = ModelStore(tmp_path)
    for name in ("ct", "ef", "ct-distal"):
        models.publish(name, models.add(untrained(name)).name)
    sentence, few = renew_operating_points(models, "ef", [small_column(seed) for seed in range(10)])
    assert (
        "were set on 10 validation patients with nodes" in sentence and "ef" in sentence and "lf" in sentence
    )
    assert not {"ef", "lf"} & few.keys()
    assert models.thresholds("ef")["0.15"] == pytest.approx(highest_below(0.3))
    assert models.thresholds("ct") == {}


def test_only_patients_with_a_node_and_all_images_of_a_row_count_for_it(tmp_path):
    models = ModelStore(tmp_path)
    for name in ("ct", "ef"):
        models.publish(name, models.add(untrained(name)).name)
        models.set_thresholds(name, {"0.15": 0.4})
    models.set_thresholds("lf", {"0.15": 0.6})
    patients = [small_column(0), *(small_column(seed, pet=False) for seed in range(1, 10))]

    sentence, few = renew_operating_points(models, "ct", patients)

    assert sentence == "operating points of ct were set on 10 validation patients with nodes"
    assert few["lf"] == 1 and models.thresholds("lf") == {"0.15": 0.6}
    assert points_kept({"lf": 1}).startswith(
        "operating points of lf are kept: 1 validation patients with nodes"
    )
    sentence, few = renew_operating_points(models, "ef", [small_column(0, nodes=0)] * 10)
    assert sentence == "" and few["ef"] == 0 and models.thresholds("ef") == {"0.15": 0.4}


def test_with_few_validation_patients_the_former_points_stay(tmp_path):
    models = ModelStore(tmp_path)
    models.publish("ct", models.add(untrained("ct")).name)
    assert renew_operating_points(models, "ct", [small_column(0)] * 9)[1]["ct"] == 9
    assert models.thresholds("ct") == {}


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
    assert "9 validation patients are too few" in set_score_thresholds(models, "glnet", [other] * 9)
    assert models.thresholds("glnet")["0.5"] == 0.75
    assert set_score_thresholds(models, "glnet", [other] * 10).endswith("were set on 10 validation patients")
    assert models.thresholds("glnet")["0.5"] == 0.5


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


def test_few_patients_or_none_with_a_node_have_no_curve():
    assert operating_curve([scored([0.5], [True])] * 9) == []
    assert operating_curve([scored([0.5], [False], 0)] * 10) == []


def test_the_curve_is_kept_with_the_weights_that_it_was_measured_with(tmp_path):
    models = ModelStore(tmp_path)
    published(models, untrained("glnet"))
    set_score_thresholds(models, "glnet", [scored([0.5], [True])] * 10)
    assert {point["sensitivity"] for point in models.curve("glnet")} == {0.5}
    # Not with others in use, before it or behind it.
    published(models, untrained("ct-distal"))
    assert models.curve("glnet") == []
    models.set_thresholds("glnet", {"3": 0.9})
    # Thresholds that come without a curve do not keep the former one.
    assert models.curve("glnet") == models.curve("local-ct") == []


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    """A store with a patient, stage one that finds its bright balls, and a trained local-ct-pet."""
    use_tiny_networks(monkeypatch)
    monkeypatch.setattr(operating, "FEWEST_PATIENTS", 1)
    models = ModelStore(tmp_path / "models")
    publish_stage_one(models)
    published(models, untrained("local-ct-pet"))
    add_case(tmp_path / "studies", "a", deleted=(2,))
    return tmp_path / "studies", models


def test_a_published_network_of_stage_one_sets_the_scores_of_the_classifiers_behind_it(cohort):
    root, models = cohort
    said = renew_score_thresholds(models, root, "ct-distal", ["a"])
    assert said == "score thresholds of local-ct-pet were set on 1 validation patients"
    assert set(models.thresholds("local-ct-pet")) == set(operating.OFFERED_FALSE_POSITIVES)
    assert renew_score_thresholds(models, root, "ef", ["a"]) == "", "no classifier follows it"
    kept = renew_score_thresholds(models, root, "ct-distal", [])
    assert kept.startswith("score thresholds of local-ct-pet are kept: 0 validation patients are too few")


def test_the_scores_of_a_classifier_of_another_tagger_are_kept(cohort):
    root, models = cohort
    published(models, untrained("glnet"), tagger={"sha256": "e" * 64})
    said = renew_score_thresholds(models, root, "ct-distal", ["a"])
    assert "score thresholds of glnet are kept: it learned from the tags of another tagger" in said
    assert models.thresholds("glnet") == {}
