"""A picture for the eye: the PET's CT over the planning CT, before and after registration."""

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from osln.imaging.grid import Volume
from osln.registration.frames import resample_through
from osln.registration.working import SPACING_MM, working_ct

_WINDOW_HU = (-200.0, 300.0)
_SQUARE_MM = 36.0
_SHOWN_SPACING_MM = (2.0, 2.0, 2.0)


def draw_registration(ct: Volume, pet_ct: Volume, transform: sitk.Transform, title: str) -> Figure:
    """Checkerboards of both CTs in an axial and a coronal plane through the middle of the body.

    Where the CTs fit, contours run on from square to square. The PET's CT is tinted orange. Columns: before,
    after. `osln.pictures.save_picture` writes the figure.

    Args:
        ct: planning CT in HU.
        pet_ct: CT of the PET/CT in HU.
        transform: of `register_pet`.
        title: heading.
    """
    body = working_ct(ct, "the planning CT")
    middle = np.argwhere(body.body).mean(axis=0) * SPACING_MM / np.array(_SHOWN_SPACING_MM)
    grid = body.grid.resampled(_SHOWN_SPACING_MM)
    identity = sitk.Transform(3, sitk.sitkIdentity)
    fixed = resample_through(ct.array, ct.grid, grid, identity, fill=-1000.0)
    figure = Figure(figsize=(9, 7), facecolor="black", layout="constrained")
    figure.suptitle(title, color="white", fontsize=13)
    axes = figure.subplots(2, 2)
    for column, (name, through) in enumerate((("before", identity), ("after", transform))):
        other = resample_through(pet_ct.array, pet_ct.grid, grid, through, fill=-1000.0)
        for row, axis in enumerate((2, 1)):
            index = int(np.clip(middle[axis], 0, grid.shape[axis] - 1))
            planes = [np.take(image, index, axis=axis).T for image in (fixed, other)]
            _draw(axes[row, column], planes[0], planes[1])
            axes[row, column].set_title(name if row == 0 else "", color="white")
    return figure


def _draw(axes: Axes, one: np.ndarray, other: np.ndarray) -> None:
    low, high = _WINDOW_HU
    gray = [np.clip((plane - low) / (high - low), 0, 1)[..., None] for plane in (one, other)]
    cells = [np.arange(n) // int(_SQUARE_MM / _SHOWN_SPACING_MM[0]) for n in one.shape]
    theirs = ((cells[0][:, None] + cells[1][None]) % 2 == 1)[..., None]
    tinted = gray[1] * np.array([1.0, 0.8, 0.55])
    axes.imshow(np.where(theirs, tinted, gray[0]), origin="lower", interpolation="bilinear")
    # Radiologists look from the feet: the patient's right is on the left.
    axes.invert_xaxis()
    axes.set_axis_off()
