import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from osln.metrics.assignment import best_prediction, one_for_each


def test_the_best_of_two_predictions_finds_the_node_and_may_find_another():
    hits = np.array([0, 1, 1]), np.array([0, 0, 1])
    assert best_prediction(*hits, np.array([0.4, 0.6]), 3).tolist() == [1, 1, -1]
    assert one_for_each(*hits, np.array([0.4, 0.6]), 3).tolist() == [0, 1, -1]


def test_without_hits_nothing_is_found():
    nothing = np.zeros(0, dtype=int)
    assert one_for_each(nothing, nothing, np.array([0.3]), 2).tolist() == [-1, -1]


@pytest.mark.parametrize("seed", range(8))
def test_at_every_threshold_as_many_nodes_are_found_as_the_hungarian_method_finds(seed):
    rng = np.random.default_rng(seed)
    can = rng.random((7, 6)) < 0.3
    scores = rng.permutation(np.arange(1, 8)) / 8
    found_by = one_for_each(*np.nonzero(can), scores, 6)
    taken = found_by[found_by >= 0]
    assert len(set(taken)) == len(taken) and can[taken, np.flatnonzero(found_by >= 0)].all()
    for threshold in (0.0, *scores):
        kept = can & (scores >= threshold)[:, None]
        rows, columns = linear_sum_assignment(kept, maximize=True)
        assert (scores[taken] >= threshold).sum() == kept[rows, columns].sum()
    rows, columns = linear_sum_assignment(can * scores[:, None], maximize=True)
    assert scores[taken].sum() == pytest.approx((can * scores[:, None])[rows, columns].sum())


def test_a_chain_of_thousands_is_followed_to_its_end():
    n = 5000
    # Prediction k hits the nodes k and k + 1 and comes the earlier the higher k is; the last one pushes all.
    predicted, touched = np.repeat(np.arange(n), 2), np.stack([np.arange(n) + 1, np.arange(n)], 1).ravel()
    predicted, touched = np.append(predicted, n), np.append(touched, n)
    scores = np.append(np.linspace(0.9, 0.5, n), 0.1)
    found_by = one_for_each(predicted, touched, scores, n + 1)
    assert sorted(found_by) == list(range(n + 1)) and found_by[n] == n and found_by[0] == 0
