"""A DICOM series as one volume on a regular perpendicular grid: CT in HU, PET in SUVbw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from scipy import ndimage

from osln.dicom.reading.dose import number
from osln.dicom.reading.pixels import rescaled_pixels
from osln.dicom.reading.slices import Slice, Stack, arrange
from osln.dicom.reading.suv import suv_conversion
from osln.imaging.grid import Grid, Volume, canonical

AIR_HU = -1024
HIGHEST_HU = 32767
TISSUE_FROM = {"CT": -1000, "PET": 0}
"""A padding value (HU, activity) from here on up could be tissue too: it counts only where it reaches the
image's border."""

Progress = Callable[[int, int], None]
"""Called with the slices done and their number."""


@dataclass(frozen=True)
class SeriesVolume:
    """What a series gave.

    Attributes:
        volume: HU (int16 when all values are whole, else float32) or SUVbw (float32). Its `file_grid` is
            indexed (column, row, slice) with slices along their normal.
        explanation: How the values came about, one sentence.
        warnings: What was put right or assumed.
        images: Where the images lie along each axis of the volume, in voxels: ascending, and on every one
            unless the slices were interpolated.
    """

    volume: Volume
    explanation: str
    warnings: tuple[str, ...]
    images: tuple[np.ndarray, ...]


def read_ct(slices: Sequence[Slice], on_progress: Progress | None = None) -> SeriesVolume:
    """A CT series in HU.

    Padding outside the scanner's field (PixelPaddingValue, values under -1024) becomes air, -1024 HU.

    Raises:
        ValueError: From `slices.arrange` and `pixels.rescaled_pixels`, or if the values are no HU.
    """
    stack = arrange(slices, "CT")
    for item in stack.slices:
        kind = str(item.header.get("RescaleType") or "HU").strip().upper()
        if kind not in ("HU", "US", ""):
            raise ValueError(
                f"the CT holds {kind} instead of HU (RescaleType); choose the usual reconstruction"
            )
    whole = all(_is_whole(item.header) for item in stack.slices)
    planes, warnings = _planes(stack, "CT", np.dtype(np.int16 if whole else np.float32), on_progress, None)
    volume = _volume(stack, planes, float(AIR_HU))
    told = "HU by RescaleSlope and RescaleIntercept"
    return SeriesVolume(volume, told, stack.warnings + warnings, _images(stack, volume.grid))


def read_pet(slices: Sequence[Slice], on_progress: Progress | None = None) -> SeriesVolume:
    """A PET series in SUVbw; every slice has its own rescale slope. Padding (PixelPaddingValue) becomes 0.

    Raises:
        ValueError: As `read_ct`, and from `osln.dicom.reading.suv.suv_conversion`.
    """
    stack = arrange(slices, "PET")
    conversion = suv_conversion([item.header for item in stack.slices])
    planes, warnings = _planes(stack, "PET", np.dtype(np.float32), on_progress, conversion.factors)
    volume = _volume(stack, planes, 0.0)
    told = stack.warnings + _fewer_than_said(stack) + conversion.warnings + warnings
    return SeriesVolume(volume, conversion.explanation, told, _images(stack, volume.grid))


def _fewer_than_said(stack: Stack) -> tuple[str, ...]:
    """A warning if NumberOfSlices says more than are there: at an end of the stack no gap shows it."""
    said = int(max(number(item.header.get("NumberOfSlices")) or 0 for item in stack.slices))
    if said <= len(stack.slices):
        return ()
    return (
        f"the PET has {len(stack.slices)} slices where NumberOfSlices says {said}: the others are missing, "
        "perhaps a part of the body; export the whole series again",
    )


