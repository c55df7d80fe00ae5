"""Inference windows along the column, blended (paper, section 4.2; decision to weigh them by a Gaussian)."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

OVERLAP = 0.25
SIGMA = 0.125


def fit_window(field: tuple[int, ...], window: tuple[int, ...], stride: int) -> tuple[int, ...]:
    """The window, no larger than the field needs: per axis at most the field rounded up to `stride`."""
    return tuple(min(w, -(-n // stride) * stride) for n, w in zip(field, window, strict=True))


def plan_windows(needed: np.ndarray, window: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """First voxels of the windows that cover a field, without those that hold no needed voxel.

    Neighbors overlap by a quarter at least. Where the field is smaller than the window there is one.

    Args:
        needed: (x, y, z) bool: voxels whose result is used.
        window: Voxels (x, y, z).
    """
    starts = [_starts(n, w) for n, w in zip(needed.shape, window, strict=True)]
    return [
        (i, j, k)
        for i in starts[0]
        for j in starts[1]
        for k in starts[2]
        if needed[i : i + window[0], j : j + window[1], k : k + window[2]].any()
    ]


def predict_windows(
    predict: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    needed: np.ndarray,
    window: tuple[int, ...],
) -> np.ndarray:
    """Probability of a whole field from its windows.

    Each window counts with a Gaussian around its center (SD an eighth of the window), so that voxels
    near its border, where it has seen one side only, yield to the neighbor. A field smaller than the
    window is padded with its edge values.

    Args:
        predict: Maps (C, *window) float32 to (*window) probability.
        images: (C, x, y, z) float32.
        needed: (x, y, z) bool: voxels whose result is used.
        window: Voxels (x, y, z).

    Returns:
        (x, y, z) float32; 0 where no window was computed.
    """
    field = needed.shape
    padding = [(0, max(w - n, 0)) for n, w in zip(field, window, strict=True)]
    if any(after for _, after in padding):
        images = np.pad(images, [(0, 0), *padding], mode="edge")
        needed = np.pad(needed, padding)
    starts = plan_windows(needed, window)
    if len(starts) == 1 and needed.shape == tuple(window):
        return predict(images)[tuple(slice(n) for n in field)]
    weight = _gaussian(tuple(window))
    total = np.zeros(needed.shape, dtype=np.float32)
    for start in starts:
        part = _part(start, window)
        total[part] += weight * predict(np.stack([image[part] for image in images]))
    total /= _weights(needed.shape, tuple(window), tuple(starts))
    return total[tuple(slice(n) for n in field)]


def _part(start: tuple[int, ...], window: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(a, a + w) for a, w in zip(start, window, strict=True))


def _starts(field: int, window: int) -> list[int]:
    if field <= window:
        return [0]
    step = max(int(window * (1 - OVERLAP)), 1)
    count = -(-(field - window) // step) + 1
    return [min(i * step, field - window) for i in range(count)]


@lru_cache(maxsize=2)
def _weights(
    field: tuple[int, ...], window: tuple[int, ...], starts: tuple[tuple[int, ...], ...]
) -> np.ndarray:
    """What the windows of a voxel count together, 1 where there is none: a patient's networks share it."""
    weights = np.zeros(field, dtype=np.float32)
    for start in starts:
        weights[_part(start, window)] += _gaussian(window)
    weights[weights == 0] = 1.0
    weights.flags.writeable = False
    return weights


@lru_cache(maxsize=4)
def _gaussian(window: tuple[int, ...]) -> np.ndarray:
    lines = []
    for size in window:
        position = np.arange(size) - (size - 1) / 2
        lines.append(np.exp(-0.5 * (position / (SIGMA * size)) ** 2))
    weight = lines[0][:, None, None] * lines[1][None, :, None] * lines[2][None, None, :]
    weight = np.maximum(weight, weight.max() * 1e-3).astype(np.float32)
    weight.flags.writeable = False
    return weight
