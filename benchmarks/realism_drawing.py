"""Draws the figure of `benchmarks.realism`: curves of CTs and phantoms, slices of phantoms."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.realism_figures import LAGS, SPACING_MM, Figures
from osln.phantom import Phantom

mpl.use("Agg")
import matplotlib.pyplot as plt

COLORS = {
    "real CTs": "black",
    "real CT, check": "tab:red",
    "default phantoms": "tab:purple",
    "realistic phantoms": "tab:orange",
}
SLICES_MM = (245.0, 200.0, 60.0)
WINDOW_HU = (-160.0, 240.0)


def draw(
    path: Path,
    rows: Mapping[str, Sequence[tuple[str, Figures]]],
    phantoms: Mapping[str, Sequence[Phantom]],
) -> None:
    """Write the figure.

    Args:
        path: PNG.
        rows: name and figures of each CT, by group.
        phantoms: some of them by kind; the first of the first kind and three of the last are shown.
    """
    figure = plt.figure(figsize=(11, 10))
    outer = figure.add_gridspec(2, 1, height_ratios=(1, 2.2), hspace=0.18)
    top = outer[0].subgridspec(1, 3, wspace=0.25)
    axes = [figure.add_subplot(top[i]) for i in range(3)]
    middle = np.arange(-197.5, 300, 5.0)
    for group, members in rows.items():
        color = COLORS[group]
        curves = np.array([one.histogram for _, one in members])
        axes[0].plot(middle, curves.mean(axis=0), color=color, label=group)
        if len(members) > 1:
            axes[0].fill_between(middle, *np.percentile(curves, (10, 90), axis=0), color=color, alpha=0.12)
        for axis, tissue in zip(axes[1:], ("fat", "soft"), strict=True):
            rough = np.array([one.roughness[tissue] for _, one in members])
            distance = [lag * SPACING_MM[0] for lag in LAGS]
            axis.plot(distance, rough.T, color=color, alpha=0.3, linewidth=0.8)
            axis.plot(distance, np.nanmean(rough, axis=0), color=color, linewidth=2, marker="o")
    axes[0].set(title="tissue on the demo grid", xlabel="HU", ylabel="share per HU", xlim=(-200, 250))
    axes[0].legend(fontsize=7)
    for axis, tissue in zip(axes[1:], ("fat", "soft tissue"), strict=True):
        axis.set(title=f"roughness of {tissue}", xlabel="distance, mm", ylabel="HU", ylim=(0, None))
    _draw_slices(figure, outer[1].subgridspec(len(SLICES_MM), 4, wspace=0.02, hspace=0.02), phantoms)
    figure.savefig(path, dpi=75, bbox_inches="tight")
    plt.close(figure)


def _draw_slices(figure: "plt.Figure", grid: object, phantoms: Mapping[str, Sequence[Phantom]]) -> None:
    """One default phantom, then three realistic ones, the first of the same seed."""
    kinds = list(phantoms)
    columns = [(kinds[0], phantoms[kinds[0]][0])] + [(kinds[-1], one) for one in phantoms[kinds[-1]][:3]]
    for j, (kind, phantom) in enumerate(columns):
        for i, z in enumerate(SLICES_MM):
            axis = figure.add_subplot(grid[i, j])  # type: ignore[index]
            k = round((z - phantom.affine[2, 3]) / phantom.affine[2, 2])
            picture = phantom.ct_hu[::-1, ::-1, k].T
            axis.imshow(picture, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1])
            axis.axis("off")
            if i == 0:
                axis.set_title(f"{kind.removesuffix('s')}, seed {phantom.seed}", fontsize=8)
