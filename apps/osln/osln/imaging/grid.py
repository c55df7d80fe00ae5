"""Voxel grids in patient space: the only place where geometry happens.

Arrays are (x, y, z) in the closest-to-RAS axes order, coordinates are RAS+ millimeters as in NIfTI.
A file keeps its own axes order (`Volume.file_grid`); it is crossed exactly once on reading and once
on writing, by exact flips and permutations.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from isal import igzip
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from osln.files.images import nifti_bytes, read_voxels, split_suffix, write_atomically

GEOMETRY_TOLERANCE_MM = 1e-2


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


def as_stored(array: np.ndarray) -> np.ndarray:
    """The same voxels, flipped so that they run forward in memory: to look at all of them is faster there.

    >>> as_stored(np.arange(3)[::-1]).tolist()
    [0, 1, 2]
    """
    return array[tuple(slice(None, None, -1 if stride < 0 else 1) for stride in array.strides)]


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


def mask_box(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and past-the-last voxel (3,) of the true voxels.

    Raises:
        ValueError: If the mask is empty.
    """
    flat = as_stored(mask)
    plane = flat.any(axis=2)
    lines = [np.flatnonzero(line) for line in (plane.any(axis=1), plane.any(axis=0), flat.any(axis=(0, 1)))]
    if not len(lines[0]):
        raise ValueError("an empty mask has no bounding box")
    first, past = np.array([line[0] for line in lines]), np.array([line[-1] + 1 for line in lines])
    flipped = np.array(mask.strides) < 0
    return np.where(flipped, mask.shape - past, first), np.where(flipped, mask.shape - first, past)


def _corners(shape: tuple[int, ...]) -> np.ndarray:
    last = np.asarray(shape) - 1
    return np.array([[i, j, k] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])])


def grids_differ(label: Grid, ct: Grid) -> str:
    """Says what tells the grid of a label from that of its CT, and what to do."""

    def told(one: Grid) -> str:
        spacing, origin = np.round(one.spacing_mm, 4).tolist(), np.round(one.affine[:3, 3], 2).tolist()
        return f"shape {one.shape}, spacing {spacing} mm, first voxel at {origin} mm"

    apart = ""
    if label.shape == ct.shape:
        corners = _corners(ct.shape)
        farthest = np.abs(label.index_to_mm(corners) - ct.index_to_mm(corners)).max()
        apart = f", corners up to {farthest:.3g} mm apart"
    return (
        f"the label lies on another grid than the CT: the label has {told(label)}; the CT has "
        f"{told(ct)}{apart}; export the label on the CT's grid (in 3D Slicer: choose the CT as the reference "
        "volume)"
    )
