"""A few hundred lesions that can be told apart by eye, and a tagger that learns them in seconds."""

from dataclasses import replace

import numpy as np

from osln.rows.tagger_recipe import TAGGER_RECIPES, TaggerRecipe
from osln.rows.tags import TAG_INDEX, TAG_NAMES
from osln.tagging.lesion_set import Lesion, LesionSet

BRIGHT, WIDE = TAG_INDEX["calcified"], TAG_INDEX["large"]


def tiny_recipe(**changes: object) -> TaggerRecipe:
    """The demo recipe with the narrowest network and small batches."""
    small = {"width": 2, "embedding": 8, "batch": 8, "epochs": 2}
    return replace(TAGGER_RECIPES["demo"], **(small | changes))


def small_lesion(seed: int, *, case: str = "") -> Lesion:
    """Noise with a square in the middle: bright (tag "calcified") or not, wide (tag "large") or not."""
    rng = np.random.default_rng(seed)
    bright, wide = seed % 2 == 1, seed // 2 % 2 == 1
    half = 12 if wide else 5
    image = rng.normal(0.0, 0.01, (3, 120, 120)).astype(np.float32)
    image[:, 60 - half : 60 + half, 60 - half : 60 + half] += 0.4 if bright else 0.1
    labels = np.zeros(len(TAG_NAMES), dtype=bool)
    labels[BRIGHT], labels[WIDE] = bright, wide
    known = np.ones(len(TAG_NAMES), dtype=bool)
    box = np.float32([60 - half, 60 - half, 60 + half, 60 + half])
    return Lesion(case or f"case{seed}", image, box, labels, known, known)


def small_set(seeds: range) -> LesionSet:
    return LesionSet.collect(small_lesion(seed) for seed in seeds)
