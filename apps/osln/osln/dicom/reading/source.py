"""The CT series that a result refers to: its headers in order, its voxel grid, its UIDs.

Voxels of a series are indexed (column, row, slice), slices by rising position along the normal of the
image planes (DICOM PS3.3, C.7.6.2.1.1). DICOM's patient axes are LPS, those of `osln` RAS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from osln.dicom.reading.files import LocalSource, slices_of
from osln.dicom.reading.pixels import rescaled_pixels
from osln.dicom.reading.slices import Slice, arrange
from osln.imaging.grid import Grid, Volume, canonical, in_file_order

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
"""CT Image Storage; an enhanced (multi-frame) CT is referred to in another way and is not taken."""


@dataclass(frozen=True)
class CtSeries:
    """One CT series whose slices are the slices of its volume.

    Attributes:
        slices: Files and headers, in the order of the slices.
        file_grid: Grid of voxels indexed (column, row, slice), RAS mm.
    """

    slices: tuple[Slice, ...]
    file_grid: Grid

    @cached_property
    def headers(self) -> tuple[Dataset, ...]:
        return tuple(item.header for item in self.slices)

    @cached_property
    def grid(self) -> Grid:
        """The same voxels in closest-RAS order, as `osln.imaging.grid.Volume` holds them."""
        return canonical(np.broadcast_to(np.uint8(0), self.file_grid.shape), self.file_grid).grid

    @property
    def series_uid(self) -> str:
        return str(self.headers[0].SeriesInstanceUID)

    @property
    def frame_of_reference_uid(self) -> str:
        return str(self.headers[0].FrameOfReferenceUID)

    @cached_property
    def slice_of(self) -> dict[str, int]:
        """Number of the slice, from 0, by SOP Instance UID."""
        return {str(header.SOPInstanceUID): k for k, header in enumerate(self.headers)}

    def frames(self, array: np.ndarray) -> np.ndarray:
        """Voxels (x, y, z) of `grid` as a view (slice, row, column), as DICOM stores pixels."""
        return in_file_order(array, self.grid, self.file_grid).transpose(2, 1, 0)


def read_ct_series(folder: str | Path, series_uid: str | None = None) -> CtSeries:
    """Reads the headers of the CT series in a folder and its sub-folders; other files are passed over.

    Args:
        folder: With the DICOM files of the CT.
        series_uid: Which series, where the folder holds several.

    Raises:
        ValueError: No CT there, several without `series_uid`, or from `ct_series`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; give the folder with the DICOM files of the CT")
    source = LocalSource(folder)
    found = {series.uid: series for series in source.series() if series.header.get("SOPClassUID") == CT_CLASS}
    if not found:
        raise ValueError(
            f"there are no CT images in {folder}; give the folder with the DICOM files of the CT"
        )
    if series_uid is None and len(found) > 1:
        told = "; ".join(f"{uid} ({series.count} images)" for uid, series in found.items())
        raise ValueError(
            f"{folder} holds {len(found)} CT series: {told}; give a folder that holds only the one that is "
            "meant, or its UID where the command takes one (--series of export)"
        )
    uid = series_uid or next(iter(found))
    if uid not in found:
        raise ValueError(f"there is no CT series {uid} in {folder}, but {', '.join(found)}")
    return ct_series(slices_of(source.paths(found[uid])))


def ct_series(slices: Sequence[Slice]) -> CtSeries:
    """Puts the images of one series in order; only a series that needs no resampling can be referred to.

    Args:
        slices: In any order.

    Raises:
        ValueError: From `slices.arrange`, or if the slices are tilted or unevenly spaced, so that
            the volume's slices are not the images, or lack the UIDs that results refer to.
    """
    stack = arrange(slices, "CT")
    if not stack.even or stack.shifts.any():
        raise ValueError(
            f"{'; '.join(stack.warnings)}: a result on the resampled CT has no place on the original "
            "images, so SEG and RTSTRUCT cannot refer to them; use a CT without tilt and with even spacing"
        )
    for name in ("SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        values = {str(item.header.get(name) or "") for item in stack.slices}
        if len(values) > 1 or "" in values:
            lacking = "no" if values == {""} else "different"
            raise ValueError(
                f"the CT images have {lacking} {name}; give the images of one series as the scanner made them"
            )
    return CtSeries(stack.slices, stack.grid)


def check_same_ct(case: str, ct: Volume, series: CtSeries) -> None:
    """Whether the values of a case's CT are those of the series (three slices are compared).

    Args:
        case: Id of the case, for the message.
        ct: CT of the case in HU; its voxels are those of `series.grid`.
        series: With files.

    Raises:
        ValueError: If the images are of another patient or reconstruction, or cannot be read.
    """
    stored = series.frames(ct.array)
    for number in sorted({len(series.slices) * part // 4 for part in (1, 2, 3)}):
        values, _ = rescaled_pixels(series.slices[number].path, f"slice {number + 1} of the CT")
        # Air and padding outside the scanner's field are changed by an import, metal may have been clipped.
        tissue = (values > -900) & (values < 1500)
        apart = np.abs(values - stored[number])[tissue] > 2.0
        if tissue.any() and apart.mean() > 0.05:
            raise ValueError(
                f"the CT series lies where the CT of case {case} lies, but its values differ (slice "
                f"{number + 1}: {100 * apart.mean():.0f} % of the voxels by more than 2 HU): it is another "
                "patient or another reconstruction; give the series that the case was imported from"
            )
