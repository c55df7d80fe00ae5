"""Between our volumes (RAS, x first) and SimpleITK (LPS, z first): the only crossing of this package."""

import numpy as np
import SimpleITK as sitk

from osln.imaging.grid import Grid

RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])


def to_itk(array: np.ndarray, grid: Grid) -> sitk.Image:
    """The image of an array (x, y, z) of numbers on `grid`, in LPS."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetOrigin((RAS_TO_LPS * grid.affine[:3, 3]).tolist())
    image.SetDirection((RAS_TO_LPS[:, None] * grid.direction).ravel().tolist())
    return image


def resample_through(
    array: np.ndarray,
    source: Grid,
    target: Grid,
    transform: sitk.Transform,
    *,
    interpolator: int = sitk.sitkLinear,
    fill: float = 0.0,
) -> np.ndarray:
    """Values of `array` where `transform` maps the voxel centers of `target`.

    Args:
        array: (x, y, z) on `source`.
        source: Grid of `array`.
        target: Wanted grid.
        transform: Maps LPS points of the target's space to LPS points of the source's.
        interpolator: SimpleITK's number of an interpolator.
        fill: Value outside the source.

    Returns:
        (x, y, z) float32 of `target.shape`.
    """
    result = sitk.Resample(
        to_itk(array.astype(np.float32, copy=False), source),
        target.shape,
        transform,
        interpolator,
        (RAS_TO_LPS * target.affine[:3, 3]).tolist(),
        target.spacing_mm.tolist(),
        (RAS_TO_LPS[:, None] * target.direction).ravel().tolist(),
        float(fill),
        sitk.sitkFloat32,
    )
    return sitk.GetArrayFromImage(result).T


def map_points(transform: sitk.Transform, points_mm: np.ndarray) -> np.ndarray:
    """RAS points (N, 3) through a transform of LPS points, in RAS again."""
    mapped = [transform.TransformPoint((RAS_TO_LPS * point).tolist()) for point in np.atleast_2d(points_mm)]
    return np.array(mapped).reshape(-1, 3) * RAS_TO_LPS


def displacement_mm(transform: sitk.Transform, grid: Grid) -> np.ndarray:
    """(3, x, y, z) float64 RAS mm by which `transform` moves the voxel centers of `grid`."""
    field = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat64,
        grid.shape,
        (RAS_TO_LPS * grid.affine[:3, 3]).tolist(),
        grid.spacing_mm.tolist(),
        (RAS_TO_LPS[:, None] * grid.direction).ravel().tolist(),
    )
    return sitk.GetArrayFromImage(field).T * RAS_TO_LPS[:, None, None, None]
