"""Signed distance to the primary tumor and the zones that it defines (paper, section 3.1, Eq. 1)."""

import numpy as np
import SimpleITK as sitk

from osln.imaging.grid import mask_box
from osln.rows.experiments import PROXIMAL_MM

LIMIT_MM = 100.0


def tumor_distance_mm(tumor: np.ndarray, spacing_mm: np.ndarray, limit_mm: float = LIMIT_MM) -> np.ndarray:
    """Euclidean distance of each voxel center to the tumor's boundary, negative inside the tumor.

    The boundary are the tumor voxels that have a 26-neighbor outside the tumor; on them the distance
    is 0. Computed by Maurer's algorithm as ITK implements it, as the paper does. Beyond `limit_mm` the
    exact value does not matter, so only the tumor's box with that margin is computed.

    Args:
        tumor: (x, y, z) bool, not empty.
        spacing_mm: (3,) voxel size.
        limit_mm: Distances are clipped to +- this value; must exceed the 70 mm of the zones.

    Returns:
        (x, y, z) float32 in mm.

    Raises:
        ValueError: If the tumor is empty.
    """
    if not tumor.any():
        raise ValueError(
            "the tumor mask is empty: contour the primary tumor before measuring distances to it"
        )
    spacing_mm = np.asarray(spacing_mm, dtype=np.float64)
    start, stop = mask_box(tumor)
    margin = np.ceil(limit_mm / spacing_mm).astype(int) + 1
    low, high = start - margin, stop + margin
    inner_low, inner_high = np.maximum(low, 0), np.minimum(high, tumor.shape)
    part = tuple(slice(a, b) for a, b in zip(inner_low, inner_high, strict=True))
    image = sitk.GetImageFromArray(tumor[part].astype(np.uint8).T)
    image.SetSpacing(spacing_mm.tolist())
    distance = sitk.SignedMaurerDistanceMap(
        image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    result = np.full(tumor.shape, limit_mm, dtype=np.float32, order="F")
    result[part] = np.clip(sitk.GetArrayViewFromImage(distance).T, -limit_mm, limit_mm)
    return result


def zone_mask(distance_mm: np.ndarray, zone: str) -> np.ndarray:
    """Voxels of a zone: "proximal" (distance <= 70 mm), "distal" (> 70 mm) or "all".

    Args:
        distance_mm: (x, y, z) from `tumor_distance_mm`.
        zone: Name of the zone.
    """
    if zone == "proximal":
        return distance_mm <= PROXIMAL_MM
    if zone == "distal":
        return distance_mm > PROXIMAL_MM
    if zone == "all":
        return np.ones(distance_mm.shape, dtype=bool)
    raise ValueError(f"unknown zone {zone!r}: expected proximal, distal or all")
