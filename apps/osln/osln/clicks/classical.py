"""The best classical way to outline a node from clicks: a front that marches from them and stops at an edge.

CT and PET say how much each place is like the clicked one: the CT by its gray value, the PET by a threshold
between the uptake at the click and that around it. A front leaves the clicks inside, fast where the place is
like them, and what is much nearer to a click outside is not reached. The node ends where the likeness drops
most on the way out.
"""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.special import expit

from osln.clicks.clicks import Clicks
from osln.clicks.outline import Look
from osln.clicks.patch import Patch

SPACING_MM, SIZE = 1.25, 44
"""Voxels that it works on, and how many a side."""

_SMOOTH_MM = 0.8
_SEED_MM, _NEAR_MM, _PEAK_MM = 1.5, 2.5, 5.0
_LEAST_SD_HU, _MOST_SD_HU = 22.0, 45.0
_EDGE_HU_MM = 25.0
_AVID, _AVID_SUV = 1.8, 2.0
"""Uptake from so many times that of the surroundings on, and from this SUV on, tells something."""
_PET_LEVEL, _PET_WIDTH = 0.42, 0.10
_AROUND_MM = (14.0, 24.0)
_RADII_MM = np.arange(2.0, 22.5, 0.25)
_SHELL_MM = 1.0
_USUAL_MM, _SPREAD = 5.0, 0.5
"""Radius that nodes have on average, and how far they are from it (of its logarithm)."""
_SLOWEST = 1e-3


class Marching:
    """The classical way, asked as the network is."""

    looks = (Look(SPACING_MM), Look(2 * SPACING_MM, np.inf))
    size = SIZE

    def __call__(self, patch: Patch, clicks: Clicks) -> np.ndarray:
        """Likeness of a probability, (x, y, z) float32: one half on the outline, 1 from 2 mm inside on."""
        like = likeness(patch, clicks)
        spacing = float(patch.grid.spacing_mm[0])
        arrival = _arrival(_speed(patch, like), _voxels(clicks.foreground, patch), spacing)
        arrival[~patch.inside] = np.inf
        if len(clicks.background):
            # Nearer to a click outside than half the way to the next one inside.
            arrival[_away(clicks.background, patch) < 0.5 * _away(clicks.foreground, patch)] = np.inf
        order = np.argsort(arrival, axis=None, kind="stable")
        radius = np.empty(arrival.size)
        radius[order] = np.cbrt(np.arange(1, arrival.size + 1) * spacing**3 * 3 / (4 * np.pi))
        reachable = int(np.isfinite(arrival).sum())
        best = _edge(like.ravel()[order[:reachable]], spacing)
        field = np.clip(0.5 + (best - radius.reshape(arrival.shape)) / 4.0, 0.0, 1.0)
        return np.where(np.isfinite(arrival), field, 0.0).astype(np.float32)


def likeness(patch: Patch, clicks: Clicks) -> np.ndarray:
    """How much each voxel is like those clicked inside, 0 to 1, (x, y, z)."""
    spacing = float(patch.grid.spacing_mm[0])
    ct = ndimage.gaussian_filter(np.clip(patch.ct_hu, -200.0, 300.0), _SMOOTH_MM / spacing)
    away = _away(clicks.foreground, patch)
    at = ct[away <= _NEAR_MM]
    middle = float(np.median(ct[away <= _SEED_MM])) if (away <= _SEED_MM).any() else float(np.median(at))
    spread = 1.4826 * float(np.median(np.abs(at - middle))) if at.size else 0.0
    deviation = (ct - middle) / np.clip(2.0 * spread, _LEAST_SD_HU, _MOST_SD_HU)
    like = np.exp(-0.5 * np.square(np.maximum(np.abs(deviation) - 0.5, 0.0)))
    uptake = _uptake(patch, away)
    # Uptake is blurred: what takes up but looks otherwise on the CT is its surroundings.
    return like if uptake is None else like * (0.25 + 0.75 * uptake)


def _uptake(patch: Patch, away: np.ndarray) -> np.ndarray | None:
    """0 to 1 where the clicked place takes up more than its surroundings; None where it does not."""
    if patch.pet_suv is None:
        return None
    peak = float(patch.pet_suv[away <= _PEAK_MM].max(initial=0.0))
    around = patch.pet_suv[(away > _AROUND_MM[0]) & (away < _AROUND_MM[1])]
    base = float(np.median(around)) if around.size else 0.0
    if peak < max(_AVID_SUV, _AVID * base):
        return None
    level = base + _PET_LEVEL * (peak - base)
    return expit((patch.pet_suv - level) / (_PET_WIDTH * (peak - base)))


def _speed(patch: Patch, like: np.ndarray) -> np.ndarray:
    """Of the front: slow where little is like the clicks, and at edges of the CT."""
    spacing = float(patch.grid.spacing_mm[0])
    ct = np.clip(patch.ct_hu, -200.0, 300.0)
    edge = ndimage.gaussian_gradient_magnitude(ct, 1.0 / spacing) / spacing
    return np.maximum(like / (1.0 + np.square(edge / _EDGE_HU_MM)), _SLOWEST)


def _arrival(speed: np.ndarray, seeds: np.ndarray, spacing: float) -> np.ndarray:
    """Time of a front from seed voxels (N, 3) at every voxel, (x, y, z)."""
    image = sitk.GetImageFromArray(speed.astype(np.float32).T)
    image.SetSpacing([spacing] * 3)
    times = sitk.FastMarching(image, [[int(v) for v in seed] for seed in seeds], 1.0, 1e9)
    return sitk.GetArrayFromImage(times).T.astype(np.float64)


def _edge(like: np.ndarray, spacing: float) -> float:
    """Radius in mm at which the likeness, in order of arrival, drops most."""
    sums = np.concatenate([[0.0], np.cumsum(like)])

    def mean(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        a, b = (np.clip(_count(r, spacing), 0, len(like)) for r in (low, high))
        return (sums[b] - sums[a]) / np.maximum(b - a, 1)

    radii = _RADII_MM[_count(_RADII_MM, spacing) < len(like)]
    if not len(radii):
        return float(_RADII_MM[0])
    drop = mean(np.maximum(radii - _SHELL_MM, 0.0), radii) - mean(radii, radii + _SHELL_MM)
    usual = np.exp(-0.5 * np.square(np.log(radii / _USUAL_MM) / _SPREAD))
    return float(radii[int(np.argmax(drop * usual))])


def _count(radius_mm: np.ndarray, spacing: float) -> np.ndarray:
    """Voxels of a sphere."""
    return np.round(4 / 3 * np.pi * np.power(radius_mm, 3) / spacing**3).astype(int)


def _voxels(points_mm: np.ndarray, patch: Patch) -> np.ndarray:
    """Nearest voxels (N, 3) of points in the box; those beyond it are brought to its border."""
    return np.clip(np.round(patch.grid.mm_to_index(points_mm)).astype(int), 0, np.array(patch.grid.shape) - 1)


def _away(points_mm: np.ndarray, patch: Patch) -> np.ndarray:
    """Distance in mm of every voxel to the nearest point."""
    mask = np.ones(patch.grid.shape, bool)
    mask[tuple(_voxels(points_mm, patch).T)] = False
    return ndimage.distance_transform_edt(mask, sampling=patch.grid.spacing_mm)
