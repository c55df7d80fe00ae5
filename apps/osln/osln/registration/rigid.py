"""Rigid alignment by mutual information (SimpleITK)."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from osln.imaging.grid import Grid
from osln.registration.frames import RAS_TO_LPS, to_itk
from osln.registration.working import WorkingImage

_RANGE_HU = (-1000.0, 300.0)
_SAMPLES = 25_000
_SEED = 1


def translation(shift_mm: np.ndarray) -> sitk.TranslationTransform:
    """The transform that adds a shift (3,) in RAS mm."""
    return sitk.TranslationTransform(3, (RAS_TO_LPS * shift_mm).tolist())


def center_mm(mask: np.ndarray, grid: Grid) -> np.ndarray:
    """(3,) RAS mm of the center of mass of a mask that is not empty."""
    return grid.index_to_mm(np.array(ndimage.center_of_mass(mask)))


def align_rigid(fixed: WorkingImage, moving: WorkingImage, shift_mm: np.ndarray) -> sitk.Euler3DTransform:
    """Rotation and translation of greatest Mattes mutual information, found from a starting shift.

    Random samples of the body and 12 mm around it, with a fixed seed and in one thread, so that a repeated
    run gives the same numbers.

    Args:
        fixed: the planning CT.
        moving: the PET's CT, or the PET.
        shift_mm: (3,) RAS, where to start: a point of `fixed` plus it is the same point of `moving`.

    Returns:
        Maps LPS points of `fixed` to points of `moving`.

    Raises:
        ValueError: If the images do not overlap from there.
    """
    start = sitk.Euler3DTransform()
    start.SetCenter((RAS_TO_LPS * center_mm(fixed.body, fixed.grid)).tolist())
    start.SetTranslation((RAS_TO_LPS * shift_mm).tolist())
    near = ndimage.binary_dilation(fixed.body, iterations=3)
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(to_itk(near.astype(np.uint8), fixed.grid))
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(_SAMPLES / near.size, 1.0), _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.02, 100, 0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([4.0, 0.0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, inPlace=True)
    values = np.clip(fixed.values, *_RANGE_HU)
    try:
        method.Execute(
            to_itk(values, fixed.grid), to_itk(np.minimum(moving.values, _RANGE_HU[1]), moving.grid)
        )
    except RuntimeError as error:
        raise ValueError(
            "the images have no part in common, or too small a one, from which to align them: check that "
            "both show the same part of the body"
        ) from error
    return start
