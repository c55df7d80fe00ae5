import numpy as np
import pytest

from osln.ablation import DIFFERENCES, ROWS, Run, all_runs, class_names, class_table, count, fuse, judge
from osln.cohort import Patient
from osln.experiments import EXPERIMENTS, SEGMENTERS
from osln.metrics import Counts
from small_columns import SHAPE, small_column

TRUTH = {
    1: {"zone": "proximal", "avid": True, "short_axis_mm": 5.9},
    2: {"zone": "proximal", "avid": False, "short_axis_mm": 6.0},
    3: {"zone": "distal", "avid": True, "short_axis_mm": 12.0},
    4: {"zone": "distal", "avid": False, "short_axis_mm": 9.0},
}


@pytest.fixture
def patient():
    return Patient(small_column(0), TRUTH, {"proximal": 0, "distal": 0})


def test_the_rows_of_the_paper_hold_the_networks_of_the_experiments():
    stage_one = {name: row for name, row in EXPERIMENTS.items() if row.classifier is None and row.served}
    assert len(stage_one) == 6
    for name, experiment in stage_one.items():
        assert {network for network, _, _ in ROWS[name].networks} == set(experiment.segmenters)
        assert not ROWS[name].control
    assert all(network in SEGMENTERS for row in ROWS.values() for network, _, _ in row.networks)


def test_stratified_rows_are_compared_with_rows_of_as_many_training_steps():
    questions = {question: (row, minus) for row, minus, question in DIFFERENCES}
    for stream in ("CT", "EF", "LF"):
        row, minus = questions[f"... at equal training steps ({stream})?"]
        assert ROWS[row].steps == ROWS[minus].steps and ROWS[minus].control
    row, minus = questions["Is late fusion more than two networks?"]
    assert ROWS[row].steps == ROWS[minus].steps


def test_two_ct_networks_are_of_neighboring_seeds():
    assert ROWS["two-ct"].runs(2, 3) == [Run("ct", 1, 2), Run("ct", 1, 0)]


def test_a_seed_is_trained_before_the_next_and_its_controls_last():
    runs = all_runs(ROWS, 3)
    assert len(runs) == len(set(runs)) == 24
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    assert [run.length for run in runs[:8]] == [1] * 6 + [2] * 2
    assert all_runs(["ct"], 1) == [Run("ct", 1, 0)]


def test_maps_of_one_network_are_fused_by_their_maximum_inside_its_zone():
    distance = np.array([60.0, 80.0]).reshape(2, 1, 1)
    one = np.array([0.2, 0.9]).reshape(2, 1, 1)
    other = np.array([0.4, 0.1]).reshape(2, 1, 1)
    assert fuse([("ct", one), ("ct", other)], None).ravel() == pytest.approx([0.4, 0.9])
    split = fuse([("ct-proximal", one), ("ct-distal", other)], distance)
    assert split.ravel() == pytest.approx([0.2, 0.1])


def test_classes_have_zone_with_uptake_and_short_axis():
    assert class_names(TRUTH[1]) == ["proximal avid", "0 to 6 mm"]
    assert class_names(TRUTH[2]) == ["proximal cold", "6 to 8 mm"]
    assert class_names(TRUTH[3]) == ["distal avid", "from 10 mm"]


def test_recall_by_class_and_false_positives_by_zone_by_hand(patient):
    column = patient.column
    prob = np.where((column.nodes == 1) | (column.nodes == 3), 0.9, 0.0).astype(np.float32)
    near = np.argwhere((column.distance_mm < 10) & (column.nodes == 0))[0]
    prob[tuple(near)] = 0.9
    prob[0, 0, SHAPE[2] - 1] = 0.9
    table = class_table([patient], [prob], 0.5)
    assert table["classes"] == {
        "0 to 6 mm": [1, 1],
        "6 to 8 mm": [0, 1],
        "8 to 10 mm": [0, 1],
        "distal avid": [1, 1],
        "distal cold": [0, 1],
        "from 10 mm": [1, 1],
        "proximal avid": [1, 1],
        "proximal cold": [0, 1],
    }
    assert table["false"] == {"proximal": 1.0, "distal": 1.0} and table["radius_only"] == 0


def test_an_empty_map_finds_nothing_and_has_no_false_positive(patient):
    table = class_table([patient], [np.zeros(SHAPE, dtype=np.float32)], 0.5)
    assert sum(found for found, _ in table["classes"].values()) == 0
    assert table["false"] == {"proximal": 0.0, "distal": 0.0}


def test_the_threshold_of_validation_patients_is_applied_to_the_test_patients(patient):
    prob = np.where(patient.column.nodes > 0, 0.6, 0.0).astype(np.float32)
    counts = count([patient], [prob])
    figures = judge(counts, counts)
    assert figures["recall"] == figures["ceiling"] == 1.0
    assert figures["at_validation_threshold"]["recall"] == 1.0
    # Validation patients whose maps reach .98 choose a threshold that these maps never reach.
    high = count([patient], [prob / 0.6 * 0.99])
    assert figures["threshold"] < 0.6
    unlucky = judge(counts, high)["at_validation_threshold"]
    assert unlucky["recall"] == 0.0 and unlucky["precision"] is None


def test_counts_follow_the_order_of_the_patients(patient):
    other = Patient(small_column(1, nodes=2), {1: TRUTH[1], 2: TRUTH[2]}, {"proximal": 0, "distal": 0})
    maps = [np.zeros(SHAPE, dtype=np.float32)] * 2
    counts = count([patient, other], maps)
    assert isinstance(counts, Counts) and counts.n_nodes.tolist() == [4, 2]
