"""CT and PET volumes as series of single DICOM images, stored as scanners store them.

The attributes of patient, study, series and equipment are given; geometry, pixels and what depends on them
are added here. A series written here is read by `osln.dicom.reading.volume` voxel by voxel.

Reference: DICOM PS3.3, A.3 (CT image), A.21 (PET image), C.7.6.2 (image plane), C.8.9 (PET modules).
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from osln.dicom.reading.slices import LPS_TO_RAS
from osln.dicom.reading.source import CT_CLASS
from osln.dicom.reading.suv import suv_conversion
from osln.imaging.grid import Grid, Volume, in_file_order

PET_CLASS = "1.2.840.10008.5.1.4.1.1.128"
INTERCEPT_HU = -1024
HIGHEST_STORED = 32767

InstanceUid = Callable[[int], str]
"""SOP Instance UID of image k of a series, from 0."""


def axial(array: np.ndarray, grid: Grid) -> Volume:
    """Voxels (x, y, z) in RAS order in a scanner's order: columns to the left, rows to the back; no copy."""
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    flip[:2, 3] = np.array(grid.shape[:2]) - 1.0
    return Volume(array, grid, Grid(grid.shape, grid.affine @ flip))


def ct_images(ct: Volume, common: Dataset, instance_uid: InstanceUid) -> list[FileDataset]:
    """A CT as one image per slice, in signed 16 bit with a rescale intercept of -1024 HU.

    Args:
        ct: Whole HU from -1024 to 31743; its `file_grid` is indexed (column, row, slice).
        common: What all images share: patient, study, series, frame of reference, equipment.
        instance_uid: Names the images.

    Raises:
        ValueError: If the values are not whole numbers in this range.
    """
    low, high = INTERCEPT_HU, INTERCEPT_HU + HIGHEST_STORED
    if ct.array.dtype.kind not in "iu" or ct.array.min() < low or ct.array.max() > high:
        raise ValueError(
            f"a CT is written from whole HU between {low} and {high}, got {ct.array.dtype} from "
            f"{ct.array.min():g} to {ct.array.max():g}; round and clip it first"
        )
    images = []
    for image, plane in _planes(ct, CT_CLASS, common, instance_uid):
        image.Modality = "CT"
        image.RescaleSlope, image.RescaleIntercept, image.RescaleType = "1", str(INTERCEPT_HU), "HU"
        images.append(with_pixels(image, plane.astype(np.int32) - INTERCEPT_HU))
    return images


def pet_images(pet_suv: Volume, common: Dataset, instance_uid: InstanceUid) -> list[FileDataset]:
    """A PET as one image per slice, in Bq/ml decay-corrected to the start of the series.

    Each slice has a rescale slope of its own, so that its highest value uses all bits. From SUV to Bq/ml it
    goes by `osln.dicom.reading.suv.suv_conversion`, as it is read back.

    Args:
        pet_suv: SUVbw from 0; its `file_grid` is indexed (column, row, slice).
        common: What all images share, with PatientWeight, SeriesDate, SeriesTime, ActualFrameDuration (one
            frame, from the series' time on) and the item of RadiopharmaceuticalInformationSequence.
        instance_uid: Names the images.

    Raises:
        ValueError: If a value is negative or not finite, or from `suv_conversion`.
    """
    if not np.isfinite(pet_suv.array).all() or pet_suv.array.min() < 0:
        raise ValueError("a PET is written from finite SUV of 0 or more; clip it first")
    start = common.SeriesDate, common.SeriesTime
    isotope = common.RadiopharmaceuticalInformationSequence[0]
    duration_s = float(common.ActualFrameDuration) / 1000
    decay = math.log(2) / float(isotope.RadionuclideHalfLife) * duration_s
    images = []
    for k, (image, plane) in enumerate(_planes(pet_suv, PET_CLASS, common, instance_uid)):
        image.Modality, image.Units, image.DecayCorrection = "PT", "BQML", "START"
        image.AcquisitionDate, image.AcquisitionTime = start
        # The mean activity of a frame is that of a moment a little before its middle.
        image.FrameReferenceTime = ds(1000 * duration_s * math.log(decay / -math.expm1(-decay)) / decay)
        image.DecayFactor = ds(decay / -math.expm1(-decay))
        image.ImageIndex, image.NumberOfSlices = k + 1, pet_suv.file_grid.shape[2]
        bqml = plane.astype(np.float64) / suv_conversion([image]).factors[0]
        image.RescaleSlope = ds(bqml.max() / HIGHEST_STORED if bqml.any() else 1.0)
        image.RescaleIntercept = "0"
        stored = np.clip(np.rint(bqml / float(image.RescaleSlope)), 0, HIGHEST_STORED)
        images.append(with_pixels(image, stored))
    return images


def _planes(
    volume: Volume, sop_class: str, common: Dataset, instance_uid: InstanceUid
) -> Iterator[tuple[FileDataset, np.ndarray]]:
    """Each image without its pixels, and its values (rows, columns)."""
    for k, plane in enumerate(planes_of(volume)):
        image = empty_image(sop_class, common)
        image.update(placed(volume.file_grid, k, instance_uid(k)))
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        yield image, plane


def planes_of(volume: Volume) -> np.ndarray:
    """Values (slice, row, column) of a volume whose `file_grid` is indexed (column, row, slice); no copy."""
    return in_file_order(volume.array, volume.grid, volume.file_grid).transpose(2, 1, 0)


def empty_image(sop_class: str, common: Dataset) -> FileDataset:
    """An image with what all images of its series share, and nothing else."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.is_little_endian, image.is_implicit_VR = True, False
    image.update(common)
    image.SOPClassUID = sop_class
    return image


def placed(grid: Grid, k: int, uid: str) -> Dataset:
    """UID, number and image plane of slice k of a grid that is indexed (column, row, slice)."""
    image = Dataset()
    image.SOPInstanceUID, image.InstanceNumber = uid, k + 1
    axes, spacing = grid.direction * LPS_TO_RAS[:, None], grid.spacing_mm
    image.ImagePositionPatient = lps_ds(grid, k)
    image.ImageOrientationPatient = _all_ds([*axes[:, 0], *axes[:, 1]])
    image.PixelSpacing = _all_ds([spacing[1], spacing[0]])
    image.SliceThickness = ds(spacing[2])
    image.Columns, image.Rows = grid.shape[:2]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    return image


def lps_ds(grid: Grid, k: int) -> list[str]:
    """Center of the first pixel of slice k in DICOM's patient system."""
    return _all_ds(grid.index_to_mm(np.array([0, 0, k])) * LPS_TO_RAS)


def with_pixels(image: FileDataset, stored: np.ndarray) -> FileDataset:
    """The image with signed 16 bit pixels (rows, columns)."""
    image.PixelData = np.ascontiguousarray(stored, "<i2").tobytes()
    return image


def ds(value: float) -> str:
    """A decimal string as exact as its 16 characters allow; no minus before a zero."""
    return format_number_as_ds(float(value) + 0.0)


def _all_ds(values: Sequence[float] | np.ndarray) -> list[str]:
    return [ds(value) for value in values]
