"""Pictures of one patient: CT, PET, tumor, distance and zones, what was found and what is true."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from osln.files.images import write_atomically
from osln.imaging.distance import LIMIT_MM
from osln.imaging.lung_column import LungColumn
from osln.metrics.matching import match
from osln.rows.experiments import PROXIMAL_MM
from osln.stage_one.candidates import Detections

WINDOW_HU = (-160.0, 240.0)
SUV_RANGE = (1.5, 8.0)
HIT, MISS, FALSE, TUMOR, BORDER = "#3ddc55", "#ff4fd8", "#4aa8ff", "#ffd23d", "#ffffff"
REJECTED = "#ff4b3e"
"""As in the paper's Figure 4."""
# Low uptake must not darken the CT, so opacity rises with the SUV.
PET_COLORS = LinearSegmentedColormap.from_list(
    "pet", [(1, 0.45, 0, 0), (1, 0.55, 0, 0.5), (1, 0.95, 0.6, 0.85)]
)


def draw_detections(found: Detections, truth: np.ndarray | None, title: str) -> Figure:
    """A coronal and three axial planes through what was found.

    Args:
        found: Result of `detect`.
        truth: (x, y, z) true node instances on the column's grid, or None if they are not known.
        title: Heading; should say what kind of patient it is.

    Returns:
        A figure; `save_picture` writes it. Found true nodes are green, false candidates blue, candidates that
        stage two rejects red, missed nodes magenta, the tumor yellow, the border of the proximal zone dashed.
        Without truth all kept candidates are blue.
    """
    column = found.column
    hits, misses, false, rejected = _sorted_out(found, truth)
    figure = Figure(figsize=(15, 6.4), facecolor="black", layout="constrained")
    grid = figure.add_gridspec(1, 4, width_ratios=[1.05, 1, 1, 1])
    planes = _planes(column, hits | misses if truth is not None else false)
    for place, (axis, index) in enumerate(planes):
        axes = figure.add_subplot(grid[0, place])
        _draw_plane(axes, column, axis, index)
        for mask, color in ((rejected, REJECTED), (false, FALSE), (misses, MISS), (hits, HIT)):
            _outline(axes, column, mask, axis, index, color)
    names = [("primary tumor", TUMOR), ("70 mm from the tumor", BORDER)]
    names += (
        [("found, true", HIT), ("found, false", FALSE), ("missed", MISS)]
        if truth is not None
        else [("found", FALSE)]
    )
    names += [("rejected", REJECTED)] if found.classifier else []
    lines = [Line2D([], [], color=color, label=name) for name, color in names]
    figure.legend(
        handles=lines, loc="outside lower center", ncols=6, frameon=False, labelcolor="white", fontsize=12
    )
    figure.suptitle(title, parse_math=False, color="white", fontsize=14)
    return figure


def draw_inputs(column: LungColumn, title: str) -> Figure:
    """A coronal plane as in the paper's Figure 2: CT, CT with the nodes, with the distance, with the PET.

    Args:
        column: With nodes and distance; the plane shows the most of the nodes.
        title: Heading; should say what kind of patient it is.

    Returns:
        A figure; the distance is drawn in color with the 70 mm line, the tumor yellow, nodes green.
    """
    nodes = np.zeros(column.ct_hu.shape, bool) if column.nodes is None else column.nodes > 0
    axis, index = _planes(column, nodes)[0]
    bare = replace(column, pet_suv=None, distance_mm=None, tumor=None)
    figure = Figure(figsize=(15, 6.4), facecolor="black", layout="constrained")
    shown = {
        "planning CT": (bare, False),
        "nodes": (replace(bare, tumor=column.tumor), True),
        "distance to the tumor, 70 mm dashed": (replace(column, pet_suv=None), False),
        "PET": (replace(bare, pet_suv=column.pet_suv, tumor=column.tumor), False),
    }
    panels = figure.subplots(1, len(shown))
    for axes, (words, (part, with_nodes)) in zip(panels, shown.items(), strict=True):
        _draw_plane(axes, part, axis, index, shaded=True)
        axes.set_title(words, color="white", fontsize=12)
        if with_nodes:
            _outline(axes, column, nodes, axis, index, HIT)
    figure.suptitle(title, parse_math=False, color="white", fontsize=14)
    return figure


