"""A body of ellipses in patient millimeters, painted onto any grid: for tests of lungs and column."""

import numpy as np

from osln.imaging.grid import Grid, Volume, canonical

BODY_MM = np.array([25.0, -15.0])
"""Center of the body in x and y."""
LUNGS_MM = np.array([[-40.0, -5.0, 10.0], [90.0, -5.0, 10.0]])
"""Centers of the right and the left lung: their middle (25, -5) is not the body's, nor the field's."""
LUNG_RADII_MM = np.array([35.0, 45.0, 60.0])


def millimeters(grid: Grid) -> np.ndarray:
    """(x, y, z, 3) RAS mm of every voxel center."""
    return grid.index_to_mm(np.moveaxis(np.indices(grid.shape), 0, -1))


def ball(grid: Grid, center_mm, radius_mm) -> np.ndarray:
    """(x, y, z) bool of a ball, or of an ellipsoid if three radii are given."""
    return (((millimeters(grid) - center_mm) / radius_mm) ** 2).sum(axis=-1) <= 1


def body_hu(grid: Grid, *, lungs: bool = True) -> np.ndarray:
    """(x, y, z) int16: air, a cylinder of tissue along z, two lungs."""
    hu = np.full(grid.shape, -1000, dtype=np.int16)
    in_plane = millimeters(grid)[..., :2]
    hu[(((in_plane - BODY_MM) / (150.0, 100.0)) ** 2).sum(axis=-1) <= 1] = 40
    if lungs:
        for center in LUNGS_MM:
            hu[ball(grid, center, LUNG_RADII_MM)] = -800
    return hu


def on_file(array_of, shape, affine) -> Volume:
    """The volume as it is read from a file of this shape and affine; `array_of` paints a grid."""
    file_grid = Grid(shape, affine)
    return canonical(array_of(file_grid), file_grid)
