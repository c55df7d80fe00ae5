"""Figures of a stage-two network on patients whose nodes are known, by hand."""

import json

import numpy as np

from osln.imaging.transforms import Scaling
from osln.stage_two import validation as classifier_validation
from osln.stage_two.validation import evaluate_classifier
from osln.weights.checkpoint import Checkpoint
from small.candidates import small_set

ANY = Checkpoint("local-ct", "demo", Scaling(), {}, "phantom")
"""Its scores come from a stand-in."""


class ByOrder:
    """Stands in for a scorer: the first candidates of a patient have the highest scores."""

    def __init__(self, checkpoint, device="cpu", number_format=None):
        pass

    def scores(self, patches, tags=None):
        return 1 - np.arange(len(patches)) / 10


def test_an_evaluation_knows_the_figures_of_a_perfect_order(monkeypatch):
    monkeypatch.setattr(classifier_validation, "CandidateScorer", ByOrder)
    # Added nodes of a training set are no candidates.
    patients = [small_set(0, false=30, added=2), small_set(1, false=1), small_set(2, nodes=0, false=0)]
    found = evaluate_classifier(ANY, patients)
    assert (found["metric"], found["recall"], found["f1"]) == (1.0, 1.0, 1.0)
    assert found["sensitivity"] == {"2.0": 1.0, "3.0": 1.0, "4.0": 1.0, "6.0": 1.0}
    assert found["stage_one"] < 1 and found["patients"] == 3
    # Three false candidates per patient are nine: that of case 1 and the best eight of case 0.
    assert found["cases"] == {
        "case0": {"nodes": 3, "found": 3, "false": 8},
        "case1": {"nodes": 3, "found": 3, "false": 1},
        "case2": {"nodes": 0, "found": 0, "false": 0},
    }
    json.dumps(found, allow_nan=False)


def test_patients_without_nodes_have_no_figure(monkeypatch):
    monkeypatch.setattr(classifier_validation, "CandidateScorer", ByOrder)
    found = evaluate_classifier(ANY, [small_set(0, nodes=0)])
    assert found["metric"] is None and found["stage_one"] is None and found["patients"] == 1
