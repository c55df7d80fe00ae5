"""Figures that tell whether a registration can be believed: overlap, mutual information, folding."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from osln.imaging.grid import Grid
from osln.registration.frames import displacement_mm, resample_through
from osln.registration.working import WorkingImage

_BINS = 32
_FOLDING_STEP_MM = 8.0
_SMALLEST_OVERLAP_VOXELS = 1000


@dataclass(frozen=True)
class Quality:
    """How well a PET lies on a CT, before and after.

    Dice and mutual information compare the PET's own CT with the planning CT, inside the part of the
    planning CT that both show. Without a CT of the PET there are no masks to compare (None), and the mutual
    information is that of PET and CT.

    Attributes:
        method: "already aligned", "rigid", "spline", "rigid (spline was worse)", "rigid PET to CT",
            "left alone (no lungs in view)" or "left alone (no motion fits better)".
        lung_dice_before, lung_dice_after: 0 to 1; None if either shows no lungs.
        body_dice_before, body_dice_after: 0 to 1; None without a CT of the PET.
        mutual_information_before, mutual_information_after: in bits, of 32 x 32 bins.
        folding: share of the CT's field where the transform's Jacobian is not positive.
        seconds: wall time.
        doubt: why the PET may lie wrong, which every result of the case repeats; "" if nothing says so.
    """

    method: str
    lung_dice_before: float | None
    lung_dice_after: float | None
    body_dice_before: float | None
    body_dice_after: float | None
    mutual_information_before: float
    mutual_information_after: float
    folding: float
    seconds: float
    doubt: str = ""


@dataclass(frozen=True)
class Agreement:
    """How much a moved image agrees with the CT: the figures of `Quality` at one transform.

    Attributes:
        lung_dice, body_dice, mutual_information: as there.
        covered: share of the CT's body that lies in the field of the moved image.
    """

    lung_dice: float | None
    body_dice: float | None
    mutual_information: float
    covered: float = 1.0

    @property
    def fit(self) -> float:
        """`weighed` mutual information."""
        return weighed(self.mutual_information, self.covered)

    def worse_than(self, other: "Agreement") -> bool:
        """Whether any figure is lower by more than its own noise."""
        if self.mutual_information < other.mutual_information:
            return True
        pairs = ((self.lung_dice, other.lung_dice), (self.body_dice, other.body_dice))
        return any(
            ours is not None and theirs is not None and ours < theirs - 0.005 for ours, theirs in pairs
        )


def agreement(
    fixed: WorkingImage, moving: WorkingImage, transform: sitk.Transform, *, masks: bool
) -> Agreement:
    """Agreement of `moving`, seen through `transform`, with `fixed`.

    Args:
        fixed: the planning CT.
        moving: the PET's CT, or the PET.
        transform: maps LPS points of `fixed` to points of `moving`.
        masks: False for a PET, which has no masks.

    Returns:
        Figures inside the part both show; 0 if that is nothing.
    """
    covered = covered_part(moving.grid, fixed.grid, transform)
    values = resample_through(moving.values, moving.grid, fixed.grid, transform)
    near = covered & ndimage.binary_dilation(fixed.body, iterations=3)
    bits = mutual_information(fixed.values[near], values[near])
    share = float(covered[fixed.body].mean())
    if not masks:
        return Agreement(None, None, bits, share)
    body, lungs = (_moved(mask, moving.grid, fixed.grid, transform) for mask in (moving.body, moving.lungs))
    lung_dice = None
    if fixed.lungs.any() and moving.lungs.any():
        lung_dice = dice(fixed.lungs & covered, lungs & covered)
    return Agreement(lung_dice, dice(fixed.body & covered, body & covered), bits, share)


def covered_part(source: Grid, target: Grid, transform: sitk.Transform) -> np.ndarray:
    """(x, y, z) bool of `target`: where `transform` leads into the field of `source`."""
    inside = np.ones(source.shape, np.float32)
    return resample_through(inside, source, target, transform) > 0.5


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Dice coefficient of two masks; 0 if both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / total if total else 0.0


def mutual_information(one: np.ndarray, other: np.ndarray) -> float:
    """Mutual information in bits of paired values, 32 bins between the 0.5th and the 99.5th percentile.

    Fewer than 1000 pairs, or constant values: 0.
    """
    if one.size < _SMALLEST_OVERLAP_VOXELS:
        return 0.0
    numbers = [binned(values, _BINS) for values in (one, other)]
    return information(np.bincount(numbers[0] * _BINS + numbers[1], minlength=_BINS**2).reshape(_BINS, _BINS))


def weighed(bits: float, covered: float) -> float:
    """Mutual information by which places are compared that cover different shares of the body.

    In a small part it is high by chance. Times the share itself, a wrong place that covers all would go
    before the right one that covers two thirds.
    """
    return float(bits * np.sqrt(covered))


def information(counts: np.ndarray) -> float:
    """Mutual information in bits of a joint histogram of counts that is not empty."""
    joint = counts / counts.sum()
    alone = joint.sum(1)[:, None] * joint.sum(0)[None]
    some = joint > 0
    return max(float((joint[some] * np.log2(joint[some] / alone[some])).sum()), 0.0)


def folding_share(transform: sitk.Transform, grid: Grid) -> float:
    """Share of points 8 mm apart in the field of `grid` where the Jacobian determinant is not positive."""
    coarse = grid.resampled((_FOLDING_STEP_MM,) * 3)
    if min(coarse.shape) < 2:
        return 0.0
    places = coarse.index_to_mm(np.moveaxis(np.indices(coarse.shape), 0, -1))
    moved = np.moveaxis(places, -1, 0) + displacement_mm(transform, coarse)
    slopes = np.stack([np.stack(np.gradient(component, _FOLDING_STEP_MM)) for component in moved])
    # Slopes are along the voxel axes, which are perpendicular: their determinant is that of the mapping
    # times the orientation of the axes.
    orientation = np.sign(np.linalg.det(coarse.direction))
    determinant = orientation * np.linalg.det(np.moveaxis(slopes, (0, 1), (-2, -1)))
    return float((determinant <= 0).mean())


def binned(values: np.ndarray, bins: int) -> np.ndarray:
    """(N,) number of the bin of each value, between the 0.5th and the 99.5th percentile."""
    low, high = np.percentile(values, (0.5, 99.5))
    if high <= low:
        return np.zeros(values.size, np.int64)
    scaled = (values.ravel() - low) * (bins / (high - low))
    return np.clip(scaled.astype(np.int64), 0, bins - 1)


def _moved(mask: np.ndarray, source: Grid, target: Grid, transform: sitk.Transform) -> np.ndarray:
    return resample_through(mask.astype(np.float32), source, target, transform) > 0.5
