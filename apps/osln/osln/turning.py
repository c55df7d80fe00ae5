"""Answers averaged over turned and mirrored views of a patient (test-time augmentation). Not in the paper.

Training turns patches in the same ways (`sampling.Turn`), so each view is as good as any other; their
errors are not the same, and the mean has fewer. It costs as many passes as there are views."""

from dataclasses import replace

import numpy as np

from osln.classification import CandidateScorer
from osln.column import Column
from osln.grid import Grid
from osln.inference import Predictor
from osln.patches import Patches
from osln.sampling import Turn

TURNS = tuple(Turn(quarters, flips) for quarters in (0, 1) for flips in ((), (0,), (1,), (0, 1)))
"""In the order in which they are taken: as it is, mirrored, turned by half, then the same after a quarter
turn."""


def mean_probability(network: Predictor, column: Column, turns: int) -> np.ndarray:
    """(x, y, z) float32 mean probability of a network over the first `turns` views of a patient.

    Args:
        network: Of stage one.
        column: As the network would see it unturned.
        turns: 1 to 8.

    Raises:
        ValueError: As `Predictor.probability`.
    """
    if turns == 1:
        return network.probability(column)
    total = np.zeros(column.ct_hu.shape, dtype=np.float32)
    for turn in TURNS[:turns]:
        total += _turned_back(network.probability(turned_column(column, turn)), turn)
    return total / np.float32(turns)


def mean_scores(scorer: CandidateScorer, patches: Patches, tags: np.ndarray | None, turns: int) -> np.ndarray:
    """(n,) float32 mean score of n candidates over the first `turns` views of their patches.

    Tags and context are not turned: they say where in the body a candidate is.

    Args:
        scorer: Network of stage two.
        patches: As cut.
        tags: (n, 171) probabilities; only for a network that reads tags.
        turns: 1 to 8.

    Raises:
        ValueError: As `CandidateScorer.scores`.
    """
    if turns == 1:
        return scorer.scores(patches, tags)
    views = [scorer.scores(turned_patches(patches, turn), tags) for turn in TURNS[:turns]]
    return np.mean(views, axis=0, dtype=np.float32)


def turned_column(column: Column, turn: Turn) -> Column:
    """The column of a patient who is turned; masks that networks do not see are left out."""
    arrays = {
        name: None if image is None else turn.of_patch(image[None])[0]
        for name, image in (
            ("ct_hu", column.ct_hu),
            ("pet_suv", column.pet_suv),
            ("distance_mm", column.distance_mm),
            ("body", column.body),
        )
    }
    grid = Grid(arrays["ct_hu"].shape, column.grid.affine)  # type: ignore[union-attr]
    return replace(column, grid=grid, tumor=None, nodes=None, **arrays)  # type: ignore[arg-type]


def turned_patches(patches: Patches, turn: Turn) -> Patches:
    """The patches turned with their boxes."""
    shape = patches.ct_hu.shape[1:]
    boxes = [turn.of_box(box, shape) for box in patches.boxes]
    return replace(
        patches,
        ct_hu=turn.of_patch(patches.ct_hu),
        pet_suv=None if patches.pet_suv is None else turn.of_patch(patches.pet_suv),
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 3, 2),
    )


def _turned_back(prob: np.ndarray, turn: Turn) -> np.ndarray:
    return np.rot90(np.flip(prob, turn.flips), -turn.quarters, axes=(0, 1))
