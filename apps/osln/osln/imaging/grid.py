"""Voxel grids in patient space: the only place where geometry happens.

Arrays are (x, y, z) in the closest-to-RAS axes order, coordinates are RAS+ millimeters as in NIfTI.
A file keeps its own axes order (`Volume.file_grid`); it is crossed exactly once on reading and once
on writing, by exact flips and permutations.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from isal import igzip
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from scipy import ndimage

from osln.files.images import nifti_bytes, read_voxels, split_suffix, write_atomically

GEOMETRY_TOLERANCE_MM = 1e-2
_FWHM = 2 * float(np.sqrt(2 * np.log(2)))
"""Full width at half maximum of a Gaussian of SD 1."""
_REACH = 3.0
"""SDs to which the filter before a change of voxel size reaches."""


@dataclass(frozen=True)
class Grid:
    """Shape and placement of a voxel array.

    >>> grid = Grid((4, 4, 2), np.diag([2.0, 2.0, 5.0, 1.0]))
    >>> grid.spacing_mm.tolist(), grid.index_to_mm([1, 0, 1]).tolist()
    ([2.0, 2.0, 5.0], [2.0, 0.0, 5.0])

    Args:
        shape: Voxels along x, y, z.
        affine: (4, 4) matrix from voxel index (of voxel centers) to RAS mm. May be oblique, not sheared.

    Raises:
        ValueError: If the axes are not perpendicular or a voxel has no size.
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "affine", np.array(self.affine, dtype=np.float64))
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"a grid has three axes of at least one voxel, got shape {self.shape}")
        axes = self.affine[:3, :3]
        lengths = np.linalg.norm(axes, axis=0)
        if not np.isfinite(self.affine).all() or lengths.min() <= 0:
            raise ValueError(
                f"voxel sizes must be positive and finite, got the affine {self.affine.tolist()}"
            )
        cosines = axes / lengths
        if np.abs(cosines.T @ cosines - np.eye(3)).max() > 1e-3:
            raise ValueError(
                "the image axes are sheared (gantry tilt?); resample the image to perpendicular axes first"
            )

    @property
    def spacing_mm(self) -> np.ndarray:
        """(3,) distance of neighboring voxel centers along x, y, z."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def direction(self) -> np.ndarray:
        """(3, 3) unit vectors of the voxel axes, in columns."""
        return self.affine[:3, :3] / self.spacing_mm

    @property
    def voxel_mm3(self) -> float:
        return float(np.prod(self.spacing_mm))

    def index_to_mm(self, index: np.ndarray) -> np.ndarray:
        """RAS mm (..., 3) of voxel indices (..., 3); fractions allowed."""
        return np.asarray(index) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def mm_to_index(self, mm: np.ndarray) -> np.ndarray:
        """Fractional voxel indices (..., 3) of RAS mm (..., 3)."""
        return (np.asarray(mm) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T

    def crop(self, start: np.ndarray | tuple[int, ...], shape: np.ndarray | tuple[int, ...]) -> "Grid":
        """The part of `shape` voxels that begins at voxel `start` (which may lie outside)."""
        affine = self.affine.copy()
        affine[:3, 3] = self.index_to_mm(np.asarray(start))
        return Grid(tuple(int(n) for n in shape), affine)

    def resampled(self, spacing_mm: tuple[float, float, float]) -> "Grid":
        """The grid of another spacing with the same axes and first voxel, that ends within this field."""
        step = np.asarray(spacing_mm, dtype=np.float64)
        extent = (np.asarray(self.shape) - 1) * self.spacing_mm
        shape = np.floor(extent / step + 1e-4).astype(int) + 1
        affine = self.affine.copy()
        affine[:3, :3] = self.direction * step
        return Grid(tuple(shape), affine)

    def matches(self, other: "Grid", tolerance_mm: float = GEOMETRY_TOLERANCE_MM) -> bool:
        """Whether both have one shape and no voxel corner apart by more than `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        corners = _corners(self.shape)
        return bool(np.abs(self.index_to_mm(corners) - other.index_to_mm(corners)).max() <= tolerance_mm)

    def box_of(self, other: "Grid", margin: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """First and past-the-last voxel (3,) of this grid around `other`, clipped; empty if apart."""
        index = self.mm_to_index(other.index_to_mm(_corners(other.shape)))
        shape = np.asarray(self.shape)
        start = np.clip(np.floor(index.min(axis=0)).astype(int) - margin, 0, shape)
        stop = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1 + margin, 0, shape)
        return start, np.maximum(stop, start)


@dataclass(frozen=True)
class Volume:
    """An image: voxels in closest-RAS order on `grid`, and the grid in the file's own axes order."""

    array: np.ndarray
    grid: Grid
    file_grid: Grid


def canonical(array: np.ndarray, file_grid: Grid) -> Volume:
    """The volume of voxels that lie in a file's axes order; exact flips and permutations, no copy."""
    orientation = io_orientation(file_grid.affine)
    turned = apply_orientation(array, orientation)
    affine = file_grid.affine @ inv_ornt_aff(orientation, file_grid.shape)
    return Volume(turned, Grid(turned.shape, affine), file_grid)


def in_file_order(array: np.ndarray, grid: Grid, file_grid: Grid) -> np.ndarray:
    """Voxels of `grid` in the axes order of `file_grid`; both must describe the same voxels.

    Raises:
        ValueError: If the grids differ by more than flips and permutations of the axes.
    """
    turn = ornt_transform(io_orientation(grid.affine), io_orientation(file_grid.affine))
    turned = apply_orientation(array, turn)
    if not Grid(turned.shape, grid.affine @ inv_ornt_aff(turn, grid.shape)).matches(file_grid):
        raise ValueError(
            f"the array's grid (shape {grid.shape}, spacing {np.round(grid.spacing_mm, 3)} mm) is not the "
            f"file's grid (shape {file_grid.shape}, spacing {np.round(file_grid.spacing_mm, 3)} mm)"
        )
    return turned


def grid_in_file_order(grid: Grid, file_grid: Grid) -> Grid:
    """A part of a volume's grid (`Grid.crop`) in the axes order of the volume's file."""
    turn = ornt_transform(io_orientation(grid.affine), io_orientation(file_grid.affine))
    shape = np.empty(3, int)
    shape[turn[:, 0].astype(int)] = grid.shape
    return Grid(tuple(shape), grid.affine @ inv_ornt_aff(turn, grid.shape))


def read_volume(path: str | Path) -> Volume:
    """Reads NIfTI, NRRD or MetaImage; integers stay integers, scaled or other values become float32.

    Raises:
        ValueError: If `osln.files.images.read_voxels` refuses the file or its axes are sheared.
    """
    array, affine = read_voxels(path)
    try:
        file_grid = Grid(array.shape, affine)
    except ValueError as error:
        raise ValueError(f"{Path(path).name}: {error}") from error
    return canonical(array, file_grid)


def write_volume(path: str | Path, array: np.ndarray, grid: Grid, file_grid: Grid | None = None) -> None:
    """Writes NIfTI atomically: a reader sees the old file or the new one, never half of it.

    Args:
        path: Ends with .nii.gz or .nii; its folder exists.
        array: Voxels on `grid`; types as in `osln.files.images.nifti_bytes`.
        grid: Where the voxels lie.
        file_grid: If given, the axes order in which the voxels are stored.
    """
    path = Path(path)
    if split_suffix(path)[1] not in (".nii.gz", ".nii"):
        raise ValueError(f"expected a path that ends with .nii.gz or .nii, got {path.name}")
    target = file_grid or grid
    data = nifti_bytes(in_file_order(array, grid, target), target.affine)
    write_atomically(path, igzip.compress(data) if path.name.endswith(".gz") else data)


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
    image = sitk.GetImageFromArray(_for_itk(part).T)
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


def mask_box(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and past-the-last voxel (3,) of the true voxels.

    Raises:
        ValueError: If the mask is empty.
    """
    flat = mask.any(axis=2)
    lines = [np.flatnonzero(line) for line in (flat.any(axis=1), flat.any(axis=0), mask.any(axis=(0, 1)))]
    if not len(lines[0]):
        raise ValueError("an empty mask has no bounding box")
    return np.array([line[0] for line in lines]), np.array([line[-1] + 1 for line in lines])


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
    wanted = array.dtype.newbyteorder("=")
    if kind == "b":
        wanted = np.dtype(np.uint8)
    elif kind == "f" and size not in (4, 8):
        wanted = np.dtype(np.float32)
    return array.astype(wanted, copy=False)


def _corners(shape: tuple[int, ...]) -> np.ndarray:
    last = np.asarray(shape) - 1
    return np.array([[i, j, k] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])])
