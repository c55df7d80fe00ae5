"""What random scores give on the same candidates, by hand and against many random draws."""

import numpy as np
import pytest

from osln.metrics.froc import froc
from osln.metrics.matching import Scored
from osln.reproduction.chance import chance_distribution, chance_mfroc

WHOLE = np.ones((1, 2))


def patient(found: int, false: int, nodes: int) -> Scored:
    scores = np.linspace(0, 1, found + false)
    return Scored(scores, np.arange(found + false) < found, nodes)


def test_the_curve_is_a_line_to_all_candidates_and_then_level():
    # 4 of 5 nodes and 8 false ones in two patients: 4 FP per patient at a sensitivity of .8.
    patients = [patient(3, 5, 3), patient(1, 3, 2)]
    at = [0.8 * 2 / 4, 0.8 * 3 / 4, 0.8, 0.8]
    assert chance_mfroc(patients, WHOLE) == pytest.approx([np.mean(at)])


def test_it_is_the_mean_over_random_scores():
    rng = np.random.default_rng(0)
    patients = [patient(6, 30, 8), patient(2, 18, 4)] * 20
    whole = np.ones((1, 40))
    drawn = []
    for _ in range(100):
        shuffled = [Scored(rng.random(len(one.scores)), one.hits, one.n_nodes) for one in patients]
        drawn.append(froc(shuffled).mean())
    assert chance_mfroc(patients, whole)[0] == pytest.approx(np.mean(drawn), abs=0.005)


def test_without_a_false_candidate_chance_finds_all_and_without_a_node_there_is_none():
    assert chance_mfroc([patient(2, 0, 4), patient(0, 0, 0)], WHOLE) == pytest.approx([0.5])
    assert np.isnan(chance_mfroc([patient(0, 3, 0), patient(0, 1, 0)], WHOLE)).all()
    assert chance_mfroc([patient(0, 0, 2), patient(0, 0, 2)], WHOLE) == pytest.approx([0.0])


def test_resamples_and_trainings_are_as_in_every_figure():
    patients = [patient(1, 6, 1), patient(0, 6, 1)]
    weights = np.array([[2.0, 0.0], [0.0, 2.0]])
    found = chance_distribution([patients, patients], weights)
    mean = np.mean([2 / 6, 3 / 6, 4 / 6, 1])
    assert found.draws == pytest.approx([mean, 0.0]) and found.value == pytest.approx(mean / 2)
    assert found.per_seed == pytest.approx([mean / 2] * 2)
