"""Polygons to masks by the even-odd rule, in the slowest and plainest way, for tests."""

import numpy as np

from small.dicom import FLIP


def filled(polygons, shape) -> np.ndarray:
    """(i, j) bool: centers that lie inside an odd number of times."""
    i, j = (axis.astype(float) for axis in np.indices(shape))
    inside = np.zeros(shape, dtype=bool)
    for polygon in polygons:
        for (ia, ja), (ib, jb) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if ja != jb:
                crosses = (ja > j) != (jb > j)
                inside ^= crosses & (i < (ib - ia) * (j - ja) / (jb - ja) + ia)
    return inside


def regions_of(dataset, affine, shape) -> dict[str, np.ndarray]:
    """Mask (i, j, k) of each region of an RTSTRUCT on voxels of the affine (RAS mm)."""
    names = {int(item.ROINumber): item.ROIName for item in dataset.StructureSetROISequence}
    masks = {}
    for item in dataset.ROIContourSequence:
        mask = np.zeros(shape, dtype=bool)
        for contour in item.get("ContourSequence", []):
            points = np.array(contour.ContourData, float).reshape(-1, 3) * FLIP
            index = (points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
            k = round(float(index[:, 2].mean()))
            assert np.abs(index[:, 2] - k).max() < 1e-3
            mask[:, :, k] ^= filled([index[:, :2]], shape[:2])
        masks[names[int(item.ReferencedROINumber)]] = mask
    return masks


def area(polygon) -> float:
    i, j = np.asarray(polygon).T
    return 0.5 * abs(float(i @ np.roll(j, -1) - j @ np.roll(i, -1)))
