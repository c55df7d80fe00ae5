"""Label files as they come from other programs, brought onto the CT's grid without changing a voxel.

Read are NIfTI and NRRD label maps and Slicer's `.seg.nrrd`, whose segments may overlap in layers. A file is
accepted when its voxels are the CT's voxels in any order of the axes; nothing is ever interpolated.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from isal import igzip

from osln.files import nrrd
from osln.files.images import nifti_bytes, promised_shape, split_suffix
from osln.imaging.grid import Grid, grids_differ, in_file_order, read_volume

GRID_TOLERANCE = 0.1
"""How far the corners of a label may lie from the CT's, in voxels: what rounding in a header can do."""

SUFFIXES = (".nii.gz", ".nii", ".nrrd")
MAX_VALUE = 65535
MOST_LAYERS = 8
"""Times the CT's voxels that a label may hold: segments that overlap lie in layers."""


@dataclass(frozen=True)
class LabelFile:
    """A label map on the CT's grid.

    Attributes:
        layers: Integer arrays (x, y, z) on the CT's grid in closest-RAS order; several when segments overlap.
        names: Segment name by (layer, value), as the file itself tells it; empty if it does not.
    """

    layers: list[np.ndarray]
    names: dict[tuple[int, int], str]


def read_label_map(path: str | Path, ct: Grid) -> np.ndarray:
    """A label of which no layer lies over another, as (x, y, z) on the CT's grid; see `read_label_file`.

    Segments of a further layer get values behind those of the layers before it.

    Raises:
        ValueError: As `read_label_file`; or segments of several layers share voxels, or have too many values.
    """
    first, *others = read_label_file(path, ct).layers
    if not others:
        return first
    merged = first.astype(np.uint32)
    for layer in others:
        over = layer != 0
        if (merged[over] > 0).any():
            raise ValueError(
                f"{Path(path).name} holds segments that lie over each other: give each voxel to one of them "
                "(in 3D Slicer: Segment Editor, Masking, allow no overlap)"
            )
        merged[over] = layer[over].astype(np.uint32) + merged.max()
    return whole_numbers(merged)


def read_label_file(path: str | Path, ct: Grid) -> LabelFile:
    """Reads a label and maps it onto the CT's grid.

    Args:
        path: .nii.gz, .nii, .nrrd or .seg.nrrd.
        ct: The CT's grid in closest-RAS order.

    Raises:
        ValueError: If the file cannot be read, holds anything but whole numbers of 0 to 65535, or lies on
            another grid than the CT.
    """
    path = Path(path)
    suffix = split_suffix(path)[1].lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"a file that ends with {suffix[-20:] or 'nothing'} cannot be read as a label: expected one that "
            f"ends with one of {SUFFIXES}"
        )
    _check_header(path, ct, suffix)
    if suffix == ".nrrd":
        layers, affine, names, cropped = _read_nrrd(path)
    else:
        volume = read_volume(path)
        layers, affine, names, cropped = [volume.array], volume.grid.affine, {}, False
    whole = [whole_numbers(layer) for layer in layers]
    if cropped and all(layer.size == 1 and not layer.any() for layer in whole):
        # Slicer stores segments that are all empty as one voxel at the origin, wherever the CT lies.
        return LabelFile([np.zeros(ct.shape, dtype=np.uint8, order="F")], names)
    grid = Grid(whole[0].shape, affine)
    return LabelFile([map_exactly(layer, grid, ct, cropped=cropped) for layer in whole], names)


