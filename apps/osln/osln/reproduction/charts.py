"""Curves and histograms of the results as figures."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from osln.metrics.definitions import Counts, macro_curves
from osln.metrics.froc import MFROC_FALSE_POSITIVES, froc
from osln.metrics.matching import Scored
from osln.rows.experiments import OPERATING_PRECISION

LARGEST_FALSE_POSITIVES = 10.0


def froc_chart(panels: Mapping[str, Mapping[str, Sequence[Sequence[Scored]]]]) -> Figure:
    """FROC curves, a panel for each block of a table.

    Args:
        panels: For each panel's title the lines by caption: (score, hit) pairs of the patients for each
            training; the sensitivities of several trainings are averaged.
    """
    at = np.linspace(0, LARGEST_FALSE_POSITIVES, 201)
    figure = Figure(figsize=(1 + 4.6 * len(panels), 4.8), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (title, lines) in zip(grid, panels.items(), strict=True):
        for caption, seeds in lines.items():
            curves = [froc(patients) for patients in seeds]
            axes.plot(at, np.mean([curve.at(at.tolist()) for curve in curves], axis=0), label=caption)
        for target in MFROC_FALSE_POSITIVES:
            axes.axvline(target, color="0.85", linewidth=0.8, zorder=0)
        axes.set(
            title=title, xlabel="false positives per patient", xlim=(0, LARGEST_FALSE_POSITIVES), ylim=(0, 1)
        )
        axes.legend(fontsize=7, loc="lower right")
    grid[0].set_ylabel("sensitivity")
    return figure


def recall_precision_chart(lines: Mapping[str, Sequence[Counts]]) -> Figure:
    """Macro recall against macro precision over the voxel threshold, one line for each row.

    Args:
        lines: Counts of the patients for each training by caption; the first training of each is drawn.
    """
    figure = Figure(figsize=(8, 5.2), layout="constrained")
    axes = figure.subplots()
    for caption, seeds in lines.items():
        recall, precision = macro_curves(seeds[0])
        axes.plot(precision, recall, label=caption, linestyle="--" if caption.endswith("(control)") else "-")
    axes.axvspan(0.10, 0.20, color="0.93", zorder=0)
    axes.axvline(OPERATING_PRECISION, color="0.75", linewidth=0.8, zorder=0)
    axes.set(xlabel="macro precision", ylabel="macro recall", xlim=(0, 0.6), ylim=(0, 1))
    axes.legend(fontsize=8, loc="upper right")
    return figure


def volume_chart(volumes_mm3: Mapping[str, np.ndarray]) -> Figure:
    """Histogram of node volumes by zone, as in the paper's Figure 1g."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    everything = np.concatenate([*volumes_mm3.values(), np.ones(0)])
    if len(everything):
        edges = np.geomspace(everything.min() * 0.9, everything.max() * 1.1, 25) / 1000
        titles = [f"{zone} ({len(values)})" for zone, values in volumes_mm3.items()]
        axes.hist(
            [values / 1000 for values in volumes_mm3.values()], edges.tolist(), stacked=True, label=titles
        )
        axes.set_xscale("log")
        axes.legend()
    axes.set(xlabel="volume of a node, ml", ylabel="nodes")
    return figure
