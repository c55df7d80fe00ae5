"""Pixels of one DICOM image in the units of its rescale slope, compressed or not."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

PLAIN = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    RLELossless,
)
"""Transfer syntaxes that pydicom reads by itself."""
REMEDY = (
    "install pylibjpeg, pylibjpeg-libjpeg and pylibjpeg-openjpeg beside this software, or decompress the "
    "files first (gdcmconv --raw, dcmdjpeg)"
)


def rescaled_pixels(path: Path, name: str) -> tuple[np.ndarray, Dataset]:
    """Values of one image: stored value x RescaleSlope + RescaleIntercept.

    Args:
        path: A single-frame, single-channel image.
        name: What the image is called in messages, for instance "image 12 of the CT".

    Returns:
        (rows, columns) float64 or integers, and the header with the pixels taken out.

    Raises:
        ValueError: If the file is truncated, has several frames or colors, or its compression is not known.
    """
    ds = _read(path, name)
    if int(ds.get("NumberOfFrames") or 1) != 1:
        raise ValueError(f"{name} has several frames (enhanced DICOM); export the series as single slices")
    if int(ds.get("SamplesPerPixel") or 1) != 1 or ds.get("PhotometricInterpretation") != "MONOCHROME2":
        kind = ds.get("PhotometricInterpretation")
        raise ValueError(f"{name} is stored as {kind}; expected one gray value per pixel (MONOCHROME2)")
    syntax = UID(str(ds.file_meta.TransferSyntaxUID))
    slope, intercept = (
        float(ds.get(key, default)) for key, default in (("RescaleSlope", 1), ("RescaleIntercept", 0))
    )
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise ValueError(f"{name} has no usable RescaleSlope ({slope:g}); export the series again")
    if syntax not in PLAIN:
        values = _decompressed(path, ds, syntax, name, slope, intercept)
    else:
        values = _scaled(_stored(ds, name), slope, intercept)
    if values.shape != (int(ds.Rows), int(ds.Columns)):
        raise ValueError(f"{name} has {values.shape} pixels where its header says {ds.Rows} x {ds.Columns}")
    del ds.PixelData
    return values, ds


def _read(path: Path, name: str) -> Dataset:
    try:
        with warnings.catch_warnings():
            # A truncated file is warned about and then lacks its pixels: said below.
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(path)
    except Exception as error:
        # Damaged files make the reader raise nearly anything.
        raise ValueError(f"{name} cannot be read: {str(error)[:200]}; copy the file again") from error
    if "PixelData" not in ds or "TransferSyntaxUID" not in ds.file_meta:
        raise ValueError(f"{name} is truncated or has no pixels; copy the file again")
    return ds


def _stored(ds: Dataset, name: str) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = ds.pixel_array
    except Exception as error:
        raise ValueError(
            f"the pixels of {name} cannot be decoded: it is truncated or damaged, copy it again"
        ) from error
    allocated, bits = int(ds.BitsAllocated), int(ds.BitsStored)
    above = allocated - 1 - int(ds.get("HighBit", bits - 1))
    if allocated > bits and stored.dtype.itemsize * 8 == allocated:
        if not 0 <= above <= allocated - bits:
            raise ValueError(f"HighBit and BitsStored of {name} contradict each other; export it again")
        # Old scanners keep overlays in the unused bits; the shift back keeps the sign.
        stored = (stored << above) >> (allocated - bits)
    return stored


def _decompressed(
    path: Path, ds: Dataset, syntax: UID, name: str, slope: float, intercept: float
) -> np.ndarray:
    """By GDCM inside SimpleITK, which applies the slope itself; else by what pydicom finds installed."""
    try:
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))[0]
    except RuntimeError:
        pass
    try:
        return _scaled(_stored(ds, name), slope, intercept)
    except ValueError as error:
        raise ValueError(
            f"{name} is compressed as {syntax.name}, which cannot be decoded here (or it is damaged): "
            f"{REMEDY}"
        ) from error


def _scaled(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    if slope == 1 and intercept == int(intercept):
        return stored.astype(np.int32) + int(intercept)
    return stored * np.float64(slope) + intercept
