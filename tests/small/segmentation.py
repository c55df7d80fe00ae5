"""Segmentation files in the form that 3D Slicer gives them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk


def segmentation(
    path: Path,
    arrays: Sequence[np.ndarray],
    affine: np.ndarray,
    segments: Sequence[tuple[int, int, str]],
    *,
    compress: bool = False,
) -> Path:
    """Writes a Slicer segmentation: arrays (x, y, z) by layer, segments as (layer, value, name)."""
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    layers = []
    for array in arrays:
        image = sitk.GetImageFromArray(np.ascontiguousarray(array.T.astype(np.uint8)))
        image.SetSpacing(spacing.tolist())
        image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(lps[:3, 3].tolist())
        layers.append(image)
    image = layers[0] if len(layers) == 1 else sitk.Compose(layers)
    for number, (layer, value, name) in enumerate(segments):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_Layer", str(layer))
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
    sitk.WriteImage(image, str(path), useCompression=compress)
    return path
