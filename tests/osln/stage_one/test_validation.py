from dataclasses import replace

import numpy as np
import pytest

from osln.stage_one import validation
from osln.stage_one.validation import evaluate, inside_zone
from small.columns import small_column
from small.store import untrained


class TruthPredictor:
    """Answers with the nodes themselves, and with a false one in the first voxels."""

    def __init__(self, checkpoint, device="cpu", number_format=None):
        pass

    def probability(self, column):
        prob = np.where(column.nodes > 0, 0.9, 0.0).astype(np.float32)
        prob[0, 0, :2] = 0.7
        return prob


@pytest.fixture
def truth(monkeypatch):
    monkeypatch.setattr(validation, "Predictor", TruthPredictor)


def test_a_node_belongs_to_the_zone_that_holds_most_of_it():
    nodes = np.array([1, 1, 1, 0, 2, 2, 2, 2]).reshape(8, 1, 1)
    zone = np.array([1, 1, 1, 1, 1, 0, 0, 0], dtype=bool).reshape(8, 1, 1)
    prob = np.full((8, 1, 1), 0.5, dtype=np.float32)
    kept, own = inside_zone(prob, nodes, zone)
    assert own.ravel().tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    # The one voxel of the other zone's node counts neither for nor against this network.
    assert kept.ravel().tolist() == [0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0]


def test_of_a_node_that_is_cut_the_part_inside_is_asked_for():
    nodes = np.array([1, 1, 1, 1]).reshape(4, 1, 1)
    zone = np.array([1, 1, 0, 0], dtype=bool).reshape(4, 1, 1)
    _, own = inside_zone(np.zeros((4, 1, 1), dtype=np.float32), nodes, zone)
    assert own.ravel().tolist() == [1, 1, 0, 0]


def test_a_network_that_knows_the_truth_is_judged_by_its_false_positive_alone(truth):
    figures = evaluate(untrained("ct"), [small_column(0), small_column(1)])
    assert figures["metric"] == figures["recall"] == 1.0 and figures["nodes"] == 8
    assert figures["false_positives"] == 0.0 and figures["threshold"] > 0.7
    assert figures["recall_even"] == 1.0 and figures["false_positives_even"] == 1.0
    assert figures["cases"] == {
        "case0": {"nodes": 4, "found": 4, "false": 0},
        "case1": {"nodes": 4, "found": 4, "false": 0},
    }


def test_zone_networks_answer_for_their_own_nodes(truth):
    column = small_column(0)
    proximal = evaluate(untrained("ct-proximal"), [column])
    distal = evaluate(untrained("ct-distal"), [column])
    assert proximal["nodes"] + distal["nodes"] == 4 and distal["nodes"] > 0
    assert distal["false_positives_even"] == 0.0 and proximal["false_positives_even"] == 1.0


def test_without_a_node_in_the_zone_there_is_no_metric(truth):
    figures = evaluate(untrained("ct"), [small_column(0, nodes=0)])
    assert figures["metric"] is None and figures["recall"] is None and figures["recall_even"] is None
    assert figures["patients_without_nodes"] == 1


def test_a_patient_without_a_label_cannot_be_compared_with(truth):
    with pytest.raises(ValueError, match="case0 has no approved nodes"):
        evaluate(untrained("ct"), [replace(small_column(0), nodes=None)])


def test_a_node_outside_the_column_is_missed_in_the_zone_that_it_lies_in():
    column = small_column(0)
    outside = replace(column, outside_mm=(30.0, 95.0))
    for name, more in (("ct", 2), ("ct-proximal", 1), ("ct-distal", 1)):
        before, after = evaluate(untrained(name), [column]), evaluate(untrained(name), [outside])
        assert after["nodes"] == before["nodes"] + more
        assert after["cases"]["case0"]["nodes"] == before["cases"]["case0"]["nodes"] + more
