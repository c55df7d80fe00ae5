"""A CT given as an image file or as a folder of DICOM slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from osln.grid import Grid, Volume, canonical, read_volume

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_ct(path: str | Path) -> Volume:
    """Read a CT in HU.

    Args:
        path: NIfTI, NRRD or MetaImage file, or a folder that holds one DICOM series.

    Returns:
        The volume in canonical RAS order.

    Raises:
        ValueError: if the folder holds no DICOM series or several.
    """
    path = Path(path)
    if not path.is_dir():
        return read_volume(path)
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(path))
    if len(series) != 1:
        raise ValueError(f"{path} holds {len(series)} DICOM series, expected one: give the CT's own folder")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path), series[0]))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    hu = sitk.GetArrayFromImage(image).T
    return canonical(hu, Grid(hu.shape, _LPS_TO_RAS @ affine))
