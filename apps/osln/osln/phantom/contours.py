"""A region of a DICOM RTSTRUCT as a mask on a CT, for planting into a planning CT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom

from osln.grid import Volume

_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def contour_mask(path: str | Path, roi: str, ct: Volume) -> np.ndarray:
    """Fill the closed planar contours of one region, even-odd, by voxel centers.

    Args:
        path: the RTSTRUCT file.
        roi: name of the region.
        ct: the CT; its slices must be the contours' planes.

    Returns:
        bool on the CT's grid.

    Raises:
        ValueError: if there is no such region or none of its contours lies in the CT.

    Reference: DICOM PS3.3 C.8.8.6 (ROI Contour Module).
    """
    structures = pydicom.dcmread(path)
    numbers = {str(r.ROIName): int(r.ROINumber) for r in structures.StructureSetROISequence}
    if roi not in numbers:
        raise ValueError(f"no region {roi!r} in {Path(path).name}; it has {', '.join(sorted(numbers))}")
    mask = np.zeros(ct.array.shape, bool)
    for item in structures.ROIContourSequence:
        if int(item.ReferencedROINumber) != numbers[roi]:
            continue
        for contour in getattr(item, "ContourSequence", []):
            points = np.array(contour.ContourData, float).reshape(-1, 3) * _LPS_TO_RAS
            index = ct.grid.mm_to_index(points)
            k = round(float(index[:, 2].mean()))
            if 0 <= k < mask.shape[2]:
                mask[:, :, k] ^= fill_polygon(index[:, :2], (mask.shape[0], mask.shape[1]))
    if not mask.any():
        raise ValueError(f"region {roi!r} of {Path(path).name} has no voxel in this CT")
    return mask


def fill_polygon(corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Voxels whose centers lie inside a closed polygon, by crossings of a ray along x.

    Args:
        corners: (N, 2) in voxel indices.
        shape: of the result.

    Returns:
        bool of that shape; fewer than 3 corners fill nothing.
    """
    inside = np.zeros(shape, bool)
    x = np.arange(shape[0])[:, None]
    y = np.arange(shape[1])[None, :]
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1 or len(corners) < 3:
            continue
        crosses = (y0 <= y) != (y1 <= y)
        inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside
