"""A volume as the images of one DICOM series: attributes and pixels of each, from what all share.

Building hundreds of complete images takes longer than reading the file. Here the voxels lie in memory once,
in the order of the images, and attributes are made once for the series; an image adds the few of its own.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset

from osln.dicom.reading.source import CT_CLASS
from osln.dicom.writing.images import (
    HIGHEST_STORED,
    INTERCEPT_HU,
    PET_CLASS,
    axial,
    ds,
    empty_image,
    lps_ds,
    placed,
    planes_of,
    with_pixels,
)
from osln.imaging.grid import Grid, Volume


@dataclass(frozen=True)
class ServedSeries:
    """The images of one series, numbered from 1.

    Attributes:
        common: What all images share: patient, study, series, frame of reference, equipment.
        sop_class: Of the images.
        grid: Indexed (column, row, slice).
        pixels: (slice, row, column) signed 16 bit, little endian, one after the other.
        slopes: Of each image, from stored value to HU or SUV, as DICOM's decimal strings.
        intercept: The same for all.
    """

    common: Dataset
    sop_class: str
    grid: Grid
    pixels: np.ndarray
    slopes: tuple[str, ...]
    intercept: str

    @property
    def uid(self) -> str:
        """UID of the series."""
        return str(self.common.SeriesInstanceUID)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels)

    def number(self, instance: str) -> int | None:
        """Number of an image, from 1, by its UID; None if it is none of the series."""
        series, _, last = instance.rpartition(".")
        inside = series == self.uid and last.isdecimal() and str(int(last)) == last
        return int(last) if inside and 1 <= int(last) <= len(self) else None

    def frame(self, number: int) -> bytes:
        """Pixels of an image: rows from front to back, columns from right to left, 16 bit."""
        return self.pixels[number - 1].tobytes()

    def image(self, number: int) -> FileDataset:
        """A whole image."""
        image = empty_image(self.sop_class, self.common)
        image.update(self._own(number))
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        return with_pixels(image, self.pixels[number - 1])

    @cached_property
    def metadata(self) -> list[bytes]:
        """Attributes of each image without its pixels, as objects of DICOM JSON."""
        first = empty_image(self.sop_class, self.common)
        first.update(self._own(1))
        shared = first.to_json_dict()
        return [_encoded(shared | self._changes(number)) for number in range(1, len(self) + 1)]

    def _changes(self, number: int) -> dict[str, Any]:
        """What tells an image from the first one, as pydicom would write it, in a tenth of the time."""
        place = lps_ds(self.grid, number - 1)
        changes: dict[str, tuple[str, list[Any]]] = {
            "00080018": ("UI", [f"{self.uid}.{number}"]),
            "00200013": ("IS", [number]),
            "00200032": ("DS", [float(value) for value in place]),
            "00281053": ("DS", [float(self.slopes[number - 1])]),
        }
        if self.sop_class == PET_CLASS:
            changes["00541330"] = "US", [number]
        return {tag: {"vr": vr, "Value": values} for tag, (vr, values) in changes.items()}

    def _own(self, number: int) -> Dataset:
        image = placed(self.grid, number - 1, f"{self.uid}.{number}")
        image.RescaleSlope, image.RescaleIntercept = self.slopes[number - 1], self.intercept
        if self.sop_class == PET_CLASS:
            image.ImageIndex, image.NumberOfSlices = number, len(self)
        return image


def serve_ct(ct: Volume, common: Dataset) -> ServedSeries:
    """A CT as axial images, in whole HU from -1024 to 31743: clipped and rounded where need be.

    Args:
        ct: HU; finite.
        common: What all images share.
    """
    turned = axial(ct.array, ct.grid)
    planes = planes_of(turned)
    stored = np.empty(planes.shape, "<i2")
    for plane, hu in zip(stored, planes, strict=True):
        whole = np.rint(hu) if hu.dtype.kind == "f" else hu
        plane[...] = np.clip(whole, INTERCEPT_HU, INTERCEPT_HU + HIGHEST_STORED)
        plane -= INTERCEPT_HU
    return ServedSeries(
        _with(common, Modality="CT", RescaleType="HU", WindowCenter="40", WindowWidth="400"),
        CT_CLASS, turned.file_grid, stored, ("1",) * len(stored), str(INTERCEPT_HU),
    )  # fmt: skip


def serve_pet(pet: Volume, common: Dataset) -> ServedSeries:
    """A PET as axial images whose rescaled values are SUV (GML); each uses all bits for its own range.

    Dose, weight and times are not known and not invented: SUV by body weight is corrected for attenuation and
    decay by what it means, and nothing else is said.

    Args:
        pet: SUVbw, finite; what is below 0 becomes 0.
        common: What all images share.
    """
    turned = axial(pet.array, pet.grid)
    planes = planes_of(turned)
    stored, slopes = np.empty(planes.shape, "<i2"), []
    for plane, values in zip(stored, planes, strict=True):
        suv = np.maximum(values, 0).astype(np.float64)
        slopes.append(ds(suv.max() / HIGHEST_STORED if suv.any() else 1.0))
        plane[...] = np.clip(np.rint(suv / float(slopes[-1])), 0, HIGHEST_STORED)
    own = {"Modality": "PT", "Units": "GML", "SUVType": "BW", "CorrectedImage": ["DECY", "ATTN"]}
    own["SeriesType"] = ["STATIC", "IMAGE"]
    return ServedSeries(_with(common, **own), PET_CLASS, turned.file_grid, stored, tuple(slopes), "0")


def _with(common: Dataset, **own: Any) -> Dataset:
    made = Dataset()
    made.update(common)
    for name, value in own.items():
        setattr(made, name, value)
    return made


def _encoded(values: dict[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode()
