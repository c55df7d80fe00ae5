"""A real CT with what planting has to know of it: lungs, mediastinum, body and noise, found once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from osln.imaging.grid import Grid, Volume, mask_box
from osln.imaging.lungs import LEAST_PARENCHYMA, PARENCHYMA_HU
from osln.imaging.resampling import resample
from osln.phantom.findings.space import inner_boundary_mm
from osln.phantom.patient.scan import axes_affine

PLAN_SPACING_MM = (2.0, 2.0, 3.0)
"""Voxels of the grid on which places are looked for."""

_LUNG_HU = -500.0
_SMALLEST_LUNG_MM3 = 2e5
_SMALLEST_SHARE = 0.25


@dataclass(frozen=True)
class RealCt:
    """A real CT in local millimeters: along the voxel axes, from the first voxel's center on.

    Tissues are told apart on a coarser grid of block means, so that neither the noise nor the number of thin
    slices decides what is fat.

    Attributes:
        ct: as it was given.
        local: its grid in local millimeters.
        coarse: HU on voxels no larger than `PLAN_SPACING_MM`, in local millimeters.
        body, between_lungs: bool on the coarse grid.
        lung_box_mm: (2, 3) ends of both lungs' box.
        noise_hu: noise sd of the CT's own voxels.
        tumor: bool on the CT's grid, or None.
        tumor_share: share of each coarse voxel that is tumor, or None.
        boundary_mm: (N, 3) the tumor's boundary points, or None.
    """

    ct: Volume
    local: Grid
    coarse: Volume
    body: np.ndarray
    between_lungs: np.ndarray
    lung_box_mm: np.ndarray
    noise_hu: float
    tumor: np.ndarray | None = None
    tumor_share: np.ndarray | None = None
    boundary_mm: np.ndarray | None = None

    @property
    def axes_mm(self) -> list[np.ndarray]:
        """Voxel centers per axis."""
        return _axes(self.local)

    def hu_on(self, axes_mm: Sequence[np.ndarray]) -> np.ndarray:
        """HU, float32 (X, Y, Z), on a grid along the CT's axes; -1000 outside.

        Its own voxels where the grid is a part of its own, block means where the grid is coarse.
        """
        target = Grid(tuple(len(axis) for axis in axes_mm), axes_affine(axes_mm))
        first = np.rint(self.local.mm_to_index(target.affine[:3, 3])).astype(int)
        if (first >= 0).all() and target.matches(self.local.crop(first, target.shape), 1e-6):
            part = tuple(slice(a, a + n) for a, n in zip(first, target.shape, strict=True))
            if self.ct.array[part].shape == target.shape:
                return self.ct.array[part].astype(np.float32)
        if (target.spacing_mm > self.coarse.grid.spacing_mm - 1e-6).all():
            return self.coarse_on(self.coarse.array, target, -1000.0)
        return resample(self.ct.array, self.local, target, fill=-1000.0)

    def coarse_on(self, values: np.ndarray, target: Grid, outside: float = 0.0) -> np.ndarray:
        """Values of the coarse grid on another, float32, linear; held over the CT's outermost half voxels."""
        return resample(values, self.coarse.grid, target, fill=outside)


def survey(ct: Volume, tumor: np.ndarray | None = None) -> RealCt:
    """Find out what planting needs to know of a CT.

    Args:
        ct: CT in HU that shows both lungs.
        tumor: bool on the CT's grid; None where it is to be planted too.

    Raises:
        ValueError: if the lungs are not found, or nothing between them; if the tumor is empty or on another
            grid.
    """
    if tumor is not None and (tumor.shape != ct.array.shape or not tumor.any()):
        raise ValueError("the tumor mask must lie on the CT's grid and hold at least one voxel")
    local = Grid(ct.array.shape, np.diag([*ct.grid.spacing_mm, 1.0]))
    step = np.maximum(np.array(PLAN_SPACING_MM) / local.spacing_mm + 1e-6, 1.0).astype(int)
    hu = block_means(ct.array, step)
    affine = np.diag([*(local.spacing_mm * step), 1.0])
    affine[:3, 3] = 0.5 * (step - 1) * local.spacing_mm
    grid = Grid(hu.shape, affine)
    lungs = find_lungs(hu, grid)
    between = mediastinum(lungs)
    if not between.any():
        raise ValueError(
            "nothing lies between the lungs in the CT: planting needs a chest CT with both lungs side by side"
        )
    first, end = mask_box(lungs)
    return RealCt(
        ct, local, Volume(hu, grid, grid), body_mask(hu), between,
        np.stack([grid.index_to_mm(first), grid.index_to_mm(end - 1)]),
        noise_sd_hu(ct.array[:, :: step[1], :: step[2]]),
        tumor,
        None if tumor is None else block_means(tumor, step),
        None if tumor is None else inner_boundary_mm(tumor, _axes(local)),
    )  # fmt: skip


