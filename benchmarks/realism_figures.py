"""What a CT looks like in numbers: histogram, local standard deviation and texture of fat and soft tissue.

Everything is measured on voxels of the demo grid, in the middle of the body, so that patients and phantoms
are compared as the networks see them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from osln.imaging.grid import Volume
from osln.imaging.resampling import resample
from osln.phantom.planted.real_ct import body_mask

SPACING_MM = (2.5, 2.5, 3.0)
COLUMN_MM = (220.0, 160.0)
"""Width and depth of the part that is measured, around the middle of the body."""
TISSUE_HU = -200.0
"""What is less dense, lungs and gas, is not counted."""
EDGES_HU = (-200.0, -120.0, -60.0, 0.0, 60.0, 120.0, np.inf)
SHARES = ("under -120", "-120 to -60", "-60 to 0", "0 to 60", "60 to 120", "over 120")
RANGES_HU = {"fat": (-180.0, -30.0), "soft": (-30.0, 130.0)}
"""A voxel is within a tissue if all 27 voxels around it are in its range."""
MODES_HU = {"fat": (-140.0, -40.0), "soft": (0.0, 120.0)}
LAGS = (1, 2, 4)
"""Distances of the semivariogram in voxels of 2.5 mm."""


@dataclass(frozen=True)
class Figures:
    """Figures of one CT; HU.

    Attributes:
        shares: Of the tissue's voxels (HU over -200), by `SHARES`; they sum to 1.
        mode: Peak of the histogram (smoothed, sd 4 HU) in each tissue's part of it; NaN without a voxel.
        local_sd: Median over the voxels within a tissue of the standard deviation of its 27 voxels.
        spread: (10th, 90th percentile) of the same.
        roughness: Root of the semivariogram at `LAGS` along x and y: root of half the mean squared
            difference of two voxels within a tissue. Noise without correlation has the same at every lag.
        roughness_z: The same from one slice to the next.
        histogram: Of the tissue's voxels from -200 to 300 HU in steps of 5, as a density per HU.
    """

    shares: tuple[float, ...]
    mode: Mapping[str, float]
    local_sd: Mapping[str, float]
    spread: Mapping[str, tuple[float, float]]
    roughness: Mapping[str, tuple[float, ...]]
    roughness_z: Mapping[str, float]
    histogram: np.ndarray


def on_demo_grid(ct: Volume) -> tuple[np.ndarray, np.ndarray]:
    """The middle of a CT on voxels of the demo grid, resampled as the product does it.

    Returns:
        HU, float32 (X, Y, Z), and the body there, bool.
    """
    array = np.maximum(ct.array.astype(np.float32), -1024.0)  # Padding outside the field of view.
    grid = ct.grid.resampled(SPACING_MM)
    hu = resample(array, ct.grid, grid, fill=-1024.0)
    body = body_mask(hu)
    middle = np.argwhere(body).mean(axis=0)
    part = []
    for d, width in enumerate(COLUMN_MM):
        half = 0.5 * width / SPACING_MM[d]
        part.append(slice(max(0, round(middle[d] - half)), min(hu.shape[d], round(middle[d] + half))))
    return hu[tuple(part)], body[tuple(part)]


def figures(hu: np.ndarray, body: np.ndarray) -> Figures:
    """The figures of a CT.

    Args:
        hu: (X, Y, Z).
        body: bool (X, Y, Z); voxels outside are not counted.

    Raises:
        ValueError: if no voxel of the body is denser than -200 HU.
    """
    hu = hu.astype(np.float32)
    values = hu[body & (hu >= TISSUE_HU)]
    if not len(values):
        raise ValueError("no voxel of the body over -200 HU: expected a CT in HU that shows a body")
    counts = np.histogram(values, EDGES_HU)[0]
    within = {name: body & _all_between(hu, *ends) for name, ends in RANGES_HU.items()}
    sd = local_sd(hu)
    return Figures(
        tuple((counts / counts.sum()).tolist()),
        {name: _mode(values, *ends) for name, ends in MODES_HU.items()},
        {name: _percentile(sd[mask], 50) for name, mask in within.items()},
        {name: (_percentile(sd[mask], 10), _percentile(sd[mask], 90)) for name, mask in within.items()},
        {name: tuple(roughness(hu, mask, lag, (0, 1)) for lag in LAGS) for name, mask in within.items()},
        {name: roughness(hu, mask, 1, (2,)) for name, mask in within.items()},
        np.histogram(values, np.arange(-200, 301, 5.0))[0] / len(values) / 5.0,
    )


def local_sd(hu: np.ndarray) -> np.ndarray:
    """Standard deviation of the 27 voxels around each voxel, float64 (X, Y, Z)."""
    wide = hu.astype(float)
    mean = ndimage.uniform_filter(wide, 3)
    return np.sqrt(np.maximum(ndimage.uniform_filter(wide**2, 3) - mean**2, 0.0))


def roughness(hu: np.ndarray, mask: np.ndarray, lag: int, axes: Sequence[int]) -> float:
    """Root of the semivariogram at `lag` voxels along axes, pairs within the mask; NaN without a pair."""
    squares, pairs = 0.0, 0
    for axis in axes:
        one, other = [slice(None)] * 3, [slice(None)] * 3
        one[axis], other[axis] = slice(lag, None), slice(None, -lag)
        both = mask[tuple(one)] & mask[tuple(other)]
        difference = (hu[tuple(one)] - hu[tuple(other)])[both].astype(float)
        squares, pairs = squares + float((difference**2).sum()), pairs + len(difference)
    return float(np.sqrt(0.5 * squares / pairs)) if pairs else float("nan")


def _all_between(hu: np.ndarray, low: float, high: float) -> np.ndarray:
    """Voxels whose 27 neighbors, themselves among them, are all in a range."""
    inside = (hu >= low) & (hu <= high)
    return ndimage.binary_erosion(inside, np.ones((3, 3, 3)))


def _mode(values: np.ndarray, low: float, high: float) -> float:
    counts = np.histogram(values, np.arange(low - 20, high + 21))[0]
    smooth = ndimage.gaussian_filter1d(counts.astype(float), 4.0)[20:-20]
    return low + 0.5 + int(smooth.argmax()) if smooth.any() else float("nan")


def _percentile(values: np.ndarray, share: float) -> float:
    return float(np.percentile(values, share)) if len(values) else float("nan")
