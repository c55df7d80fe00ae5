"""The slices of one series put in order by their positions, and the voxel grid that they fill.

Order and spacing come from ImagePositionPatient along the normal of the images (DICOM PS3.3 C.7.6.2.1.1),
never from file names, instance numbers or SliceLocation. What is no regular stack of perpendicular axes is
described, so that `osln.dicom.reading.volume` can resample it once; what could hide a mistake is refused in
words.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset

from osln.files.images import MAX_VOXELS
from osln.imaging.grid import Grid

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
SAME_PLACE_MM = 0.01
MOST_PARTS = 2
"""Slices for each acquisition, at least, from which on its number or time tells scans apart: with fewer it is
that of the single slice."""
UNEVEN = 0.1
"""Share of a step by which a slice may lie off its regular place without being resampled."""
LONGEST_GAP_MM = 5.0
"""Slices up to this distance, or up to twice the usual one, are interpolated between; more is missing."""
FINEST = 0.25
"""Share of the usual distance below which slices lie close by mistake and are no thinner part of the scan."""
MOST_ROWS = 4096
"""Rows or columns of a slice."""
SHEAR = 1e-3
"""Slope of the stack against its normal that `osln.imaging.grid.Grid` takes for perpendicular."""
NEEDED = {
    "SOPInstanceUID": 1,
    "ImagePositionPatient": 3,
    "ImageOrientationPatient": 6,
    "PixelSpacing": 2,
    "Rows": 1,
    "Columns": 1,
    "RescaleSlope": 1,
    "RescaleIntercept": 1,
}
"""Attributes of every slice, with their number of values."""

NO_SLICE = ("LOCALIZER", "MIP", "PROJECTION IMAGE")
"""Words of ImageType of pictures that belong to no stack of slices."""


class Slice(NamedTuple):
    """One image: its file, and its header without pixels."""

    path: Path
    header: Dataset


@dataclass(frozen=True)
class Stack:
    """Slices in order along the normal of their plane.

    Attributes:
        slices: From the lowest position to the highest.
        positions_mm: (N,) along the normal, from the first slice.
        shifts: (N, 2) voxels by which each slice lies along columns and rows from where a perpendicular
            stack would have it; all 0 unless the gantry was tilted.
        grid: Regular grid, indexed (column, row, slice) in RAS mm, on which the volume is wanted.
        even: Whether slice k lies on plane k of the grid.
        warnings: What was put right.
    """

    slices: tuple[Slice, ...]
    positions_mm: np.ndarray
    shifts: np.ndarray
    grid: Grid
    even: bool
    warnings: tuple[str, ...]

    @property
    def step_mm(self) -> float:
        return float(self.grid.spacing_mm[2])


def is_picture(header: Dataset) -> bool:
    """Whether an image calls itself a localizer or projection: it lies in a series, but is no slice of it."""
    words = header.get("ImageType") or []
    return any(
        str(word).strip().upper() in NO_SLICE for word in ([words] if isinstance(words, str) else words)
    )


def arrange(slices: Sequence[Slice], what: str) -> Stack:
    """Orders the slices of one series and finds their grid.

    Args:
        slices: In any order; copies of one image, localizers and projections are left out.
        what: "CT" or "PET", for the messages.

    Raises:
        ValueError: If there are fewer than two slices, attributes are missing, images of different size,
            direction, frame of reference or patient are mixed, several images lie at one place, or slices
            are missing.
    """
    warnings: list[str] = []
    kept = _without_copies(slices, what, warnings)
    _check_alike(kept, what)
    first = kept[0].header
    _check_size(len(kept), first, what)
    row, column, normal = _axes(first, what)
    spacing = np.array([float(first.PixelSpacing[1]), float(first.PixelSpacing[0])])
    places = np.array([[float(v) for v in item.header.ImagePositionPatient] for item in kept])
    if not np.isfinite(places).all():
        raise ValueError(f"a position in the {what} series is not a number; export the series again")
    order = np.argsort(places @ normal, kind="stable")
    kept, places = [kept[i] for i in order], places[order]
    positions = (places - places[0]) @ normal
    _check_steps(kept, positions, what)
    _check_acquisitions(kept, what)
    steps = np.diff(positions)
    mean = positions[-1] / (len(kept) - 1)
    off = np.abs(positions - mean * np.arange(len(kept))).max()
    even = off <= UNEVEN * mean
    # The finest step loses no slice; a single one that is much finer would only make the volume large.
    usual = float(np.median(steps))
    step = mean if even else max(float(steps.min()), FINEST * usual)
    count = len(kept) if even else int(np.floor(positions[-1] / step + UNEVEN)) + 1
    if not even:
        warnings.append(
            f"the slices of the {what} lie {steps.min():.2f} to {steps.max():.2f} mm apart: interpolated to "
            f"{step:.2f} mm"
        )
        if finer := int((steps < step - UNEVEN * step).sum()):
            warnings.append(f"{finer} slices of the {what} lie closer than that: not each counts in full")
    drift = (places - places[0]) - positions[:, None] * normal
    sheared = np.abs(drift).max() > SHEAR * positions[-1]
    shifts = drift @ np.column_stack([row, column]) / spacing if sheared else np.zeros((len(kept), 2))
    lowest = np.floor(shifts.min(axis=0) + 1e-6)
    size = np.ceil(shifts.max(axis=0) - 1e-6) - lowest + [int(first.Columns), int(first.Rows)]
    if sheared:
        degrees = np.rad2deg(np.arctan(np.linalg.norm(drift[-1]) / positions[-1]))
        warnings.append(f"the {what} is a sheared stack (gantry tilt, {degrees:.1f} degrees): straightened")
    elif abs(float(first.get("GantryDetectorTilt") or 0)) > 0.5 and abs(normal[2]) > 0.9999:
        warnings.append(f"the {what} names a gantry tilt that its positions do not show; the positions count")
    through = normal * step if sheared else (places[-1] - places[0]) / positions[-1] * step
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS[:, None] * np.column_stack([row * spacing[0], column * spacing[1], through])
    affine[:3, 3] = LPS_TO_RAS * (places[0] + np.column_stack([row, column]) @ (lowest * spacing))
    grid = Grid((int(size[0]), int(size[1]), count), affine)
    return Stack(tuple(kept), positions, shifts - lowest, grid, even, tuple(warnings))


def _without_copies(slices: Sequence[Slice], what: str, warnings: list[str]) -> list[Slice]:
    seen: dict[str, Slice] = {}
    pictures = 0
    for item in slices:
        lacking = [
            name
            for name, count in NEEDED.items()
            if name not in item.header
            or item.header[name].value in (None, "")
            or item.header[name].VM != count
        ]
        if is_picture(item.header):
            pictures += 1
        elif lacking:
            raise ValueError(
                f"an image of the {what} series lacks {', '.join(lacking)}; export the series again, as "
                "single slices"
            )
        else:
            first = seen.setdefault(str(item.header.SOPInstanceUID), item)
            _check_copy(first.header, item.header, what)
    if pictures:
        warnings.append(f"{pictures} localizers or projections in the {what} series were left out")
    if copies := len(slices) - pictures - len(seen):
        warnings.append(f"{copies} images of the {what} series are there twice; the copies were left out")
    if len(seen) < 2:
        raise ValueError(f"the {what} series has {len(seen)} slices; a volume needs at least two")
    return list(seen.values())


def _check_copy(one: Dataset, other: Dataset, what: str) -> None:
    """Refuses two images that claim to be one: left out as a copy, a slice would be lost."""
    apart = np.subtract(
        [float(v) for v in one.ImagePositionPatient], [float(v) for v in other.ImagePositionPatient]
    )
    if np.linalg.norm(apart) > SAME_PLACE_MM:
        raise ValueError(
            f"two images of the {what} series have one SOPInstanceUID and lie {np.linalg.norm(apart):.2f} mm "
            "apart: they are no copies of each other; export the series again"
        )


def _check_alike(slices: Sequence[Slice], what: str) -> None:
    directions: list[np.ndarray] = []
    spacings: list[np.ndarray] = []

    def kind(header: Dataset) -> tuple[str, str, str, str]:
        direction = _same(directions, header.ImageOrientationPatient, 1e-3)
        spacing = _same(spacings, header.PixelSpacing, 1e-4)
        return (
            f"{header.Columns} x {header.Rows} pixels",
            f"{'/'.join(f'{v:.4f}' for v in spacing)} mm",
            f"direction {'/'.join(f'{round(v, 3) + 0.0:g}' for v in direction)}",
            f"frame of reference {header.get('FrameOfReferenceUID', '')}",
        )

    kinds = Counter(kind(item.header) for item in slices)
    if len(kinds) > 1:
        differing = [i for i in range(3) if len({names[i] for names in kinds}) > 1]
        told = "; ".join(
            f"{count} images" + "".join(f", {names[i]}" for i in differing)
            for names, count in kinds.most_common()
        )
        because = told if differing else "their frames of reference differ"
        raise ValueError(
            f"the {what} series mixes different images ({because}); export one acquisition alone"
        )
    patients = {str(item.header.get("PatientID") or "").strip() for item in slices}
    if len(patients) > 1:
        raise ValueError(
            f"the {what} series holds images of {len(patients)} patients; remove the foreign ones"
        )


def _same(seen: list[np.ndarray], values: Sequence[object], tolerance: float) -> np.ndarray:
    """The first of `seen` that is the same within the tolerance, to which the values are added otherwise."""
    own = np.array([float(str(v)) for v in values])
    for other in seen:
        if np.abs(other - own).max() <= tolerance:
            return other
    seen.append(own)
    return own


def _axes(header: Dataset, what: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = np.array([float(v) for v in header.ImageOrientationPatient])
    row, column = values[:3], values[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if (
        not np.isfinite(values).all()
        or abs(row @ column) > 1e-3
        or np.abs(np.subtract(lengths, 1)).max() > 1e-3
    ):
        raise ValueError(f"ImageOrientationPatient of the {what} is no pair of perpendicular unit vectors")
    row = row / lengths[0]
    column = column / lengths[1] - row * (row @ column)
    column /= np.linalg.norm(column)
    return row, column, np.cross(row, column)


def _check_size(count: int, header: Dataset, what: str) -> None:
    """Refuses what no scanner makes before a voxel is unpacked: a small file can claim any size."""
    rows, columns = int(header.Rows), int(header.Columns)
    if max(rows, columns) > MOST_ROWS or rows * columns * count > MAX_VOXELS:
        raise ValueError(
            f"the {what} claims {columns} x {rows} x {count} voxels; up to {MOST_ROWS} rows and columns and "
            f"{MAX_VOXELS:.0e} voxels in all are read"
        )


def _check_steps(slices: Sequence[Slice], positions: np.ndarray, what: str) -> None:
    steps = np.diff(positions)
    if (same := int((steps < SAME_PLACE_MM).sum())) > 0:
        acquisitions = {str(item.header.get("AcquisitionNumber") or "") for item in slices}
        several = f" (the series has {len(acquisitions)} acquisitions)" if len(acquisitions) > 1 else ""
        raise ValueError(
            f"{same} slices of the {what} series lie where another one lies{several}: phases or repeated "
            "scans are mixed; export one of them alone"
        )
    usual = float(np.median(steps))
    worst = int(np.argmax(steps))
    if steps[worst] > max(2.05 * usual, LONGEST_GAP_MM + 0.01):
        raise ValueError(
            f"slices of the {what} are missing: after slice {worst + 1} of {len(slices)} there is a gap of "
            f"{steps[worst]:.2f} mm, where {usual:.2f} mm are usual; export the whole series again"
        )


def _check_acquisitions(slices: Sequence[Slice], what: str) -> None:
    """Refuses two scans whose slices alternate; one scan in several blocks or beds is in order."""
    for name in ("AcquisitionNumber", "AcquisitionTime"):
        values = [str(item.header.get(name) or "") for item in slices]
        parts = len(set(values))
        if not 1 < parts <= len(slices) / MOST_PARTS:
            continue
        changes = sum(one != following for one, following in pairwise(values))
        if changes > parts - 1:
            counts = sorted(Counter(values).items())
            told = ", ".join(f"{value or 'none'} with {count} slices" for value, count in counts[:4])
            raise ValueError(
                f"the {what} series holds {parts} acquisitions whose slices alternate ({name} {told}): "
                "their images would be mixed in one volume; export one of them alone"
            )
