"""A CT to plant into."""

from functools import cache

from osln.imaging.grid import Grid, Volume
from osln.phantom import make_phantom


@cache
def given_ct() -> Volume:
    """A phantom's CT with its origin elsewhere stands for a real one."""
    made = make_phantom(3, field="body", spacing_mm=(4.0, 4.0, 5.0))
    affine = made.affine.copy()
    affine[:3, 3] += (50.0, -200.0, 700.0)
    grid = Grid(made.ct_hu.shape, affine)
    return Volume(made.ct_hu, grid, grid)
