"""A simulated annotator: clicks into a node, then where the answer is wrong most."""

import numpy as np
from scipy import ndimage

from osln.clicks.clicks import Clicks
from osln.imaging.grid import Grid, mask_box

_MARGIN = 1


def deepest(mask: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Index (3,) of the voxel of a mask that lies deepest in it; the first one of equals."""
    low, high = mask_box(mask)
    part = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    # The voxels beyond an array's end are not of the mask either.
    depth = ndimage.distance_transform_edt(np.pad(part, _MARGIN), sampling=spacing_mm)
    return low + np.array(np.unravel_index(int(np.argmax(depth)), depth.shape)) - _MARGIN


def first_click(node: np.ndarray, grid: Grid) -> Clicks:
    """A click on the node where it is deepest.

    Args:
        node: (x, y, z) bool on `grid`, not empty.
        grid: Of the CT.
    """
    return Clicks(grid.index_to_mm(deepest(node, grid.spacing_mm))[None], np.zeros((0, 3)))


def next_clicks(clicks: Clicks, answer: np.ndarray, node: np.ndarray, grid: Grid) -> Clicks:
    """The clicks and one more: in the middle of the largest connected error, missed or too much.

    Args:
        clicks: So far.
        answer, node: (x, y, z) bool on `grid`: what was answered, and the truth.
        grid: Of the CT.

    Returns:
        The same clicks if there is no error, or the place was clicked already.
    """
    wrong = node != answer
    if not wrong.any():
        return clicks
    low, high = mask_box(wrong)
    part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    best: tuple[int, np.ndarray, bool] | None = None
    for missed in (True, False):
        parts, count = ndimage.label(wrong[part] & (node[part] == missed))
        if count:
            sizes = np.bincount(parts.ravel())[1:]
            largest = int(np.argmax(sizes))
            if best is None or sizes[largest] > best[0]:
                best = (int(sizes[largest]), parts == largest + 1, missed)
    assert best is not None
    point = grid.index_to_mm(low + deepest(best[1], grid.spacing_mm))
    made = np.concatenate([clicks.foreground, clicks.background])
    if np.linalg.norm(made - point, axis=1).min() < 1e-3:
        return clicks
    if best[2]:
        return Clicks(np.concatenate([clicks.foreground, point[None]]), clicks.background)
    return Clicks(clicks.foreground, np.concatenate([clicks.background, point[None]]))
