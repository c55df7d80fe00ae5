"""What an inference hands back: a label map in the CT's own voxel order, and its candidates."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from osln.imaging.grid import Grid, in_file_order, write_volume
from osln.stage_one.candidates import Detections

EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd")
COLORS = {"lymph node": (68, 172, 100), "rejected candidate": (192, 104, 88)}
"""Of segments, red, green, blue of 255: Slicer's own color for a lymph node."""
DTYPES = ("uint8", "uint16", "int16", "int32", "uint32", "float32")


def entries(found: Detections) -> dict[str, Any]:
    """Candidates as JSON values, each with its box in millimeters, and the grid their voxel boxes mean."""
    result = found.to_json()
    del result["seconds"]
    for entry in result["candidates"]:
        corners = [[x, y, z] for x in entry["box"][0] for y in entry["box"][1] for z in entry["box"][2]]
        # Voxel faces, half a voxel before the first and past the last center.
        faces = found.column.grid.index_to_mm([[value - 0.5 for value in corner] for corner in corners])
        entry["box_mm"] = [faces.min(axis=0), faces.max(axis=0)]
    grid = found.column.grid
    return result | {
        "coordinates": "RAS patient system in millimeters (x to the right, y to the front, z to the head)",
        "grid": {"shape": grid.shape, "affine": grid.affine, "meaning": "voxel boxes of the candidates"},
    }


def write_label_map(
    labels: np.ndarray,
    grid: Grid,
    file_grid: Grid,
    names: Mapping[str, int],
    *,
    extension: str = ".nii.gz",
    dtype: str = "uint8",
    compress: bool = True,
) -> Path:
    """Writes a temporary file that MONAI Label deletes after the reply.

    Viewers copy the voxels one by one onto the CT that they loaded, without a look at the geometry, so the
    file's voxel order is that of the CT's file.

    Args:
        labels: (x, y, z) integers on `grid`.
        grid: The CT's grid in closest-RAS order.
        file_grid: The same voxels in the axes order of the CT's file.
        names: Value by name. A `.seg.nrrd` says them itself; beside other files they have to be told.
        extension: One of `EXTENSIONS`.
        dtype: One of `DTYPES`.
        compress: Whether NRRD voxels are compressed; NIfTI says it by its name.

    Returns:
        The path of the file, which nobody else could have created before.
    """
    handle, name = tempfile.mkstemp(prefix="osln-", suffix=extension, dir=_folder())
    os.close(handle)
    path = Path(name)
    voxels = labels.astype(dtype)
    try:
        if extension.endswith(".nrrd"):
            segments = segment_fields(names, file_grid.shape) if extension == ".seg.nrrd" else {}
            _write_nrrd(path, in_file_order(voxels, grid, file_grid), file_grid, segments, compress)
        else:
            write_volume(path, voxels, grid, file_grid)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


@cache
def _folder() -> str:
    """A folder of this process for results on their way.

    MONAI Label's client saves a result under the server's file name, by default in the temporary folder.
    Were the server's own file there too, a client on the same computer would lose its copy when the
    server removes that file after sending it.
    """
    path = tempfile.mkdtemp(prefix="osln-results-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def segment_fields(names: Mapping[str, int], shape: tuple[int, ...]) -> dict[str, str]:
    """Header fields by which 3D Slicer takes an NRRD file for a segmentation.

    Args:
        names: Value by name of the segment.
        shape: Voxels along the file's axes.

    Reference: 3D Slicer user guide, "Segmentations", segmentation file format.
    """
    fields = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for number, (name, value) in enumerate(names.items()):
        segment = {
            "ID": name,
            "Name": name,
            "Color": " ".join(f"{part / 255:.6f}" for part in COLORS[name]),
            "LabelValue": str(value),
            "Layer": "0",
            "Extent": " ".join(f"0 {length - 1}" for length in shape),
        }
        fields |= {f"Segment{number}_{key}": text for key, text in segment.items()}
    return fields


def _write_nrrd(
    path: Path, voxels: np.ndarray, grid: Grid, fields: Mapping[str, str], compress: bool
) -> None:
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T))
    for key, text in fields.items():
        image.SetMetaData(key, text)
    # ITK's patient axes are LPS, ours are RAS.
    to_lps = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetOrigin((to_lps @ grid.affine[:3, 3]).tolist())
    image.SetDirection((to_lps @ grid.direction).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=compress)
