import numpy as np
import pytest

from osln import operating
from osln.experiments import SEGMENTERS
from osln.operating import operating_points, renew_operating_points
from osln.sweep import THRESHOLDS
from osln.weights import ModelStore
from small_columns import small_column
from small_store import untrained


class TruthPredictor:
    """Answers with the nodes at .9, or .3 for early fusion."""

    def __init__(self, checkpoint, device="cpu"):
        self.level = 0.3 if checkpoint.name.startswith("ef") else 0.9

    def probability(self, column):
        return np.where(column.nodes > 0, self.level, 0.0).astype(np.float32)


@pytest.fixture(autouse=True)
def truth(monkeypatch):
    monkeypatch.setattr(operating, "Predictor", TruthPredictor)


def highest_below(level: float) -> float:
    return float(THRESHOLDS[THRESHOLDS <= level][-1])


def test_every_row_that_the_networks_can_make_has_a_threshold_for_each_precision():
    points = operating_points({name: untrained(name) for name in SEGMENTERS}, [small_column(0)])
    rows = {"lf-stratified", "lf", "ct-stratified", "ef-stratified", *SEGMENTERS}
    assert set(points) == rows
    assert points["lf"]["0.15"] == pytest.approx(highest_below(0.9))
    assert points["ef"]["0.15"] == pytest.approx(highest_below(0.3))
    assert set(points["ct"]) == {"0.10", "0.15", "0.20", "0.30"}


def test_rows_without_their_networks_are_left_out():
    assert set(operating_points({"ct": untrained("ct")}, [small_column(0)])) == {"ct"}


def test_a_patient_without_pet_is_left_out_of_the_rows_that_need_it():
    networks = {name: untrained(name) for name in ("ct", "ef")}
    both = operating_points(networks, [small_column(0), small_column(1, pet=False)])
    assert set(both) == {"ct", "ef", "lf"}
    assert set(operating_points(networks, [small_column(1, pet=False)])) == {"ct"}


def test_a_published_network_sets_the_points_of_the_rows_that_ask_it_and_of_no_other(tmp_path):
    models = ModelStore(tmp_path)
    for name in ("ct", "ef", "ct-distal"):
        models.publish(name, models.add(untrained(name)).name)
    sentence = renew_operating_points(models, "ef", [small_column(seed) for seed in range(10)])
    assert sentence == "operating points of ef, lf were set on 10 validation patients"
    assert models.thresholds("ef")["0.15"] == pytest.approx(highest_below(0.3))
    assert models.thresholds("ct") == {"0.15": 0.5}


def test_with_few_validation_patients_the_former_points_stay(tmp_path):
    models = ModelStore(tmp_path)
    models.publish("ct", models.add(untrained("ct")).name)
    assert "9 validation patients are too few" in renew_operating_points(models, "ct", [small_column(0)] * 9)
    assert models.thresholds("ct") == {"0.15": 0.5}
