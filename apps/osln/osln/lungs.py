"""Where the lungs are: the horizontal center of the column that the networks look at."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from osln.grid import Grid, Volume

AIR_HU = -400.0
SMALLEST_LUNG_MM3 = 1e5
SEARCH_SPACING_MM = 4.0


@dataclass(frozen=True)
class LungCenter:
    """Center of the lungs.

    Attributes:
        center_mm: (3,) RAS mm.
        from_lungs: False if no lung was found and the center of the body, or of the field, stands in.
    """

    center_mm: np.ndarray
    from_lungs: bool


def find_lung_center(ct: Volume) -> LungCenter:
    """Center of mass of the lungs, found by threshold and connected components (no download, no model).

    The paper centers its inference windows on the lung masks of a trained network (section 4.2). Only
    the center is needed, so air inside the body does: components of voxels below -400 HU that do not
    reach the sides of the field (that air is outside the patient) and hold at least 100 ml. It is
    searched on every n-th voxel, about 4 mm apart.

    Args:
        ct: CT in HU.

    Returns:
        The lungs' center; without lungs in the field that of the tissue, without tissue the field's.
    """
    step = np.maximum(np.floor(SEARCH_SPACING_MM / ct.grid.spacing_mm).astype(int), 1)
    hu = np.ascontiguousarray(ct.array[tuple(slice(None, None, n) for n in step)])
    affine = ct.grid.affine.copy()
    affine[:3, :3] = affine[:3, :3] * step
    grid = Grid(hu.shape, affine)

    air = hu < AIR_HU
    parts, count = ndimage.label(air)
    sizes = np.bincount(parts.ravel(), minlength=count + 1) * grid.voxel_mm3
    outside = np.unique(np.concatenate([parts[[0, -1]].ravel(), parts[:, [0, -1]].ravel()]))
    sizes[outside] = 0.0
    sizes[0] = 0.0
    large = sizes >= SMALLEST_LUNG_MM3
    if large.any():
        return LungCenter(_center_mm(large[parts], grid), from_lungs=True)
    return LungCenter(_center_mm(~air if not air.all() else air, grid), from_lungs=False)


def _center_mm(mask: np.ndarray, grid: Grid) -> np.ndarray:
    return grid.index_to_mm(np.array(ndimage.center_of_mass(mask)))
