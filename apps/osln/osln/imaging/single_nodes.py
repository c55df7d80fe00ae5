"""Lymph nodes told apart, also where they touch.

The truth about nodes is a map with a value for each of them. Viewers show one value for all nodes, so what
comes back from them is a mask; where nodes touch, only the stored map still knows which voxel is whose.
"""

from collections.abc import Collection

import numpy as np
from scipy import ndimage

from osln.imaging.grid import mask_box
from osln.imaging.instances import CONNECTIVITY


def single_nodes(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """26-connected parts of each value of a label map.

    Voxels of different values are never one node. Parts of one value that lie apart are nodes of their own,
    as the parts of a contoured region are.

    Args:
        labels: (x, y, z) mask or whole numbers, 0 outside nodes.

    Returns:
        (x, y, z) int32 with the values 1 to n, and n.
    """
    found = np.zeros(labels.shape, dtype=np.int32, order="F" if labels.flags.f_contiguous else "C")
    if not labels.any():
        return found, 0
    whole = _box(labels)
    inside, target = labels[whole], found[whole]
    count = 0
    values = inside.astype(np.uint8) if inside.dtype == bool else inside
    for value, box in enumerate(ndimage.find_objects(values), start=1):
        if box is not None:
            parts, number = ndimage.label(values[box] == value, CONNECTIVITY)
            target[box][parts > 0] = parts[parts > 0] + count
            count += number
    return found, count


def nodes_of(label: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    """The map that tells a label's nodes apart: `kept` if it belongs to the label, else the label itself.

    Args:
        label: (x, y, z), nonzero inside nodes.
        kept: Map that was stored beside it. It belongs to the label if it covers the same voxels and the
            label has one value only.
    """
    if kept is None or kept.shape != label.shape:
        return label
    occupied = label != 0
    if not np.array_equal(occupied, kept != 0) or len(np.unique(label[occupied])) > 1:
        return label
    return kept


def as_stored(label: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    """The nodes of a label with the values that they are stored with.

    Args:
        label: (x, y, z), nonzero inside nodes.
        kept: Map that was stored beside it, or None.

    Returns:
        (x, y, z): `kept` as it is where it belongs to the label (`nodes_of`), even if a node of it lies in
        several parts; else the single nodes of the label, 1 to n.
    """
    found = nodes_of(label, kept)
    return found if found is kept else single_nodes(found)[0]


def told_apart(
    labels: np.ndarray, mixed: Collection[int], former: np.ndarray | None
) -> tuple[np.ndarray, int]:
    """Single nodes of a submitted label, of which some values stand for any number of nodes.

    Args:
        labels: (x, y, z), a value for each submitted segment.
        mixed: Values that say nothing about single nodes: there `keep_apart` decides.
        former: Map of the nodes as they are stored; None if there are none.

    Returns:
        (x, y, z) int32 with the values 1 to n, and how many nodes were kept apart in parts that were redrawn.
    """
    apart, redrawn = labels.astype(np.int32), 0
    if former is None:
        return single_nodes(apart)[0], 0
    for value in mixed:
        mask = labels == value
        kept, touching = keep_apart(former, mask)
        apart[mask] = kept[mask] + int(apart.max())
        redrawn += touching
    return single_nodes(apart)[0], redrawn


def keep_apart(former: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Divides the parts of a mask among the nodes that are stored there.

    A voxel of a stored node stays with it. A voxel that is new goes to the nearest stored node, found by
    growing the stored nodes inside the part voxel by voxel, so that none is torn. A part with one stored node
    or none is one node.

    Args:
        former: (x, y, z), a value for each stored node.
        mask: (x, y, z) bool, the new voxels of all nodes.

    Returns:
        (x, y, z) int32, a value above 0 in all of the mask; and how many nodes share a part that is not,
        voxel by voxel, what was stored.
    """
    found, redrawn = np.zeros(mask.shape, dtype=np.int32, order="F" if mask.flags.f_contiguous else "C"), 0
    if not mask.any():
        return found, 0
    highest = int(former.max())
    parts, _ = ndimage.label(mask[(whole := _box(mask))], CONNECTIVITY)
    sizes = np.bincount(former[former > 0], minlength=highest + 1)
    former, target = former[whole], found[whole]
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        part = parts[box] == number
        owner = np.where(part, former[box], 0).astype(np.int32)
        stored = np.unique(owner[owner > 0])
        if len(stored) > 1:
            # Voxels of the stored nodes, and no others: nothing was drawn here.
            same = np.count_nonzero(part) == np.count_nonzero(owner) == sizes[stored].sum()
            redrawn += 0 if same else len(stored)
            target[box][part] = _grown(owner, part)[part]
        else:
            target[box][part] = highest + number
    return found, redrawn


def _grown(owner: np.ndarray, part: np.ndarray) -> np.ndarray:
    while (missing := part & (owner == 0)).any():
        near = missing & ndimage.binary_dilation(owner > 0, CONNECTIVITY)
        nearest = ndimage.distance_transform_edt(owner == 0, return_distances=False, return_indices=True)
        owner[near] = owner[tuple(nearest[:, near])]
    return owner


def _box(labels: np.ndarray) -> tuple[slice, ...]:
    return tuple(slice(a, b) for a, b in zip(*mask_box(labels != 0), strict=True))
