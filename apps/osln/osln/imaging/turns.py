"""Quarter turns and mirror images in the axial plane: augmentation in training (paper, section 4.2) and views
of a patient whose answers are averaged (not in the paper).

Both turn alike, so each view is as good as any other; their errors are not the same, and the mean has fewer.
It costs as many passes as there are views.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from osln.imaging.grid import Grid
from osln.imaging.lung_column import LungColumn

ROTATION_PROBABILITY = 0.5
FLIP_PROBABILITY = 0.25


@dataclass(frozen=True)
class Turn:
    """A movement of a patch in the axial plane: quarter turns, then mirroring along the axes."""

    quarters: int
    flips: tuple[int, ...]
    """0 mirrors x, 1 mirrors y."""

    @classmethod
    def drawn(cls, rng: np.random.Generator, shape: Sequence[int]) -> "Turn":
        """90, 180 or 270 degrees with p .5; x and y mirrored with p .25 each (paper, section 4.2).

        A patch that is not square in the axial plane is only turned by 180 degrees.
        """
        quarters = int(rng.integers(1, 4)) if rng.random() < ROTATION_PROBABILITY else 0
        if shape[0] != shape[1] and quarters % 2:
            quarters = 2
        return cls(quarters, tuple(axis for axis in (0, 1) if rng.random() < FLIP_PROBABILITY))

    def of_patch(self, patch: np.ndarray) -> np.ndarray:
        """(C, x, y, z) moved."""
        turned = np.rot90(patch, self.quarters, axes=(1, 2))
        return np.ascontiguousarray(np.flip(turned, [axis + 1 for axis in self.flips]))

    def of_box(self, box: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """(3, 2) faces of a box in a patch of that shape (x, y, z), moved with the patch."""
        x, y, z = box
        width, depth = shape[:2]
        for _ in range(self.quarters):
            # A quarter turn takes y, counted from its end, to x, and x to y.
            x, y = depth - y[::-1], x
            width, depth = depth, width
        x = width - x[::-1] if 0 in self.flips else x
        y = depth - y[::-1] if 1 in self.flips else y
        return np.stack([x, y, z])


TURNS = tuple(Turn(quarters, flips) for quarters in (0, 1) for flips in ((), (0,), (1,), (0, 1)))
"""In the order in which they are taken: as it is, mirrored, turned by half, then the same after a quarter
turn."""


def augment(arrays: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Arrays (C, x, y, z) moved alike by a `Turn` drawn with the source of chance."""
    turn = Turn.drawn(rng, arrays[0].shape[1:])
    return tuple(turn.of_patch(array) for array in arrays)


def turned_column(column: LungColumn, turn: Turn) -> LungColumn:
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
