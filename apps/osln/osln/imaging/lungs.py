"""Where the lungs are: the horizontal center of the column that the networks look at."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from osln.imaging.grid import Grid, Volume, mask_box

BELOW_TISSUE_HU = -400.0
SMALLEST_LUNG_MM3 = 1e5
PARENCHYMA_HU = (-950.0, -500.0)
LEAST_PARENCHYMA = 0.5
"""Share of its voxels that makes air a lung and not gas in the bowel; measured in docs/method.md."""
SEARCH_SPACING_MM = 4.0
IN_SLICE = np.zeros((3, 3, 3), dtype=bool)
"""Neighbors within an axial slice."""
IN_SLICE[1, :, 1] = IN_SLICE[:, 1, 1] = True


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
    reach the sides of the field (that air is outside the patient), hold at least 100 ml, and are not bare
    gas, as in the bowel: at least half of their voxels lie between -950 and -500 HU. Where none is left,
    because the airways lead to an open mouth in the field, outside air is told slice by slice. It is
    searched on every n-th voxel, about 4 mm apart.

    Args:
        ct: CT in HU.

    Returns:
        The lungs' center; without lungs in the field that of the tissue, without tissue the field's.
    """
    step = np.maximum(np.floor(SEARCH_SPACING_MM / ct.grid.spacing_mm).astype(int), 1)
    hu = np.asfortranarray(ct.array[tuple(slice(None, None, n) for n in step)])
    air = hu < BELOW_TISSUE_HU
    affine = ct.grid.affine.copy()
    affine[:3, :3] = affine[:3, :3] * step
    grid = Grid(air.shape, affine)

    lungs = lungs_in(air, hu, grid)
    if lungs.any():
        return LungCenter(_center_mm(lungs, grid), from_lungs=True)
    return LungCenter(_center_mm(~air if not air.all() else air, grid), from_lungs=False)


def lungs_in(air: np.ndarray, hu: np.ndarray, grid: Grid) -> np.ndarray:
    """Components of `air` (x, y, z) bool that are lungs, as `find_lung_center` tells; may be empty.

    Args:
        air: Voxels below `BELOW_TISSUE_HU` that may be lungs.
        hu: The CT on the same grid.
        grid: Of both.
    """
    lungs = np.zeros(air.shape, dtype=bool)
    if air.all():
        return lungs
    # All air beyond the tissue's box, and what that leads into, reaches the sides: a layer of it is enough.
    layer = np.array([1, 1, 0])
    first, past = mask_box(~air)
    low, high = np.maximum(first - layer, 0), past + layer
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    air, hu = np.ascontiguousarray(air[box]), np.ascontiguousarray(hu[box])
    found = _lungs(inside_air(air, ndimage.generate_binary_structure(3, 1)), hu, grid)
    lungs[box] = found if found.any() else _lungs(inside_air(air, IN_SLICE), hu, grid)
    return lungs


def inside_air(air: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
    """Air (x, y, z) bool whose connected component does not reach the first or last voxel along x or y."""
    parts, count = ndimage.label(air, neighbors)
    inside = np.ones(count + 1, dtype=bool)
    inside[0] = False
    inside[parts[[0, -1]]] = False
    inside[parts[:, [0, -1]]] = False
    return inside[parts]


def _lungs(air: np.ndarray, hu: np.ndarray, grid: Grid) -> np.ndarray:
    """Components that are large enough for a lung and hold more than bare gas."""
    parts, count = ndimage.label(air)
    inside = parts[air]
    voxels = np.bincount(inside, minlength=count + 1)
    low, high = PARENCHYMA_HU
    tissue = np.bincount(inside[(hu[air] >= low) & (hu[air] <= high)], minlength=count + 1)
    lungs = (voxels * grid.voxel_mm3 >= SMALLEST_LUNG_MM3) & (tissue >= LEAST_PARENCHYMA * voxels)
    lungs[0] = False
    return lungs[parts]


def _center_mm(mask: np.ndarray, grid: Grid) -> np.ndarray:
    return grid.index_to_mm(np.argwhere(mask).mean(axis=0))
