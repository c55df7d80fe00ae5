"""The regression of a young cohort: the optimum that was asked for, of what was decided and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from osln.rows.experiments import CLASSIFIERS, NUMBER_INPUTS, PRESETS
from osln.stage_two import regression
from osln.stage_two.candidate_sets import LEFT_OUT
from osln.stage_two.regression import WEIGHT_OF_DATA, decided_numbers, solve, train_regression
from osln.stage_two.scoring import CandidateScorer
from osln.stage_two.training import train_classifier
from osln.weights.checkpoint import load_checkpoint, save_checkpoint
from small.candidates import small_set, tiny_preset

NUMBERS = CLASSIFIERS["numbers"]
PRESET = replace(tiny_preset(patch=(14, 14, 12)), spacing_mm=(2.5, 2.5, 3.0))


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", PRESET)
    monkeypatch.setattr("small.candidates.PATCH", (14, 14, 12))


def train(sets, **given):
    return train_regression(NUMBERS, PRESET, sets, trained_on="phantom", **given)


def test_two_points_weigh_as_the_condition_of_the_optimum_says():
    # Standardized to -1 and 1 whatever their scale: w / C = n sigmoid(-w), and no offset.
    for scale in (1.0, 50.0):
        found = solve(np.array([[3 * scale], [7 * scale]]), np.array([0, 1]))
        (weight,) = found.weights
        assert found.mean == pytest.approx([5 * scale]) and found.spread == pytest.approx([2 * scale])
        assert weight / WEIGHT_OF_DATA == pytest.approx(2 / (1 + np.exp(weight)), rel=1e-6)
        assert found.offset == pytest.approx(0, abs=1e-7)
        assert found.loss == pytest.approx(np.log(1 + np.exp(-weight)))
        expected = 1 / (1 + np.exp(weight * np.array([1, -1])))
        np.testing.assert_allclose(found.probabilities(np.array([[3 * scale], [7 * scale]])), expected)


def test_nodes_and_others_weigh_alike_however_many_there_are():
    few = solve(np.array([[0.0], [1.0]]), np.array([0, 1]))
    rng = np.random.default_rng(0)
    many = solve(rng.normal(0, 1, (100, 3)), np.arange(100) < 5)
    # What says nothing leaves even odds, not one in twenty.
    assert few.probabilities(np.array([[0.5]])) == pytest.approx(0.5)
    assert many.probabilities(many.mean[None]) == pytest.approx(0.5, abs=0.15)


def test_it_is_the_optimum_that_another_solver_finds():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(1)
    numbers = rng.normal(0, [1, 10, 0.1, 5], (80, 4))
    truth = (numbers[:, 0] + rng.normal(0, 1, 80) > 1).astype(int)
    found = solve(numbers, truth)
    other = linear_model.LogisticRegression(
        C=WEIGHT_OF_DATA, class_weight="balanced", tol=1e-12, max_iter=9999
    )
    other.fit((numbers - numbers.mean(0)) / numbers.std(0), truth)
    np.testing.assert_allclose(found.weights, other.coef_[0], atol=1e-6)
    assert found.offset == pytest.approx(float(other.intercept_[0]), abs=1e-6)


def test_a_number_that_never_changes_and_one_far_out_do_no_harm():
    numbers = np.array([[1.0, 0], [1, 1], [1, 2], [1, 3]])
    found = solve(numbers, np.array([0, 0, 1, 1]))
    assert found.weights[0] == 0
    assert found.probabilities(np.array([[1, 1e9]])) == found.probabilities(np.array([[1, 1e6]]))


def test_added_nodes_and_what_nobody_decided_never_weigh():
    plain = [small_set(seed, nodes=2, false=3) for seed in range(3)]
    more = [small_set(seed, nodes=2, false=3, added=2) for seed in range(3)]
    np.testing.assert_array_equal(decided_numbers(more, PRESET)[1], [1, 1, 0, 0, 0] * 3)
    numbers, _ = decided_numbers(plain, PRESET)
    undecided = [replace(one, truth=np.where(np.arange(5) == 3, LEFT_OUT, one.truth)) for one in plain]
    left, truth = decided_numbers(undecided, PRESET)
    np.testing.assert_array_equal(left, np.delete(numbers, [3, 8, 13], axis=0))
    assert truth.tolist() == [1, 1, 0, 0] * 3
    assert decided_numbers([], PRESET)[0].shape == (0, NUMBER_INPUTS)


def test_a_trained_one_is_kept_as_a_file_and_scores_as_it_was_solved(tmp_path):
    sets = [small_set(seed, nodes=2, false=4) for seed in range(4)]
    told = []
    checkpoint = train(sets, validation=sets[:2], on_progress=told.append)
    assert [one.share for one in told] == [1.0] and told[0].validation["metric"] == 1.0
    save_checkpoint(tmp_path / "numbers.pt", checkpoint)
    scorer = CandidateScorer(load_checkpoint(tmp_path / "numbers.pt"), number_format="f32")
    numbers, truth = decided_numbers(sets, PRESET)
    expected = solve(numbers, truth).probabilities(numbers)
    given = np.concatenate([scorer.scores(one.patches) for one in sets])
    np.testing.assert_allclose(given, expected, atol=1e-6)
    assert given[truth == 1].min() > given[truth == 0].max()
    assert checkpoint.metadata["nodes"] == 8 and checkpoint.metadata["train_cases"][0] == "case0"
    scores, features = scorer.judged(sets[0].patches)
    assert features.shape == (6, NUMBER_INPUTS) and scores.shape == (6,)
    assert scorer.scores(sets[0].patches.first(0)).shape == (0,)


def test_the_way_of_all_classifiers_leads_here_and_forgets_where_it_began():
    sets = [small_set(seed) for seed in range(3)]
    first = train_classifier(NUMBERS, PRESET, sets, trained_on="phantom")
    other = train_classifier(NUMBERS, PRESET, sets[:1], trained_on="phantom")
    again = train_classifier(NUMBERS, PRESET, sets, initial=other, epochs=1, seed=5, trained_on="phantom")
    for name, tensor in first.state_dict.items():
        np.testing.assert_array_equal(again.state_dict[name], tensor)


def test_what_cannot_be_learned_from_is_refused_in_a_sentence(monkeypatch):
    with pytest.raises(
        ValueError, match=r"needs nodes and false candidates .* 1 training patients have 0 nodes"
    ):
        train([small_set(0, nodes=0)])
    with pytest.raises(ValueError, match="cannot learn from case case1: no PET"):
        train([small_set(0), small_set(1, pet=False)])
    with pytest.raises(ValueError, match="needs nodes"):
        train([])
    broken = np.full((8, NUMBER_INPUTS), np.nan, np.float32)
    monkeypatch.setattr(regression, "candidate_numbers", lambda *_: broken)
    with pytest.raises(ValueError, match=r"NaN or infinity, or from patches smaller than 32 mm: .* case0"):
        train([small_set(0)])
