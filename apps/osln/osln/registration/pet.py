"""A PET brought onto a planning CT of another day: `register_pet`."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import compress

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from osln.imaging.grid import Grid, Volume
from osln.imaging.study import check_suv
from osln.registration.frames import map_points, resample_through
from osln.registration.quality import Agreement, Quality, agreement, covered_part, folding_share
from osln.registration.rigid import align_rigid, center_mm
from osln.registration.shifts import ct_shift_mm, pet_shift_mm
from osln.registration.spline import align_splines
from osln.registration.starts import starts_mm
from osln.registration.working import WorkingImage, working_ct, working_pet

ALIGNED_CT_MM = 1.5
"""CTs closer than this are left alone: registration itself is no better (docs/registration.md)."""
ALIGNED_PET_MM = 5.0
"""The same for a PET without a CT of its own; breathing alone moves a PET by some mm."""
ALIGNED_LUNG_DICE = 0.95
_DOUBTFUL_LUNG_DICE = 0.9

LEFT_ALONE = "left alone (no lungs in view)"
NOT_MOVED = "left alone (no motion fits better)"
_UNTOUCHED = ("already aligned", LEFT_ALONE, NOT_MOVED)

# Fit (`Agreement.fit`, bits) below which a place is doubtful.
# PET to CT: .71 to 1.08 at the right place of 7 phantoms, .29 to .44 at the best places of PETs of 3 of them
# that are upside down or show another part of the body.
DOUBTFUL_PET_BITS = 0.55
# CT to CT without lungs: .97 to 1.20 at the right place of 2 real abdomens, each warped twice, 1.0 to 1.4 of
# the lower part of 3 phantoms; at most .75 where such CTs are upside down or show another part of the body.
DOUBTFUL_CT_BITS = 0.85
_BETTER = 1.05
_SAME_PLACE_MM = 30.0

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class RegisteredPet:
    """A PET on the frame of a planning CT.

    Attributes:
        pet: SUV; the PET as it was if it lay right already, else interpolated once over the CT's field, at
            the PET's own spacing, along the CT's axes.
        quality: how well it lies.
        transform: maps LPS points of the CT to points of the PET as it came; `sitk.WriteTransform` stores it.
        warnings: sentences for the user.
    """

    pet: Volume
    quality: Quality
    transform: sitk.Transform
    warnings: list[str] = field(default_factory=list)


@dataclass
class _Alignment:
    """What is known on the way: transform, how it was found, agreement before and after, why to doubt it."""

    transform: sitk.Transform
    method: str
    before: Agreement
    after: Agreement
    folding: float = 0.0
    doubt: str = ""


def register_pet(
    ct: Volume, pet: Volume, pet_ct: Volume | None, *, on_progress: Progress | None = None
) -> RegisteredPet:
    """Bring a PET onto a planning CT.

    The PET's own CT is aligned with the planning CT: centers of the lungs, rigidly by mutual information,
    then by cubic B-splines coarse to fine. The spline counts only if no figure of quality is worse than
    after the rigid step and nothing folds. Without a CT of the PET, PET and CT are aligned rigidly. Without
    it, or without lungs, other starts are tried, and a place where little fits is told. Pairs that lie right
    are recognized by local shifts and lungs (one frame of reference proves nothing) and left alone; so is a
    PET without its CT on a planning CT without lungs, about which nothing can be told.

    Args:
        ct: planning CT in HU, canonical RAS.
        pet: SUV, canonical RAS.
        pet_ct: CT of the PET/CT in HU, in the PET's space; None if there is none.
        on_progress: told the share that is done, 0 to 1, and what comes next.

    Returns:
        The PET, figures of quality and the transform.

    Raises:
        ValueError: If an image is too small, constant, holds values that are not finite, if the PET cannot
            be in SUV, or if the images have nothing in common.

    Reference: the paper's section 4.1 with its reference [14] (Jin et al., MICCAI 2019).
    """
    begun = time.perf_counter()
    tell = on_progress or (lambda share, words: None)
    tell(0.0, "preparing the images")
    # The working PET is cut off at an SUV that nothing else would reach.
    check_suv(pet)
    fixed = working_ct(ct, "the planning CT")
    small_pet = working_pet(pet)
    warnings: list[str] = []
    if pet_ct is None:
        warnings.append(
            "the PET came without its own CT and was compared with the planning CT directly: only a rigid "
            "motion can be corrected; look at the result"
        )
        found = _pet_alone(fixed, small_pet, tell, warnings)
    else:
        moving = working_ct(pet_ct, "the PET's CT")
        if not covered_part(small_pet.grid, moving.grid, sitk.Transform()).any():
            raise ValueError(
                "the PET and its own CT do not overlap: expected the CT of the same PET/CT examination"
            )
        found = _through_its_ct(fixed, moving, tell, warnings)
    tell(0.95, "resampling the PET")
    carried = pet
    if found.method not in _UNTOUCHED:
        carried = _carried(pet, ct.grid, found.transform)
    _warn_of_coverage(fixed, pet.grid, found.transform, warnings)
    if found.doubt:
        warnings.append(found.doubt)
    before, after = found.before, found.after
    quality = Quality(
        found.method, before.lung_dice, after.lung_dice, before.body_dice, after.body_dice,
        before.mutual_information, after.mutual_information, found.folding, time.perf_counter() - begun,
        found.doubt,
    )  # fmt: skip
    tell(1.0, "done")
    return RegisteredPet(carried, quality, found.transform, warnings)


def _through_its_ct(
    fixed: WorkingImage, moving: WorkingImage, tell: Progress, warnings: list[str]
) -> _Alignment:
    """Planning CT and the PET's CT."""
    identity = sitk.Transform(3, sitk.sitkIdentity)
    before = agreement(fixed, moving, identity, masks=True)
    lungs_fit = before.lung_dice is None or before.lung_dice >= ALIGNED_LUNG_DICE
    lungs = before.lung_dice is not None
    if lungs_fit and ct_shift_mm(fixed, moving) <= ALIGNED_CT_MM:
        aligned = _Alignment(identity, "already aligned", before, before)
        return aligned if lungs else _without_lungs(fixed, moving, aligned, tell, warnings)

    tell(0.1, "aligning the CTs rigidly")
    shift = np.zeros(3)
    if lungs:
        shift = center_mm(moving.lungs, moving.grid) - center_mm(fixed.lungs, fixed.grid)
    transform: sitk.Transform = align_rigid(fixed, moving, shift)
    after = agreement(fixed, moving, transform, masks=True)
    if after.mutual_information < before.mutual_information:
        transform, after = identity, before
        if lungs:
            warnings.append("no rigid motion made the CTs fit better than they did: none was applied")
    rigid = _Alignment(transform, "rigid", before, after)
    if not lungs:
        rigid.method = NOT_MOVED if transform is identity else rigid.method
        return _without_lungs(fixed, moving, rigid, tell, warnings)

    tell(0.3, "aligning the CTs by splines")
    spline = _splined(fixed, moving, rigid, tell)
    if spline.folding > 0 or spline.after.worse_than(rigid.after):
        rigid.method = "rigid (spline was worse)"
        warnings.append("the spline made the CTs fit worse, or folded them: the rigid alignment was kept")
        spline = rigid
    if (spline.after.lung_dice or 0.0) < _DOUBTFUL_LUNG_DICE:
        spline.doubt = (
            f"the lungs of both CTs overlap by a Dice of {spline.after.lung_dice or 0.0:.2f} only after "
            "registration: look at the result before you use the PET"
        )
    return spline


