"""The tagger learns, goes on after an interruption with the same result and says what it learned from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from osln.lesion_set import LesionSet
from osln.tagger_training import (
    TAGGER_RECIPES,
    augment,
    batch_indices,
    tag_probabilities,
    train_tagger,
)
from osln.tags import TAG_NAMES
from small_lesions import BRIGHT, WIDE, small_set, tiny_recipe

PLAIN = tiny_recipe(shift_px=0, grow_px=0.0, noise_hu=0.0)


def some_image() -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:120, :120]
    image = np.stack([rows, columns, rows + 2 * columns]).astype(np.float32)
    return image[None].repeat(20, axis=0), np.tile(np.float32([50, 52, 70, 68]), (20, 1))


def test_a_recipe_without_augmentation_changes_nothing():
    images, boxes = some_image()
    same, same_boxes = augment(images, boxes, PLAIN, np.random.default_rng(0))
    np.testing.assert_array_equal(same, images)
    np.testing.assert_array_equal(same_boxes, boxes)


def test_images_move_by_whole_pixels_and_repeat_their_edge():
    images, boxes = some_image()
    moved, _ = augment(images, boxes, replace(PLAIN, shift_px=3), np.random.default_rng(0))
    down = moved[:, 0, 60, 60] - 60
    right = moved[:, 1, 60, 60] - 60
    assert set(down) | set(right) == {-3, -2, -1, 0, 1, 2, 3}
    for image, d, r in zip(moved, down, right, strict=True):
        expected = np.clip(np.arange(120) + d, 0, 119)
        np.testing.assert_array_equal(image[0, :, 0], expected)
        np.testing.assert_array_equal(image[1, 0], np.clip(np.arange(120) + r, 0, 119))


def test_boxes_grow_and_shrink_around_their_center_but_keep_a_pixel():
    images, boxes = some_image()
    _, grown = augment(images, boxes, replace(PLAIN, grow_px=2.0), np.random.default_rng(0))
    by = (grown[:, 2] - grown[:, 0] - 20) / 2
    assert by.min() < -1 and by.max() > 1 and np.abs(by).max() <= 2
    np.testing.assert_allclose((grown[:, :2] + grown[:, 2:]) / 2, 60, atol=1e-4)
    small = np.tile(np.float32([60, 60, 62, 62]), (20, 1))
    _, grown = augment(images, small, replace(PLAIN, grow_px=9.0), np.random.default_rng(0))
    assert (grown[:, 2] - grown[:, 0]).min() == pytest.approx(1)


def test_noise_has_the_recipes_deviation():
    images, boxes = some_image()
    noisy, _ = augment(images, boxes, replace(PLAIN, noise_hu=40.95), np.random.default_rng(0))
    assert (noisy - images).std() == pytest.approx(0.01, rel=0.02)


def test_every_lesion_is_seen_once_in_an_epoch():
    seen = np.concatenate([batch_indices(10, 4, step, seed=3) for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10].tolist() != seen[10:].tolist()


def test_a_batch_does_not_depend_on_the_batches_before():
    np.testing.assert_array_equal(batch_indices(10, 4, 7, seed=3), batch_indices(10, 4, 7, seed=3))
    assert batch_indices(10, 10, 0, seed=3).tolist() != batch_indices(10, 10, 0, seed=4).tolist()


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
    probabilities = tag_probabilities(trained.network, small_set(range(200, 204)))
    for tag in (BRIGHT, WIDE):
        told = probabilities[:, tag] >= figures[TAG_NAMES[tag]]["threshold"]
        np.testing.assert_array_equal(told, small_set(range(200, 204)).labels[:, tag])


def test_the_file_says_what_was_learned_from_and_how():
    trained = train_tagger(
        PLAIN, small_set(range(16)), small_set(range(4)), seed=5, trained_on="squares", origin="phantom"
    )
    about = trained.metadata
    assert (about["origin"], about["trained_on"], about["seed"]) == ("phantom", "squares", 5)
    assert (about["lesions"], about["validation_lesions"], about["steps"]) == (16, 4, 4)
    assert about["recipe"]["width"] == 2 and about["mean_auc"]["all"] is not None
    assert about["losses"][-1]["step"] == 4 and not trained.network.training


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("osln.tagger_training.REPORT_STEPS", 2)
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


def test_the_authors_recipe_is_a_row():
    paper = TAGGER_RECIPES["paper"]
    assert (paper.width, paper.embedding, paper.batch, paper.epochs, paper.learning_rate) == (
        64,
        256,
        128,
        15,
        0.01,
    )
    assert (paper.momentum, paper.weight_decay, paper.largest_gradient) == (0.9, 1e-4, 10.0)
