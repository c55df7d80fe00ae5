from dataclasses import replace

import numpy as np
import pytest

from osln.metrics.sweep import THRESHOLDS
from osln.retraining import operating_points as operating
from osln.retraining.operating_points import operating_points, points_kept, renew_operating_points
from osln.rows.experiments import SERVED_SEGMENTERS
from osln.weights.model_store import ModelStore
from small.columns import small_column
from small.store import untrained


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
    rows = {
        "lf-stratified",
        "lf-mean",
        "lf-gated-soft",
        "gated-mean",
        "lf",
        "ct-stratified",
        "ef-stratified",
        *SERVED_SEGMENTERS,
    }
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


def test_cases_of_one_patient_count_once(tmp_path):
    models = ModelStore(tmp_path)
    models.publish("ct", models.add(untrained("ct")).name)
    columns, patients = [small_column(0)] * 10, ["p", *"pbcdefghi"]
    assert renew_operating_points(models, "ct", columns, patients=patients)[1]["ct"] == 9
    measured = operating_points({"ct": untrained("ct")}, columns[:2], patients=patients[:2])
    assert measured["ct"][1] == 1


def test_a_row_of_one_zone_counts_the_patients_with_a_node_of_that_zone(tmp_path):
    models = ModelStore(tmp_path)
    models.publish("ct-distal", models.add(untrained("ct-distal")).name)
    models.set_thresholds("ct-distal", {"0.15": 0.4})
    both, near = small_column(0), [small_column(seed, nodes=0) for seed in range(1, 10)]
    for column in near:
        column.nodes[10:13, 10:13, 6:9] = 1
    # A node outside the column counts by its distance: one of 30 mm is none of the distal zone.
    outside = [replace(column, outside_mm=(30.0,)) for column in near]

    sentence, few = renew_operating_points(models, "ct-distal", [both, *outside])

    assert sentence == "" and few["ct-distal"] == 1 and models.thresholds("ct-distal") == {"0.15": 0.4}
    assert points_kept({"ct-distal": 1, "lf": 1}) == (
        "operating points of ct-distal are kept: 1 validation patients with distal nodes are too few to set "
        "them, 10 are needed; operating points of lf are kept: 1 validation patients with nodes are too few "
        "to set them, 10 are needed"
    )
    assert renew_operating_points(models, "ct-distal", near)[1]["ct-distal"] == 0
    far = [replace(column, outside_mm=(90.0,)) for column in near]
    sentence, few = renew_operating_points(models, "ct-distal", [both, *far])
    assert sentence == "operating points of ct-distal were set on 10 validation patients with distal nodes"
    assert "ct-distal" not in few and models.thresholds("ct-distal")["0.15"] != 0.4
