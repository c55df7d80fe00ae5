"""The tagger learns, goes on after an interruption with the same result and says what it learned from."""

import numpy as np
import pytest
import torch

from osln.tagging.lesion_set import LesionSet
from osln.tagging.training import tag_probabilities, train_tagger
from small.lesions import BRIGHT, WIDE, small_set, tiny_recipe

PLAIN = tiny_recipe(shift_px=0, grow_px=0.0, noise_hu=0.0)


@pytest.mark.slow
def test_a_tagger_learns_tags_that_can_be_seen():
    trained = train_tagger(
        tiny_recipe(epochs=10, learning_rate=0.01),
        small_set(range(40)),
        small_set(range(100, 116)),
        trained_on="squares",
    )
    figures = trained.metadata["tags"]
    assert set(figures) == {"calcified", "large"}
    assert figures["calcified"]["auc"] > 0.95 and figures["large"]["auc"] > 0.95
    lesions = small_set(range(200, 208))
    probabilities = tag_probabilities(trained.network, lesions)
    for tag in (BRIGHT, WIDE):
        holds = lesions.labels[:, tag]
        assert probabilities[holds, tag].min() > probabilities[~holds, tag].max()


def test_the_file_says_what_was_learned_from_and_how():
    trained = train_tagger(
        PLAIN, small_set(range(16)), small_set(range(4)), seed=5, trained_on="squares", origin="phantom"
    )
    about = trained.metadata
    assert (about["origin"], about["trained_on"], about["seed"]) == ("phantom", "squares", 5)
    assert (about["lesions"], about["validation_lesions"], about["steps"]) == (16, 4, 4)
    assert about["recipe"]["width"] == 2 and about["mean_auc"]["all"] is not None
    assert about["losses"][-1]["step"] == 4 and not trained.network.training


@pytest.mark.usefixtures("state_after_every_step")
def test_an_interrupted_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("osln.tagging.training.REPORT_STEPS", 2)
    lesions, none = small_set(range(16)), LesionSet.collect([])
    whole = train_tagger(tiny_recipe(), lesions, none, trained_on="squares")

    class KilledError(Exception):
        pass

    def kill(state):
        if state.step == 2:
            raise KilledError

    path = tmp_path / "state" / "tagger.resume"
    with pytest.raises(KilledError):
        train_tagger(tiny_recipe(), lesions, none, trained_on="squares", resume_path=path, on_progress=kill)
    steps = []
    resumed = train_tagger(
        tiny_recipe(),
        lesions,
        none,
        trained_on="squares",
        resume_path=path,
        on_progress=lambda s: steps.append(s.step),
    )
    assert steps == [4]
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=0, atol=0)
    assert resumed.metadata["losses"] == whole.metadata["losses"]


def test_the_state_of_another_training_is_not_gone_on_from(tmp_path):
    path, none, steps = tmp_path / "tagger.resume", LesionSet.collect([]), []
    train_tagger(PLAIN, small_set(range(8)), none, trained_on="squares", resume_path=path)
    train_tagger(
        PLAIN,
        small_set(range(1, 9)),
        none,
        trained_on="squares",
        resume_path=path,
        on_progress=lambda s: steps.append(s),
    )
    assert [(state.step, state.steps) for state in steps] == [(2, 2)]
    assert set(steps[0].losses) == {"total", "tags", "hard", "triplet"} and steps[0].seconds_left == 0


def test_biases_have_twice_the_rate_and_no_decay(monkeypatch):
    groups = []
    step = torch.optim.SGD.step

    def spy(self, *arguments):
        groups.append([(group["lr"], group["weight_decay"]) for group in self.param_groups])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", spy)
    recipe = tiny_recipe(epochs=3, learning_rate=0.01)
    train_tagger(recipe, small_set(range(8)), LesionSet.collect([]), trained_on="squares")
    assert [group[0] for group in groups] == [(0.01, 1e-4), (0.01, 1e-4), (pytest.approx(0.001), 1e-4)]
    assert [group[1] for group in groups] == [(0.02, 0.0), (0.02, 0.0), (pytest.approx(0.002), 0.0)]


def test_too_few_lesions_and_broken_ones_are_refused_in_words():
    with pytest.raises(ValueError, match="7 lesions are too few to learn from in batches of 8"):
        train_tagger(PLAIN, small_set(range(7)), LesionSet.collect([]), trained_on="squares")
    broken = small_set(range(8))
    broken.images[3] = np.nan
    with pytest.raises(ValueError, match="the loss is not a number at step 1"):
        train_tagger(PLAIN, broken, LesionSet.collect([]), trained_on="squares")