def _planes(
    stack: Stack, what: str, dtype: np.dtype, on_progress: Progress | None, factors: np.ndarray | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(column, row, slice) values of the slices as they are, Fortran-ordered: a slice lies together."""
    first = stack.slices[0].header
    shape = (int(first.Columns), int(first.Rows), len(stack.slices))
    planes = np.empty(shape, dtype=dtype, order="F")
    lossy = 0
    for k, item in enumerate(stack.slices):
        name = f"image {item.header.get('InstanceNumber', k + 1)} of the {what}"
        values, ds = rescaled_pixels(item.path, name)
        lossy += str(ds.get("LossyImageCompression") or "") == "01"
        if factors is None:
            values = np.clip(_without_padding(values, ds, AIR_HU, what), AIR_HU, HIGHEST_HU)
        else:
            values = _without_padding(values, ds, 0, what) * factors[k]
        planes[:, :, k] = values.T
        if on_progress:
            on_progress(k + 1, len(stack.slices))
    if not lossy:
        return planes, ()
    return planes, (f"{lossy} images of the {what} were compressed with loss: their values are not exact",)


def _without_padding(values: np.ndarray, ds: Dataset, fill: float, what: str) -> np.ndarray:
    """Rescaled values (rows, columns) with `fill` at the pixels outside the scanner's field."""
    padding = ds.get("PixelPaddingValue")
    if padding is None:
        return values
    limit = ds.get("PixelPaddingRangeLimit")
    ends = (padding, padding if limit is None else limit)
    low, high = sorted(_rescaled_padding(int(end), ds) for end in ends)
    # Half a step: decoders that scale by themselves may do so in single precision.
    half = abs(float(ds.get("RescaleSlope", 1))) / 2
    outside = (values > low - half) & (values < high + half)
    if high >= TISSUE_FROM[what] and outside.any():
        parts, _ = ndimage.label(outside)
        border = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
        outside = np.isin(parts, border[border > 0])
    return np.where(outside, fill, values)


def _rescaled_padding(stored: int, ds: Dataset) -> float:
    """A stored padding value in units of the slope. Its sign is often wrong: it means the stored bits."""
    bits = int(ds.BitsAllocated)
    stored %= 2**bits
    if int(ds.PixelRepresentation) == 1 and stored >= 2 ** (bits - 1):
        stored -= 2**bits
    return stored * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0))


def _volume(stack: Stack, planes: np.ndarray, fill: float) -> Volume:
    if stack.shifts.any() or stack.grid.shape[:2] != planes.shape[:2]:
        planes = _straightened(planes, stack, fill)
    if not stack.even:
        planes = _evenly_spaced(planes, stack)
    return canonical(planes, stack.grid)


def _images(stack: Stack, grid: Grid) -> tuple[np.ndarray, ...]:
    """Where the images lie along each axis of the volume's grid, in voxels."""
    everywhere = [np.arange(count, dtype=float) for count in grid.shape]
    if stack.even:
        return tuple(everywhere)
    through = np.zeros((len(stack.slices), 3))
    through[:, 2] = stack.positions_mm / stack.step_mm
    places = grid.mm_to_index(stack.grid.index_to_mm(through))
    axis = int(np.argmax(np.ptp(places, axis=0)))
    everywhere[axis] = np.sort(places[:, axis])
    return tuple(everywhere)


def _straightened(planes: np.ndarray, stack: Stack, fill: float) -> np.ndarray:
    """Each slice moved within its plane to where a perpendicular stack has it, linearly interpolated."""
    columns, rows, _ = stack.grid.shape
    straight = np.empty((columns, rows, planes.shape[2]), dtype=planes.dtype, order="F")
    for k, shift in enumerate(stack.shifts):
        wide = np.full((columns, rows), fill, dtype=np.float32)
        wide[: planes.shape[0], : planes.shape[1]] = planes[:, :, k]
        moved = ndimage.shift(wide, shift, order=1, mode="constant", cval=fill)
        straight[:, :, k] = np.rint(moved) if planes.dtype.kind == "i" else moved
    return straight


def _evenly_spaced(planes: np.ndarray, stack: Stack) -> np.ndarray:
    """Planes of the regular grid by linear interpolation between the two neighboring slices."""
    even = np.empty((*planes.shape[:2], stack.grid.shape[2]), dtype=planes.dtype, order="F")
    for k in range(even.shape[2]):
        place = min(k * stack.step_mm, float(stack.positions_mm[-1]))
        above = min(max(int(np.searchsorted(stack.positions_mm, place)), 1), planes.shape[2] - 1)
        low, high = stack.positions_mm[above - 1 : above + 1]
        share = np.float32((place - low) / (high - low))
        plane = planes[:, :, above - 1] * (1 - share) + planes[:, :, above] * share
        even[:, :, k] = np.rint(plane) if planes.dtype.kind == "i" else plane
    return even


def _is_whole(header: Dataset) -> bool:
    slope, intercept = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
    return slope == int(slope) and intercept == int(intercept)
