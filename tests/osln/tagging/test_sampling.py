"""Batches are whole epochs in random order; augmentation is by whole pixels, boxes and noise as told."""

from dataclasses import replace

import numpy as np
import pytest

from osln.rows.tagger_recipe import TAGGER_RECIPES
from osln.tagging.sampling import augment, batch_indices
from small.lesions import tiny_recipe

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


def test_the_authors_recipe_is_a_row():
    paper = TAGGER_RECIPES["paper"]
    assert (paper.width, paper.embedding, paper.batch, paper.epochs) == (64, 256, 128, 15)
    assert (paper.learning_rate, paper.momentum, paper.weight_decay) == (0.01, 0.9, 1e-4)
    assert (paper.largest_gradient, paper.shift_px, paper.grow_px, paper.noise_hu) == (10, 0, 0, 0)