def _without_lungs(
    fixed: WorkingImage, moving: WorkingImage, first: _Alignment, tell: Progress, warnings: list[str]
) -> _Alignment:
    """Planning CT and the PET's CT where not both show lungs, which would tell the place."""
    found = _best_of_starts(fixed, moving, first, "rigid", tell, warnings)
    if found.method == "rigid":
        warnings.append(
            "no lungs are in view of both CTs: they were aligned rigidly only; look at the result"
        )
    return found


def _splined(fixed: WorkingImage, moving: WorkingImage, rigid: _Alignment, tell: Progress) -> _Alignment:
    """The spline on top of the rigid transform."""
    contrast = moving.contrast
    moved = resample_through(contrast, moving.grid, fixed.grid, rigid.transform, fill=float(contrast.min()))
    covered = covered_part(moving.grid, fixed.grid, rigid.transform)
    near = ndimage.binary_dilation(fixed.body, iterations=3)
    spline = align_splines(
        fixed.contrast, moved, near, covered, fixed.grid,
        on_progress=lambda share: tell(0.3 + 0.6 * share, "aligning the CTs by splines"),
    )  # fmt: skip
    # The transform added last is applied first.
    both = sitk.CompositeTransform([rigid.transform, spline])
    after = agreement(fixed, moving, both, masks=True)
    return _Alignment(both, "spline", rigid.before, after, folding_share(both, fixed.grid))


