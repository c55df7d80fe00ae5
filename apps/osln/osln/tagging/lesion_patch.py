"""The image that LesaNet sees of a lesion, made as its authors make it (Yan et al. 2019, section 4.1).

Three axial slices 2 mm apart are the three channels. They are windowed to the whole range of HU, resized to
1 mm pixels, cut out around the lesion and shifted by a constant. Images are as on a radiologist's screen:
rows run from the patient's front to the back, columns from the patient's right to the left.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from osln.imaging.grid import Grid, Volume, mask_box

PATCH_PIXELS = 120
"""Rows and columns of the image, 1 mm each."""

SLICE_MM = 2.0
WINDOW_HU = (-1024.0, 3071.0)
MEAN = 50.0
"""Subtracted from gray values 0..255 before they are divided by 255."""

MARGIN_MM = 5.0
"""Around a lesion's tight box, as the boxes of the authors' data have it."""

BoxMm = tuple[tuple[float, float], tuple[float, float]]
"""(x0, x1), (y0, y1): an axial box, RAS mm."""


def lesion_patch(ct: Volume, box_mm: BoxMm, z_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """LesaNet's input of one lesion; only the part of the CT that it shows is touched.

    Slices are those of the CT's own axes. Where these are oblique, the box keeps its center and its sides
    are turned along them.

    Args:
        ct: HU, not clipped; any spacing.
        box_mm: Lesion box, margin included.
        z_mm: Height of its slice, which may lie between stored ones.

    Returns:
        (3, 120, 120) float32 and (4,) float32 as `slices_patch`; the channels are z - 2, z and z + 2 mm.

    Raises:
        ValueError: If the box is reversed or not finite.
    """
    low, high = np.array(box_mm, dtype=np.float64).T
    if not np.isfinite([*low, *high, z_mm]).all() or (high < low).any():
        raise ValueError(f"expected a box (x0, x1), (y0, y1) with x0 <= x1, y0 <= y1, got {box_mm} at {z_mm}")
    spacing = ct.grid.spacing_mm
    center = ct.grid.mm_to_index(np.array([*(low + high) / 2, z_mm]))
    half = (high - low) / 2 / spacing[:2]
    # On the screen the x and y axes both run against ours; this is a view, nothing is copied.
    slices = ct.array[::-1, ::-1].transpose(2, 1, 0)
    middle = np.array(ct.array.shape[:2]) - 1 - center[:2]
    box = np.concatenate([middle - half, middle + half])
    return slices_patch(slices, center[2], (spacing[2], spacing[1], spacing[0]), box)


def slices_patch(
    slices: np.ndarray, position: float, spacing_mm: tuple[float, float, float], box: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """LesaNet's input of a lesion whose slices lie as on the screen.

    Args:
        slices: (K, rows, columns) HU; K at least 1.
        position: Of the lesion's slice along K; fractions allowed.
        spacing_mm: Between slices, rows and columns.
        box: (4,) lesion box x1, y1, x2, y2 in columns and rows of the slices, margin included.

    Returns:
        (3, 120, 120) float32: slices 2 mm before the position, at it and 2 mm behind, in 1 mm pixels around
        the rounded center of the box; voxels beyond the slices repeat the outermost ones. (4,) float32: the
        lesion box in these pixels, not below 0.
    """
    slice_mm, row_mm, column_mm = spacing_mm
    box_1mm = np.asarray(box, dtype=np.float64) * [column_mm, row_mm, column_mm, row_mm]
    center = np.round((box_1mm[:2] + box_1mm[2:]) / 2)
    columns = _pixels(slices.shape[2], column_mm, int(center[0]))
    rows = _pixels(slices.shape[1], row_mm, int(center[1]))
    heights = _Linear.at(position + np.array([-1, 0, 1]) * SLICE_MM / slice_mm, slices.shape[0])

    part = heights.mixed(slices[heights.part, rows.part, columns.part].astype(np.float32), axis=0)
    low_hu, high_hu = WINDOW_HU
    # The authors window before they resize, which differs where the range is clipped.
    part -= low_hu
    part /= high_hu - low_hu
    gray = np.clip(part, 0, 1, out=part)
    gray *= 255
    image = (columns.mixed(rows.mixed(gray, axis=1), axis=2) - MEAN) / 255
    shifted = box_1mm - np.tile(center - PATCH_PIXELS // 2, 2)
    return image.astype(np.float32), np.maximum(shifted, 0).astype(np.float32)


def instance_box(mask: np.ndarray, grid: Grid, margin_mm: float = MARGIN_MM) -> tuple[BoxMm, float]:
    """Box and height of the axial slice in which an object has its largest area.

    Args:
        mask: (x, y, z) bool on `grid`; cut it to the object where many are looked at.
        grid: Of the mask.
        margin_mm: Added on all sides.

    Returns:
        The box from outer voxel face to outer voxel face of that slice, margin added, and the slice's
        height, both for `lesion_patch`. Of slices of equal area the lowest is taken.

    Raises:
        ValueError: If the mask is empty.
    """
    k = int(mask.sum(axis=(0, 1)).argmax())
    first, past = mask_box(mask[:, :, k : k + 1])
    middle = (first + past - 1) / 2
    center = grid.index_to_mm(np.array([middle[0], middle[1], k]))
    half = (past - first)[:2] * grid.spacing_mm[:2] / 2 + margin_mm
    low, high = center[:2] - half, center[:2] + half
    return ((float(low[0]), float(high[0])), (float(low[1]), float(high[1]))), float(center[2])


def lesion_places(labels: np.ndarray, grid: Grid) -> np.ndarray:
    """Where the tagger looks for each of k objects: (k, 5) box x0, x1, y0, y1 and height z in RAS mm.

    Args:
        labels: (x, y, z) integers, 0 is background; rows of the result are in ascending order of the label.
        grid: Of the labels.
    """
    places = []
    for value, part in enumerate(ndimage.find_objects(labels.astype(np.int32, copy=False)), start=1):
        if part is None:
            continue
        first = np.array([side.start for side in part])
        size = np.array([side.stop for side in part]) - first
        (x, y), z = instance_box(labels[part] == value, grid.crop(first, size))
        places.append([*x, *y, z])
    return np.array(places, dtype=np.float64).reshape(-1, 5)


def _pixels(count: int, pixel_mm: float, center: int) -> "_Linear":
    """How the patch's pixels along one axis come from `count` pixels of the slice.

    Pixels are areas whose outer edges meet before and after resizing, as in OpenCV's `resize`.
    """
    first = center - PATCH_PIXELS // 2
    resized = max(round(count * pixel_mm), 1)
    wanted = np.clip(np.arange(first, first + PATCH_PIXELS), 0, resized - 1)
    return _Linear.at((wanted + 0.5) / pixel_mm - 0.5, count)


@dataclass(frozen=True)
class _Linear:
    """Linear interpolation along an axis, at n positions; beyond the ends of the axis the end's value.

    A product with a matrix would do the same; it takes longer and wakes NumPy's threads, which turn idly for
    some time on the cores that the networks need.

    Attributes:
        part: Of the axis that is needed.
        below, above: (n,) index within the part.
        share: (n,) float32 of the value above.
    """

    part: slice
    below: np.ndarray
    above: np.ndarray
    share: np.ndarray

    @classmethod
    def at(cls, position: np.ndarray, count: int) -> "_Linear":
        position = np.clip(position, 0, count - 1)
        below = np.floor(position).astype(int)
        above = np.minimum(below + 1, count - 1)
        start = int(below.min())
        share = (position - below).astype(np.float32)
        return cls(slice(start, int(above.max()) + 1), below - start, above - start, share)

    def mixed(self, values: np.ndarray, axis: int) -> np.ndarray:
        """The values at the positions; `values` has the needed part of the axis."""
        share = self.share.reshape([-1 if n == axis else 1 for n in range(values.ndim)])
        found = values.take(self.below, axis)
        found *= 1 - share
        found += values.take(self.above, axis) * share
        return found
