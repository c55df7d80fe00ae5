"""Candidates that can be told apart by eye, and a size of GLNet that learns them in a second."""

from dataclasses import replace

import numpy as np

from osln.metrics.matching import Overlaps
from osln.rows.experiments import PRESETS, Preset
from osln.rows.presets import RandomViews, SetAttention
from osln.rows.tags import TAG_NAMES
from osln.stage_two.candidate_sets import CandidateSet
from osln.stage_two.patches import Patches

PATCH = (8, 8, 6)
TAGGER = {"name": "LesaNet", "origin": "phantom", "sha256": "5" * 64, "width": 2, "trained_on": "phantom"}


def tiny_preset(**changes: object) -> Preset:
    """The demo preset under the name "tiny": small patches, few channels."""
    small = {"patch": PATCH, "margin": 1, "jitter": 1, "widths": (4, 4, 4, 4), "features": 4, "batch": 4}
    small |= {"views": RandomViews(8, (12.0, 18.0), 2, 1.0, 2, 2, (4, 4, 4, 4), 8)}
    small |= {"attention": SetAttention(width=8, heads=2, layers=1, dropout=0.0)}
    tiny = replace(PRESETS["demo"].stage_two, **(small | {"dropout": 0.2, "epochs": 3} | changes))
    return replace(PRESETS["demo"], name="tiny", stage_two=tiny)


def small_patches(bright: np.ndarray, *, pet: bool = True, seed: int = 0) -> Patches:
    """Noisy fat; what is bright holds a box of tissue with uptake in the middle."""
    rng = np.random.default_rng(seed)
    shape = (len(bright), *PATCH)
    ct_hu, pet_suv = rng.normal(-100, 10, shape), rng.gamma(4.0, 0.2, shape)
    ct_hu[bright, 3:6, 3:6, 2:4] = 60
    pet_suv[bright, 3:6, 3:6, 2:4] += 4
    boxes = np.tile(np.float32([[3, 6], [3, 6], [2, 4]]), (len(bright), 1, 1))
    # Score, distance, radius and place say nothing.
    context = np.tile(np.float32([0.5, 30, 4, 0, 10, 20]), (len(bright), 1))
    return Patches(ct_hu.astype(np.int16), pet_suv.astype(np.float16) if pet else None, boxes, context)


def small_set(seed: int, *, nodes: int = 3, false: int = 5, pet: bool = True, added: int = 0) -> CandidateSet:
    """A patient whose first candidates are nodes, each its own, and bright; stage one cannot tell them.

    Args:
        seed: Of the noise; also names the case.
        nodes: Candidates that hit a node.
        false: Candidates that hit none.
        pet: With PET.
        added: True nodes behind the candidates, as in training.
    """
    count = nodes + false
    truth = np.array([1] * nodes + [0] * false + [1] * added, dtype=np.int8)
    index = np.arange(nodes)
    patches = small_patches(truth == 1, pet=pet, seed=seed)
    patches.context[count:] = np.nan
    return CandidateSet(
        case=f"case{seed}",
        patches=patches,
        lesions=np.zeros((len(truth), 5)),
        stage_one_scores=np.random.default_rng([seed, 1]).random(count),
        truth=truth,
        overlaps=Overlaps(np.arange(1, count + 1), index + 1, index, index, np.ones(nodes, dtype=bool)),
        iou=np.float32([1] * nodes + [0] * false + [1] * added),
    )


def small_tags(one: CandidateSet) -> np.ndarray:
    """Tags in which only the first one tells nodes, .9 against .1."""
    tags = np.full((len(one.truth), len(TAG_NAMES)), 0.5, dtype=np.float32)
    tags[:, 0] = np.where(one.truth == 1, 0.9, 0.1)
    return tags