def save_picture(figure: Figure, path: Path) -> None:
    """Writes PNG, whole or not at all."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=80, facecolor=figure.get_facecolor())
    write_atomically(path, buffer.getvalue())


def _sorted_out(
    found: Detections, truth: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Masks of true candidates, missed nodes, false candidates and rejected ones."""
    labels = found.kept_labels
    rejected = (found.labels > 0) & (labels == 0)
    if truth is None:
        return np.zeros(labels.shape, bool), np.zeros(labels.shape, bool), labels > 0, rejected
    matching = match(labels, truth, np.array([candidate.score for candidate in found.kept]))
    missed = np.isin(truth, matching.node_labels[matching.found_by < 0])
    wrong = np.isin(labels, matching.prediction_labels[matching.false_positive])
    return (labels > 0) & ~wrong, missed, wrong, rejected


def _planes(column: LungColumn, wanted: np.ndarray) -> list[tuple[int, int]]:
    """(axis, index) of one coronal and three axial planes that show the most of what is wanted."""
    y = int(np.argmax(wanted.any(axis=2).sum(axis=0))) if wanted.any() else column.ct_hu.shape[1] // 2
    counts = wanted.sum(axis=(0, 1)).astype(float)
    axial = []
    apart = max(round(18 / column.grid.spacing_mm[2]), 1)
    for fallback in (0.3, 0.5, 0.7):
        z = int(np.argmax(counts)) if counts.max() > 0 else int(fallback * len(counts))
        axial.append(z)
        counts[max(z - apart, 0) : z + apart + 1] = 0
    return [(1, y), *((2, z) for z in sorted(axial, reverse=True))]


def _draw_plane(axes: Axes, column: LungColumn, axis: int, index: int, *, shaded: bool = False) -> None:
    """CT with what the column has besides; `shaded` draws the distance in color."""
    ct = _plane(column.ct_hu, axis, index)
    axes.imshow(
        ct, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], interpolation="bilinear", origin="lower"
    )
    if column.pet_suv is not None:
        pet = _plane(column.pet_suv, axis, index)
        axes.imshow(
            pet,
            cmap=PET_COLORS,
            vmin=SUV_RANGE[0],
            vmax=SUV_RANGE[1],
            interpolation="bilinear",
            origin="lower",
        )
    if column.tumor is not None:
        _outline(axes, column, column.tumor, axis, index, TUMOR)
    if column.distance_mm is not None:
        distance = _plane(column.distance_mm, axis, index)
        if shaded:
            axes.imshow(distance, cmap="viridis_r", vmin=0, vmax=LIMIT_MM, alpha=0.35, origin="lower")
        if distance.min() < PROXIMAL_MM < distance.max():
            axes.contour(distance, [PROXIMAL_MM], colors=BORDER, linestyles="dashed", linewidths=0.8)
    spacing = column.grid.spacing_mm
    axes.set_aspect(spacing[2] / spacing[0] if axis == 1 else spacing[1] / spacing[0])
    # Radiologists look from the feet: the patient's right is on the left.
    axes.invert_xaxis()
    axes.set_axis_off()


def _outline(axes: Axes, column: LungColumn, mask: np.ndarray, axis: int, index: int, color: str) -> None:
    plane = _plane(mask, axis, index)
    if plane.any():
        axes.contour(plane, [0.5], colors=color, linewidths=1.6)


def _plane(array: np.ndarray, axis: int, index: int) -> np.ndarray:
    return np.take(array, index, axis=axis).T.astype(np.float32)