def _pet_alone(fixed: WorkingImage, pet: WorkingImage, tell: Progress, warnings: list[str]) -> _Alignment:
    """Planning CT and PET, in the space they share."""
    identity = sitk.Transform(3, sitk.sitkIdentity)
    if not covered_part(pet.grid, fixed.grid, identity).any():
        raise ValueError(
            "the PET lies wholly outside the planning CT and has no CT of its own: give the CT of the PET/CT"
        )
    before = agreement(fixed, pet, identity, masks=False)
    if not fixed.lungs.any():
        # Measured on real crops that lie right: mutual information would have moved them by 7 to 15 mm.
        warnings.append(
            "no lungs are in view of the planning CT: whether the PET lies right cannot be told without its "
            "own CT, and it was not moved"
        )
        return _Alignment(identity, LEFT_ALONE, before, before)
    method = "rigid PET to CT"
    first = _Alignment(identity, "already aligned", before, before)
    if pet_shift_mm(fixed, pet) > ALIGNED_PET_MM:
        tell(0.2, "aligning the PET rigidly")
        transform = align_rigid(fixed, pet, np.zeros(3))
        after = agreement(fixed, pet, transform, masks=False)
        first.method = NOT_MOVED
        if after.mutual_information >= before.mutual_information:
            first = _Alignment(transform, method, before, after)
    return _best_of_starts(fixed, pet, first, method, tell, warnings)


def _best_of_starts(
    fixed: WorkingImage,
    moving: WorkingImage,
    first: _Alignment,
    method: str,
    tell: Progress,
    warnings: list[str],
) -> _Alignment:
    """What was found from where the images lie, or what fits better from another start, and how sure it is.

    Other starts are tried where the images as a whole fit better than there, or where it fits little. Their
    end counts only where it fits as a right place does: where nothing fits much, a better figure proves
    nothing.
    """
    masks = first.before.body_dice is not None
    least = DOUBTFUL_CT_BITS if masks else DOUBTFUL_PET_BITS
    middle = center_mm(fixed.body, fixed.grid)
    here = map_points(first.transform, middle)[0] - middle
    tell(0.5, "looking for a better place")
    starts = starts_mm(fixed, moving)
    aligned = first.method == "already aligned"
    if aligned or first.after.fit >= least:
        # What lies near is judged by the local shifts.
        far = [np.linalg.norm(start - here) > _SAME_PLACE_MM for start in starts]
        starts = list(compress(starts, far)) if any(far[:1]) or first.after.fit < least else []
    found = first
    for number, start in enumerate(starts):
        tell(0.5 + 0.1 * number, "aligning from another start")
        try:
            transform = align_rigid(fixed, moving, start)
        except ValueError:
            continue
        after = agreement(fixed, moving, transform, masks=masks)
        if after.fit >= max(least, _BETTER * found.after.fit):
            found = _Alignment(transform, method, first.before, after)
    if found.method == NOT_MOVED:
        warnings.append("no rigid motion made the images fit better than they did: the PET was not moved")
    # Local shifts speak for a PET that lies right and shows a small part of the body, which is told apart.
    fits = found.after.mutual_information if found.method == "already aligned" else found.after.fit
    if fits < least:
        found.doubt = (
            f"the PET may lie wrong: it fits the CT by {found.after.fit:.2f} bits (mutual information "
            f"{found.after.mutual_information:.2f} over {100 * found.after.covered:.0f} % of the body), "
            f"where {least:g} and more are expected; look at it before you use it"
        )
    return found


def _carried(pet: Volume, ct_grid: Grid, transform: sitk.Transform) -> Volume:
    """The PET over the CT's field, by cubic interpolation within the PET's own range of values.

    Cubic, because linear interpolation flattens the peaks of small nodes; the range, because cubic rings.
    """
    extent = np.asarray(ct_grid.shape) * ct_grid.spacing_mm
    shape = np.maximum(np.ceil(extent / pet.grid.spacing_mm - 1e-3).astype(int), 1)
    affine = np.eye(4)
    affine[:3, :3] = ct_grid.direction * pet.grid.spacing_mm
    middle = ct_grid.index_to_mm((np.asarray(ct_grid.shape) - 1) / 2)
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    grid = Grid(tuple(shape), affine)
    values = resample_through(pet.array, pet.grid, grid, transform, interpolator=sitk.sitkBSpline)
    values = np.clip(values, min(float(pet.array.min()), 0.0), float(pet.array.max()))
    return Volume(values, grid, grid)


def _warn_of_coverage(fixed: WorkingImage, pet: Grid, transform: sitk.Transform, warnings: list[str]) -> None:
    """Says how much of the body the PET shows, or refuses if that is nothing."""
    share = float(covered_part(pet, fixed.grid, transform)[fixed.body].mean())
    if share == 0:
        raise ValueError("after registration no part of the PET lies on the planning CT's body")
    if share < 0.99:
        warnings.append(
            f"the PET covers {100 * share:.0f} % of the body in the planning CT; outside it the SUV is 0"
        )