def map_exactly(labels: np.ndarray, grid: Grid, target: Grid, *, cropped: bool = False) -> np.ndarray:
    """Voxels of `grid` in the order of `target`, by flips and permutations that the affines tell.

    Args:
        labels: (x, y, z) on `grid`.
        grid: Where the voxels lie.
        target: The same voxels, possibly in another order of the axes.
        cropped: Accept a part of the target's voxels; the rest becomes 0.

    Raises:
        ValueError: If the voxels are not those of `target`; says both shapes, spacings and first corners.
    """
    # Voxel of the target = turn @ voxel of the label + shift.
    turn = np.linalg.inv(target.affine[:3, :3]) @ grid.affine[:3, :3]
    exact = np.rint(turn)
    shift = target.mm_to_index(grid.affine[:3, 3])
    last = np.asarray(grid.shape) - 1
    drift = np.abs(turn - exact) @ last + np.abs(shift - np.rint(shift))
    permutes = (np.abs(exact).sum(axis=0) == 1).all() and (np.abs(exact).sum(axis=1) == 1).all()
    if not permutes or drift.max() > GRID_TOLERANCE:
        raise ValueError(grids_differ(grid, target))
    order = np.abs(exact).argmax(axis=1)
    flips = tuple(slice(None, None, -1 if exact[axis, order[axis]] < 0 else 1) for axis in range(3))
    turned = np.transpose(labels, order)[flips]
    start = np.rint(shift).astype(int) + np.minimum(exact @ last, 0).astype(int)
    if (start == 0).all() and turned.shape == target.shape:
        return turned
    stop = start + np.asarray(turned.shape)
    if not cropped or (start < 0).any() or (stop > np.asarray(target.shape)).any():
        raise ValueError(grids_differ(grid, target))
    filled = np.zeros(target.shape, dtype=labels.dtype, order="F")
    filled[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = turned
    return filled


def packed_labels(labels: np.ndarray, grid: Grid, file_grid: Grid) -> bytes:
    """A mask or label map (x, y, z) of `grid` as the bytes of a .nii.gz file in the order of `file_grid`.

    Raises:
        ValueError: If it has values above 65535: they would come back as others.
    """
    highest = int(labels.max(initial=0))
    if highest > MAX_VALUE:
        raise ValueError(f"a label map has values up to {MAX_VALUE}, this one up to {highest}")
    small = highest <= 255
    voxels = in_file_order(labels.astype(np.uint8 if small else np.uint16), grid, file_grid)
    return igzip.compress(nifti_bytes(voxels, file_grid.affine))


def _check_header(path: Path, ct: Grid, suffix: str) -> None:
    # A small file can unpack to a huge one: its header is compared before its voxels are read.
    try:
        shape = promised_shape(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be read as a label: {str(error)[-200:]}") from error
    if suffix == ".nrrd":
        fits = math.prod(shape) <= MOST_LAYERS * math.prod(ct.shape)
    else:
        fits = sorted(n for n in shape if n > 1) == sorted(n for n in ct.shape if n > 1)
    if not fits:
        raise ValueError(
            f"the label has the shape {tuple(shape)}, the CT {ct.shape}; export the label on the CT's grid "
            "(in 3D Slicer: choose the CT as the reference volume)"
        )


def _read_nrrd(path: Path) -> tuple[list[np.ndarray], np.ndarray, dict[tuple[int, int], str], bool]:
    try:
        layers, header = nrrd.read(path)
    except ValueError as error:
        raise ValueError(f"the label cannot be read as NRRD: {str(error)[-200:]}") from error
    names = {}
    for key, name in header.tags.items():
        if found := re.fullmatch(r"Segment(\d+)_Name", key):
            layer, value = (
                header.tags.get(f"Segment{found.group(1)}_{what}", default)
                for what, default in (("Layer", "0"), ("LabelValue", "1"))
            )
            if not (layer.isascii() and layer.isdigit() and value.isascii() and value.isdigit()):
                raise ValueError(f"the segment {name[:60]!r} has the layer {layer!r} and the value {value!r}")
            names[int(layer), int(value)] = name
    # Only Slicer's segmentation files are stored as the box around their segments.
    return layers, header.affine, names, any(key.startswith("Segment") for key in header.tags)


def whole_numbers(labels: np.ndarray) -> np.ndarray:
    """The voxels of a label file as uint8 or uint16.

    Raises:
        ValueError: If they hold anything but whole numbers of 0 to 65535.
    """
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            raise ValueError("the label holds NaN or infinite values; export a label map of whole numbers")
        if (labels != np.rint(labels)).any():
            raise ValueError(
                "the label holds fractions; export a label map of whole numbers, not probabilities"
            )
    low, high = (labels.min(), labels.max()) if labels.size else (0, 0)
    if low < 0 or high > MAX_VALUE:
        raise ValueError(f"label values must lie between 0 and {MAX_VALUE}, got {low:g} to {high:g}")
    return labels if labels.dtype == np.uint8 else labels.astype(np.uint16)
