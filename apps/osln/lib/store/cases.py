"""Which ids, tags, notes and files the store accepts, and the sentence when it does not."""

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import SimpleITK as sitk

from osln.files.images import split_suffix, twins
from osln.imaging.grid import Volume, read_volume
from osln.imaging.study import build_study
from osln.store.layout import check_case

TAGS = ("final", "original", "gtv")
UPLOAD_SUFFIXES = (".nii.gz", ".nii", ".nrrd")
"""Of an uploaded CT; what is not NIfTI is stored as NIfTI."""
MAX_VOXELS = 10**9
"""Of an uploaded image: twice a whole-body CT of 512 x 512 x 2000."""


def checked_tag(tag: str) -> str:
    """The tag itself if it is one of the three of the store.

    Raises:
        ValueError: Otherwise, with the meaning of the three.
    """
    value = getattr(tag, "value", tag)
    if value not in TAGS:
        raise ValueError(
            f"{value!r} is not a tag of this store; expected 'final' (approved nodes), 'original' "
            "(prediction) or 'gtv' (primary tumor)"
        )
    return value


def checked_notes(notes: Any) -> dict[str, Any]:
    """The notes that come with an image or a label, if they are a JSON object.

    Raises:
        ValueError: Otherwise.
    """
    if not isinstance(notes, dict):
        raise ValueError(f"expected a JSON object of notes, got {type(notes).__name__}")
    return notes


def read_ct(case: str, path: Path) -> Volume:
    """An uploaded CT.

    Raises:
        ValueError: If it is not a 3-D image, is too large, holds NaN, has one value everywhere, or is not in
            HU (a PET, for instance).
    """
    try:
        # A small file can unpack to a huge one: its header is looked at before its voxels.
        shape = _shape(path)
    except (OSError, EOFError, RuntimeError, ValueError, nib.filebasedimages.ImageFileError) as error:
        what = split_suffix(path)[1]
        raise ValueError(f"the upload cannot be read as {what}; export the CT again ({error})") from error
    if math.prod(shape) > MAX_VOXELS:
        raise ValueError(f"the image has {shape} voxels, {MAX_VOXELS:.0e} in all are accepted; crop it")
    ct = read_volume(path)
    build_study(case, ct)
    if ct.array.min() >= 0:
        raise ValueError(
            f"the lowest value of the image is {ct.array.min():g}, a CT in HU has air at -1000: is it a PET "
            "or another image? 3D Slicer sends the first volume of its scene, so load the CT first"
        )
    return ct


def _shape(path: Path) -> tuple[int, ...]:
    if split_suffix(path)[1].lower().startswith(".nii"):
        return nib.load(path).shape  # type: ignore[attr-defined]
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader.GetSize()


def is_case_id(name: str) -> bool:
    """Whether a name is fit to be a case id."""
    try:
        check_case(name)
    except ValueError:
        return False
    return True


def reason_against(path: Path) -> str | None:
    """Why an image file at the top of the store cannot be a case; None if it can."""
    if not is_case_id(split_suffix(path)[0]):
        return (
            f"{path.name} cannot be a case id: rename it to letters, digits, '.', '_' or '-', beginning with "
            "a letter or digit"
        )
    if others := twins(path):
        return f"{path.name} lies beside {others[0].name}: programs confuse the two, remove or rename one"
    return None
