"""Images and label maps on another grid."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from osln.imaging.grid import Grid

_FWHM = 2 * float(np.sqrt(2 * np.log(2)))
"""Full width at half maximum of a Gaussian of SD 1."""
_REACH = 3.0
"""SDs to which the filter before a change of voxel size reaches."""


def resample(
    array: np.ndarray,
    source: Grid,
    target: Grid,
    *,
    nearest: bool = False,
    fill: float = 0.0,
    prefilter: bool = False,
) -> np.ndarray:
    """Values of `array` at the voxel centers of `target`.

    Only the part of the source that the target covers is touched (crop before you resample).

    >>> source, target = (Grid((n, 1, 1), np.diag([size, 1, 1, 1])) for n, size in ((3, 2.0), (5, 1.0)))
    >>> resample(np.array([0.0, 2.0, 4.0]).reshape(3, 1, 1), source, target).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]

    Args:
        array: (x, y, z) on `source`.
        source: Grid of `array`.
        target: Wanted grid; may be oblique to the source and reach beyond it.
        nearest: For labels: keeps the dtype. Otherwise trilinear interpolation to float32.
        fill: Value outside the source.
        prefilter: Blurs by `prefilter_sigma` first, so that noise and detail finer than the target's voxels
            are averaged instead of sampled; nothing is blurred along axes whose voxels do not grow. Not for
            labels.

    Returns:
        (x, y, z) of `target.shape`; Fortran-ordered.
    """
    dtype = array.dtype if nearest else np.dtype(np.float32)
    sigma = prefilter_sigma(source, target) if prefilter and not nearest else np.zeros(3)
    start, stop = source.box_of(target, margin=1 + int(np.ceil(_REACH * sigma.max())))
    if (stop <= start).any():
        return np.full(target.shape, fill, dtype=dtype, order="F")
    part = array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    if sigma.any():
        part = ndimage.gaussian_filter(part, sigma, output=np.float32, mode="nearest", truncate=_REACH)
    # SimpleITK takes three times as long to read an array that runs backward.
    image = sitk.GetImageFromArray(np.ascontiguousarray(_for_itk(part).T))
    crop = source.crop(start, stop - start)
    image.SetSpacing(crop.spacing_mm.tolist())
    image.SetOrigin(crop.affine[:3, 3].tolist())
    image.SetDirection(crop.direction.ravel().tolist())
    result = sitk.Resample(
        image,
        target.shape,
        sitk.Transform(),
        sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear,
        target.affine[:3, 3].tolist(),
        target.spacing_mm.tolist(),
        target.direction.ravel().tolist(),
        float(fill),
        image.GetPixelID() if nearest else sitk.sitkFloat32,
    )
    return sitk.GetArrayFromImage(result).T.astype(dtype, copy=False)


def prefilter_sigma(source: Grid, target: Grid) -> np.ndarray:
    """SD of the Gaussian that belongs to a change of voxel size, in voxels of the source along its axes.

    A voxel is taken for a Gaussian whose full width at half maximum is its size; the filter has the width
    that makes the source's voxel as wide as the target's.

    >>> fine, coarse = (Grid((9, 9, 9), np.diag([size, 1.0, 3.0, 1.0])) for size in (1.0, 2.0))
    >>> prefilter_sigma(fine, coarse).round(4).tolist(), prefilter_sigma(coarse, fine).tolist()
    ([0.7355, 0.0, 0.0], [0.0, 0.0, 0.0])

    Returns:
        (3,); 0 along axes where the target's voxel, as seen along them, is not larger.

    Reference:
        Cardoso et al. 2015, "Scale factor point spread function matching", MICCAI.
    """
    seen = np.linalg.norm(source.direction.T @ (target.direction * target.spacing_mm), axis=1)
    growth = seen / source.spacing_mm
    # A thousandth is rounding of the header.
    return np.where(growth > 1.001, np.sqrt(np.maximum(growth**2 - 1, 0.0)) / _FWHM, 0.0)


def paste_labels(labels: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """A label map on another grid, each label with its volume, place and a smooth surface.

    Each label's mask is interpolated linearly, which gives every voxel of the target a share in it; the
    shares add up to the label's volume. It takes that many voxels, those with the largest shares. A fixed
    level of one half would do the same to large objects, but cut the corners of small ones: a single voxel
    would keep a quarter of its volume.

    Args:
        labels: (x, y, z) integers on `source`, 0 = background.
        source: Grid of `labels`.
        target: Wanted grid, e.g. that of the CT.

    Returns:
        Same dtype, `target.shape`. A label that falls between the target's voxels keeps the voxel nearest
        to its center, so that no object inside the target's field is lost; where two labels claim a voxel,
        the smaller value keeps it.
    """
    pasted = np.zeros(target.shape, dtype=labels.dtype, order="F")
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        start = np.array([part.start for part in box]) - 1
        shape = np.array([part.stop for part in box]) + 1 - start
        mask = np.pad((labels[box] == value).astype(np.uint8), 1)
        grid = source.crop(start, shape)
        low, high = target.box_of(grid)
        if (high <= low).any():
            continue
        share = resample(mask, grid, target.crop(low, high - low))
        inside = _largest(share, round(float(share.sum(dtype=np.float64))))
        if not inside.any():
            center = grid.index_to_mm(np.array(ndimage.center_of_mass(mask)))
            nearest = np.round(target.mm_to_index(center)).astype(int) - low
            if (nearest < 0).any() or (nearest >= high - low).any():
                continue
            inside[tuple(nearest)] = True
        region = pasted[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        region[inside & (region == 0)] = value
    return pasted


def _largest(share: np.ndarray, count: int) -> np.ndarray:
    """The voxels of the `count` largest values; equal ones are all in or all out, whichever is nearer."""
    if count == 0:
        return np.zeros(share.shape, dtype=bool)
    level = np.partition(share, -count, axis=None)[-count]
    more, at_least = share > level, share >= level
    return at_least if at_least.sum() - count <= count - more.sum() else more


def _for_itk(array: np.ndarray) -> np.ndarray:
    """The array in a type that ITK knows: processor's byte order, no bool, no half or long floats."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return array.view(np.uint8)
    wanted = array.dtype.newbyteorder("=")
    if kind == "f" and size not in (4, 8):
        wanted = np.dtype(np.float32)
    return array.astype(wanted, copy=False)