def block_means(array: np.ndarray, step: Sequence[int] | np.ndarray) -> np.ndarray:
    """Means over blocks of `step` (3,) voxels, float32; what does not fill a block at the end is left out."""
    counts = [max(n // int(s), 1) for n, s in zip(array.shape, step, strict=True)]
    total = np.zeros(counts, np.float32)
    for offset in np.ndindex(*(int(s) for s in step)):
        part = tuple(slice(o, o + n * int(s), int(s)) for o, n, s in zip(offset, counts, step, strict=True))
        total += array[part]
    return total / np.float32(np.prod(step))


def _axes(grid: Grid) -> list[np.ndarray]:
    return [np.arange(n) * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True)]


def find_lungs(hu: np.ndarray, grid: Grid) -> np.ndarray:
    """Both lungs by threshold and size: air that does not reach the sides of the field and is no bare gas.

    Where there is none, lungs that the sides of a narrow field cut.

    Raises:
        ValueError: if there is no such air.
    """
    parts, count = ndimage.label(hu < _LUNG_HU)
    sizes = np.bincount(parts.ravel(), minlength=count + 1) * grid.voxel_mm3
    sizes[0] = 0.0
    tissue = np.bincount(parts[hu >= PARENCHYMA_HU[0]], minlength=count + 1) * grid.voxel_mm3
    sizes[tissue < LEAST_PARENCHYMA * sizes] = 0.0
    # Air at the sides of the field is the room's, or a lung that a narrow field cuts: where no lung is whole.
    inner = sizes.copy()
    inner[np.unique(parts[[0, -1]])] = 0.0
    inner[np.unique(parts[:, [0, -1]])] = 0.0
    sizes = inner if inner.max(initial=0.0) >= _SMALLEST_LUNG_MM3 else sizes
    lungs = (sizes >= max(_SMALLEST_LUNG_MM3, _SMALLEST_SHARE * sizes.max()))[parts]
    if not lungs.any():
        raise ValueError(
            "no lungs found in the CT: planting needs a chest CT in HU with both lungs in the field"
        )
    return lungs


def mediastinum(lungs: np.ndarray) -> np.ndarray:
    """Voxels between the lungs: lung on both sides in their row, neither lung themselves."""
    middle = lungs.shape[0] // 2
    columns = np.flatnonzero(lungs.any(axis=(1, 2)))
    if len(columns):
        middle = int(columns.mean())
    left, right = lungs.copy(), lungs.copy()
    left[middle:], right[:middle] = False, False
    after = np.maximum.accumulate(left, axis=0)
    before = np.maximum.accumulate(right[::-1], axis=0)[::-1]
    return after & before & ~lungs


def noise_sd_hu(hu: np.ndarray) -> float:
    """Noise of a CT: robust spread of the difference of neighbors in soft tissue, along x."""
    soft = (hu > 0) & (hu < 100)
    difference = np.diff(hu, axis=0)[soft[1:] & soft[:-1]]
    if difference.size < 100:
        raise ValueError("the CT has hardly any soft tissue: expected HU")
    return float(1.4826 * np.median(np.abs(difference - np.median(difference))) / np.sqrt(2.0))


def body_mask(hu: np.ndarray) -> np.ndarray:
    """The patient without the couch: the largest component of tissue, filled slice by slice."""
    tissue = ndimage.binary_opening(hu > -300, np.ones((3, 3, 1)))
    parts, count = ndimage.label(tissue)
    if count == 0:
        raise ValueError("the CT shows no tissue: expected HU")
    body = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    for k in range(body.shape[2]):
        body[:, :, k] = ndimage.binary_fill_holes(body[:, :, k])
    return body
