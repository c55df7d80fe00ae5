"""The shifts from which a rigid alignment starts: the right one goes first wherever the images lie."""

import numpy as np
import pytest

from osln.imaging.grid import Grid
from osln.registration.starts import starts_mm
from osln.registration.working import WorkingImage

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
SHAPE = (48, 40, 60)


def image(shift_mm=(0.0, 0.0, 0.0)) -> WorkingImage:
    """A body with three unlike organs, whose frame lies `shift_mm` off."""
    i, j, k = np.indices(SHAPE)
    body = ((i - 24) / 20) ** 2 + ((j - 20) / 15) ** 2 <= 1
    values = np.where(body, 40.0, -1000.0)
    for center, radius, hu in (((16, 20, 15), 7, -800), ((32, 18, 35), 6, 250), ((22, 26, 48), 5, -300)):
        values[((i - center[0]) ** 2 + (j - center[1]) ** 2 + (k - center[2]) ** 2) <= radius**2] = hu
    affine = AFFINE.copy()
    affine[:3, 3] += shift_mm
    return WorkingImage(values.astype(np.float32), Grid(SHAPE, affine), body, np.zeros(SHAPE, bool))


@pytest.mark.parametrize("shift", [(0, 0, 0), (0, 0, 120), (-96, 60, 36), (400, -300, 700)])
def test_the_best_start_is_the_right_one_within_a_coarse_voxel(shift):
    first = starts_mm(image(), image(shift))[0]

    assert np.abs(first - shift).max() <= 12.0


def test_starts_lie_apart_and_are_the_same_in_a_repeated_run():
    starts = starts_mm(image(), image((0, 0, 60)))

    assert 1 <= len(starts) <= 4
    gaps = [np.linalg.norm(a - b) for n, a in enumerate(starts) for b in starts[:n]]
    assert min(gaps, default=40.0) >= 40.0
    assert np.array_equal(starts, starts_mm(image(), image((0, 0, 60))))
