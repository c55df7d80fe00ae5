"""Which lesions the tagger learns from in a step, and how they are varied."""

import numpy as np

from osln.rows.tagger_recipe import TaggerRecipe
from osln.tagging.lesion_patch import WINDOW_HU


def batch_indices(count: int, batch: int, step: int, seed: int) -> np.ndarray:
    """(batch,) lesions of a step: epochs of all lesions in random order, one behind the other."""
    positions = np.arange(step * batch, (step + 1) * batch)
    orders = {
        int(epoch): np.random.default_rng([seed, 1, int(epoch)]).permutation(count)
        for epoch in np.unique(positions // count)
    }
    return np.array([orders[int(position // count)][position % count] for position in positions])


def augment(
    images: np.ndarray, boxes: np.ndarray, recipe: TaggerRecipe, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Moved, grown and noisy lesions; what moves in from outside repeats the edge.

    Args:
        images: (B, 3, rows, columns) float32.
        boxes: (B, 4) float32.
        recipe: Gives shift_px, grow_px and noise_hu; all 0 changes nothing.
        rng: Decides.
    """
    boxes = boxes.copy()
    moved = np.empty_like(images)
    rows, columns = np.arange(images.shape[2]), np.arange(images.shape[3])
    for i, image in enumerate(images):
        down, right = rng.integers(-recipe.shift_px, recipe.shift_px + 1, 2)
        taken = np.clip(rows + down, 0, rows[-1]), np.clip(columns + right, 0, columns[-1])
        moved[i] = image[:, taken[0][:, None], taken[1][None, :]]
    # Sides never cross: a box keeps at least one pixel.
    largest = np.maximum((np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) - 1) / 2, 0)
    grown = np.maximum(rng.uniform(-recipe.grow_px, recipe.grow_px, len(boxes)), -largest)[:, None]
    boxes += (grown * [-1, -1, 1, 1]).astype(np.float32)
    if recipe.noise_hu:
        deviation = recipe.noise_hu / (WINDOW_HU[1] - WINDOW_HU[0])
        moved += deviation * rng.standard_normal(moved.shape, dtype=np.float32)
    return moved, np.maximum(boxes, 0)
