"""A bright ball in fat, which anybody can outline: what clicks are tried on."""

import numpy as np

from osln.clicks.clicks import Clicks
from osln.clicks.outline import Look
from osln.imaging.grid import Grid, Volume, canonical

CENTER = np.array([20, 22, 10])
RADIUS_MM = 8.0
SPACING_MM = np.array([2.0, 2.0, 4.0])
ORIGIN_MM = np.array([100.0, 60.0, -300.0])
AFFINE_LPS = np.array(
    [[-2.0, 0, 0, ORIGIN_MM[0]], [0, -2.0, 0, ORIGIN_MM[1]], [0, 0, 4.0, ORIGIN_MM[2]], [0, 0, 0, 1]]
)
"""Of a file whose x runs to the left and y to the back, as in most CTs."""
SHAPE = (48, 44, 21)


def ball(center: np.ndarray = CENTER, radius_mm: float = RADIUS_MM) -> np.ndarray:
    """(x, y, z) bool in the file's axes order."""
    index = np.indices(SHAPE).reshape(3, -1).T
    away = np.linalg.norm((index - center) * SPACING_MM, axis=1)
    return (away <= radius_mm).reshape(SHAPE)


def ct_array() -> np.ndarray:
    """Fat of -100 HU with the ball of 40 HU in it, and air in the last rows along y."""
    array = np.where(ball(), 40, -100).astype(np.int16)
    array[:, -6:] = -1000
    return array


def ct() -> Volume:
    return canonical(ct_array(), Grid(SHAPE, AFFINE_LPS))


def in_canonical_order(mask: np.ndarray) -> np.ndarray:
    """A mask of the file's axes order on the CT's grid."""
    return canonical(mask, Grid(SHAPE, AFFINE_LPS)).array


def mm(index: np.ndarray) -> np.ndarray:
    """RAS mm of voxels of the file."""
    return np.asarray(index) @ AFFINE_LPS[:3, :3].T + AFFINE_LPS[:3, 3]


def beside(i: float, j: float, k: float) -> np.ndarray:
    """Index (3,) so many voxels from the ball's middle."""
    return CENTER + np.array([i, j, k])


def clicks(inside: list, outside: list = ()) -> Clicks:
    """Clicks at voxels of the file."""
    return Clicks(mm(np.array(inside)).reshape(-1, 3), mm(np.array(outside).reshape(-1, 3)).reshape(-1, 3))


class Bright:
    """A method that finds what is bright, wherever it is.

    Args:
        level_hu: On the outline.
    """

    looks = (Look(2.0), Look(4.0, np.inf))
    size = 30

    def __init__(self, level_hu: float = -30.0) -> None:
        self.level_hu = level_hu

    def __call__(self, patch, clicks):
        return np.clip(0.5 + (patch.ct_hu - self.level_hu) / 140.0, 0.0, 1.0)
