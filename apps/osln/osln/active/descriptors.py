"""What a case looks like before anything was learned or labeled: tumor, avid spots, body, field."""

import numpy as np
from scipy import ndimage

from osln.imaging.instances import CONNECTIVITY
from osln.imaging.lung_column import LungColumn

HOT_SUV = 2.5
HOT_ML = (0.1, 50.0)
"""Smaller is noise; larger are organs of high uptake: heart, liver, kidneys."""
AROUND_TUMOR_MM = 5.0
"""Uptake so close to the tumor is the tumor's."""
NAMES = (
    "tumor_x",
    "tumor_y",
    "tumor_z",
    "tumor_log_ml",
    "hot_spots",
    "hot_log_ml",
    "hot_suv",
    "hot_z",
    "body_cm2",
    "lung_share",
    "field_mm",
)
"""Of the numbers of a descriptor: places as shares of the body's box, volumes as log10 of mL."""


def descriptor(column: LungColumn) -> tuple[float, ...]:
    """The numbers of `NAMES`; NaN where the case lacks what a number is of.

    Args:
        column: As the networks see the case; its nodes are not looked at.
    """
    known = _body(column) | _tumor(column) | _hot_spots(column)
    return tuple(float(known.get(name, np.nan)) for name in NAMES)


def _body(column: LungColumn) -> dict[str, float]:
    spacing = np.asarray(column.grid.spacing_mm)
    inside = ndimage.binary_fill_holes(column.body.any(axis=2))
    slices = column.body.sum(axis=(0, 1)) * spacing[0] * spacing[1] / 100
    return {
        "body_cm2": float(np.median(slices)),
        "lung_share": float((~column.body & inside[:, :, None]).mean()),
        "field_mm": float(column.body.shape[2] * spacing[2]),
    }


def _tumor(column: LungColumn) -> dict[str, float]:
    if column.tumor is None or not column.tumor.any():
        return {}
    center = np.argwhere(column.tumor).mean(axis=0)
    volume = column.tumor.sum() * column.grid.voxel_mm3 / 1000
    x, y, z = _share_of_body(column, center)
    return {"tumor_x": x, "tumor_y": y, "tumor_z": z, "tumor_log_ml": float(np.log10(volume))}


def _hot_spots(column: LungColumn) -> dict[str, float]:
    if column.pet_suv is None:
        return {}
    hot = column.pet_suv >= HOT_SUV
    if column.distance_mm is not None:
        hot &= column.distance_mm > AROUND_TUMOR_MM
    parts, count = ndimage.label(hot, CONNECTIVITY)
    volumes = np.bincount(parts.ravel(), minlength=count + 1)[1:] * column.grid.voxel_mm3 / 1000
    spots = 1 + np.flatnonzero((volumes >= HOT_ML[0]) & (volumes <= HOT_ML[1]))
    if not len(spots):
        return {"hot_spots": 0.0}
    centers = np.array(ndimage.center_of_mass(hot, parts, spots))
    return {
        "hot_spots": float(np.sqrt(len(spots))),
        "hot_log_ml": float(np.log10(volumes[spots - 1].sum())),
        "hot_suv": float(ndimage.maximum(column.pet_suv, parts, spots).max()),
        "hot_z": float(_share_of_body(column, centers.mean(axis=0))[2]),
    }


def _share_of_body(column: LungColumn, index: np.ndarray) -> np.ndarray:
    """Where a place lies in the box of the body, 0 to 1 along each axis."""
    if not column.body.any():
        return np.full(3, np.nan)
    sides = [np.flatnonzero(column.body.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low = np.array([side[0] for side in sides])
    size = np.array([max(side[-1] - side[0], 1) for side in sides])
    shares: np.ndarray = (index - low) / size
    return shares
