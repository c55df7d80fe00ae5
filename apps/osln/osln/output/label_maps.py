"""Label maps in the CT's own voxel order: NIfTI, NRRD, and NRRD that 3D Slicer takes for a segmentation."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from osln.files.images import split_suffix, write_atomically
from osln.imaging.grid import Grid, in_file_order, write_volume
from osln.imaging.study import Study
from osln.stage_one.candidates import Detections

EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd")
DTYPES = ("uint8", "uint16", "int16", "int32", "uint32", "float32")
LABELS = {"lymph node": 1}
WITH_REJECTED = {**LABELS, "rejected candidate": 2}
COLORS = {"lymph node": (68, 172, 100), "rejected candidate": (192, 104, 88)}
"""Of segments, red, green, blue of 255: Slicer's own color for a lymph node."""
LAST_OF_A_BYTE = 250
"""Candidates up to which a map of all of them has one byte a voxel; viewers need some values themselves."""
LAST_VALUE = 65535
"""Of a label map. Candidates beyond it, which have the lowest scores, are not drawn."""


def label_map(found: Detections, study: Study, *, with_rejected: bool) -> np.ndarray:
    """(x, y, z) uint8 on the CT's grid: 1 for nodes, and 2 for rejected candidates if they are asked for."""
    if not with_rejected:
        found = replace(found, labels=found.kept_labels)
    labels = found.labels_on_ct(study)
    values = (labels > 0).astype(np.uint8)
    # Candidates come by falling score: the kept ones have the smallest ids.
    values += labels > len(found.kept)
    return values


def candidate_map(found: Detections, study: Study) -> np.ndarray:
    """(x, y, z) uint8 or uint16 on the CT's grid: every candidate, kept or not, with its id as the value."""
    labels = found.labels_on_ct(study)
    if len(found.candidates) > LAST_VALUE:
        labels = np.where(labels > LAST_VALUE, 0, labels)
    return labels.astype(candidate_dtype(found))


def candidate_names(found: Detections) -> dict[str, int]:
    """Value by name of each candidate in `candidate_map`; those that are not kept are no lymph nodes."""
    return {
        f"{'lymph node' if candidate.kept else 'rejected candidate'} {candidate.id}": candidate.id
        for candidate in found.candidates[:LAST_VALUE]
    }


def candidate_dtype(found: Detections) -> str:
    """Type that holds the values of `candidate_map`."""
    return "uint8" if len(found.candidates) <= LAST_OF_A_BYTE else "uint16"


def write_label_map(
    path: Path,
    labels: np.ndarray,
    grid: Grid,
    file_grid: Grid,
    names: Mapping[str, int],
    *,
    dtype: str = "uint8",
    compress: bool = True,
) -> None:
    """Writes a label map, whole or not at all.

    Viewers copy the voxels one by one onto the CT that they loaded, without a look at the geometry, so the
    file's voxel order is that of the CT's file.

    Args:
        path: Ends with one of `EXTENSIONS`; its folder exists.
        labels: (x, y, z) integers on `grid`.
        grid: The CT's grid in closest-RAS order.
        file_grid: The same voxels in the axes order of the CT's file.
        names: Value by name. A `.seg.nrrd` says them itself; beside other files they have to be told.
        dtype: One of `DTYPES`.
        compress: Whether NRRD voxels are compressed; NIfTI says it by its name.
    """
    voxels = labels.astype(dtype)
    if split_suffix(path)[1] != ".nrrd":
        write_volume(path, voxels, grid, file_grid)
        return
    segments = segment_fields(names, file_grid.shape) if path.name.endswith(".seg.nrrd") else {}
    image = _itk_image(in_file_order(voxels, grid, file_grid), file_grid, segments)
    with tempfile.TemporaryDirectory(prefix="osln-") as folder:
        written = Path(folder) / path.name
        sitk.WriteImage(image, str(written), useCompression=compress)
        write_atomically(path, written.read_bytes())


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
            "Color": " ".join(f"{part / 255:.6f}" for part in COLORS[name.rstrip("0123456789 ")]),
            "LabelValue": str(value),
            "Layer": "0",
            "Extent": " ".join(f"0 {length - 1}" for length in shape),
        }
        fields |= {f"Segment{number}_{key}": text for key, text in segment.items()}
    return fields


def _itk_image(voxels: np.ndarray, grid: Grid, fields: Mapping[str, str]) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T))
    for key, text in fields.items():
        image.SetMetaData(key, text)
    # ITK's patient axes are LPS, ours are RAS.
    to_lps = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetOrigin((to_lps @ grid.affine[:3, 3]).tolist())
    image.SetDirection((to_lps @ grid.direction).ravel().tolist())
    return image
