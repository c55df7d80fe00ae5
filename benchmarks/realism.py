"""Measures how much phantoms look like patients: histogram, local SD and texture on the demo grid.

    ./benchmarks/run realism --ct CT.nii.gz FOLDER_OF_DICOM --check OTHER_CT --phantoms 12 --figure OUT.png

The ranges of realistic phantoms were set by the CTs of --ct; those of --check had no say. Prints Markdown;
the figure has curves of all and slices of phantoms only. docs/phantom-realism.md tells what is measured.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.realism_figures import LAGS, RANGES_HU, SHARES, SPACING_MM, Figures, figures, on_demo_grid
from osln.cli.phantoms import read_ct_and_tumor
from osln.imaging.grid import Grid, Volume
from osln.phantom import Phantom, PhantomParameters, RealisticParameters, make_phantom

KINDS = {"default phantoms": PhantomParameters(), "realistic phantoms": RealisticParameters()}
NAMES = (
    *SHARES, "fat mode", "soft mode",
    *(
        f"{tissue} {what}"
        for tissue in RANGES_HU
        for what in ("local SD", *(f"at {lag * SPACING_MM[0]:g} mm" for lag in LAGS), "at one slice")
    ),
)  # fmt: skip
"""Of the figures in `flat`."""
Rows = dict[str, list[tuple[str, Figures]]]
"""Name and figures of each CT, by group."""


def main() -> int:
    """Measures, prints the tables and draws the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ct", type=Path, nargs="*", default=[], metavar="PATH", help="real CTs")
    parser.add_argument(
        "--check", type=Path, nargs="*", default=[], metavar="PATH", help="real CTs to check by"
    )
    parser.add_argument("--phantoms", type=int, default=12, metavar="N", help="phantoms of each kind")
    parser.add_argument("--seed", type=int, default=700, help="of the first phantom")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="draw curves and slices of phantoms")
    options = parser.parse_args()
    rows: Rows = {}
    for group, paths in (("real CTs", options.ct), ("real CT, check", options.check)):
        if paths:
            rows[group] = [(name_of(path), measured(read_ct_and_tumor(path, None)[0])) for path in paths]
    shown: dict[str, list[Phantom]] = {}
    for kind, parameters in KINDS.items():
        made, seconds = [], 0.0
        make_phantom(options.seed, parameters=parameters)  # What is compiled once does not count.
        for seed in range(options.seed, options.seed + options.phantoms):
            start = time.process_time()
            made.append(make_phantom(seed, parameters=parameters))
            seconds += time.process_time() - start
        rows[kind] = [(str(one.seed), measured(volume(one))) for one in made]
        shown[kind] = made
        sys.stdout.write(f"{kind}: {seconds / len(made):.2f} s of one core per case\n")
    sys.stdout.write(f"\n{table(rows)}\n\n{summary(rows)}\n")
    if options.figure:
        from benchmarks.realism_drawing import draw

        draw(options.figure, rows, shown)
    return 0


def name_of(path: Path) -> str:
    """A short name of a CT's file or folder; of files that are called alike, the folder's."""
    return path.parent.name if path.name.startswith("CT_image") else path.name.removesuffix(".nii.gz")


def volume(phantom: Phantom) -> Volume:
    """The CT of a phantom."""
    grid = Grid(phantom.ct_hu.shape, phantom.affine)
    return Volume(phantom.ct_hu, grid, grid)


def measured(ct: Volume) -> Figures:
    """The figures of the middle of a CT on the demo grid."""
    return figures(*on_demo_grid(ct))


def table(rows: Rows) -> str:
    """Markdown: a line for each real CT."""
    lines = [["CT", *NAMES], ["---"] * (1 + len(NAMES))]
    for group, members in rows.items():
        if "CT" in group:
            lines += [[name, *cells(flat(one))] for name, one in members]
    return markdown(lines)


def summary(rows: Rows) -> str:
    """Markdown: a column for each group with mean and range, a line for each figure."""
    lines = [["", *(f"{group} ({len(members)})" for group, members in rows.items())]]
    lines += [["---"] * len(lines[0])]
    columns = []
    for members in rows.values():
        numbers = np.array([flat(one) for _, one in members])
        mean, low, high = (cells(edge(numbers, axis=0)) for edge in (np.nanmean, np.nanmin, np.nanmax))
        several = len(members) > 1
        columns.append(
            [f"{m} ({a} to {b})" if several else m for m, a, b in zip(mean, low, high, strict=True)]
        )
    lines += [[name, *(column[i] for column in columns)] for i, name in enumerate(NAMES)]
    return markdown(lines)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as a table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def flat(one: Figures) -> list[float]:
    """The figures as a row of the table."""
    tissues = [
        value
        for tissue in RANGES_HU
        for value in (one.local_sd[tissue], *one.roughness[tissue], one.roughness_z[tissue])
    ]
    return [*one.shares, *(one.mode[tissue] for tissue in RANGES_HU), *tissues]


def cells(row: Sequence[float] | np.ndarray) -> list[str]:
    """Shares with two digits without the zero, HU rounded; local SD and roughness with one digit."""
    count = len(SHARES)
    shares = [f"{value:.2f}"[1:] if value < 0.995 else "1.00" for value in row[:count]]
    modes = [f"{value:.0f}" for value in row[count : count + len(RANGES_HU)]]
    return [*shares, *modes, *(f"{value:.1f}" for value in row[count + len(RANGES_HU) :])]


if __name__ == "__main__":
    sys.exit(main())
