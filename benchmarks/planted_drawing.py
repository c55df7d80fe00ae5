"""Draws the figure of `benchmarks.planted`: what a real CT has that a row takes for a node."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from scipy import ndimage

from benchmarks.planted_figures import Place, Record, places
from osln.phantom.planted.real_ct import RealCt

mpl.use("Agg")
import matplotlib.pyplot as plt

WINDOW_HU = (-160.0, 240.0)
SIDE_MM = 90.0
PIXEL_MM = 0.5
SHOWN = 7
FALSE_POSITIVES = 8.0


def draw(path: Path, real: RealCt, rows: Mapping[str, Sequence[Record]]) -> None:
    """Write the figure: a line of pictures for each row, its most frequent places first.

    Args:
        path: PNG.
        real: the CT that all patients were planted into; its own anatomy is shown, without planted nodes.
        rows: records of the patients by the row's name.
    """
    figure, axes = plt.subplots(len(rows), SHOWN, figsize=(1.8 * SHOWN, 2.15 * len(rows)), squeeze=False)
    for line, (row, records) in zip(axes, rows.items(), strict=True):
        found = places(records, FALSE_POSITIVES)
        for axis, place in zip(line, found, strict=False):
            axis.imshow(axial(real, place.center_mm), cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1])
            middle = SIDE_MM / PIXEL_MM / 2
            axis.add_patch(plt.Circle((middle, middle), 9 / PIXEL_MM, fill=False, color="tab:orange"))
            axis.set_title(caption(place, len(records)), fontsize=7)
        for axis in line:
            axis.set(xticks=[], yticks=[], frame_on=False)
        line[0].set_ylabel(row, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=80, bbox_inches="tight")
    plt.close(figure)


def caption(place: Place, patients: int) -> str:
    """How often the place is taken for a node, its highest score and the uptake planted there."""
    return f"in {place.patients} of {patients}\nscore {place.score:.2f}, SUV {place.suv_max:.1f}"


def axial(real: RealCt, center_mm: np.ndarray) -> np.ndarray:
    """HU of a square of `SIDE_MM` about a place, as radiologists see it: front above, right side left.

    Args:
        real: The CT.
        center_mm: (3,) RAS mm.
    """
    count = round(SIDE_MM / PIXEL_MM)
    offsets = (np.arange(count) - (count - 1) / 2) * PIXEL_MM
    points = np.empty((count, count, 3))
    points[..., 0] = center_mm[0] - offsets
    points[..., 1] = center_mm[1] - offsets[:, None]
    points[..., 2] = center_mm[2]
    index = real.ct.grid.mm_to_index(points.reshape(-1, 3)).T
    values = ndimage.map_coordinates(real.ct.array.astype(np.float32), index, order=1, cval=-1000.0)
    return values.reshape(count, count)
