"""Which ids, tags, notes and files the store accepts, and the sentence when it does not."""

import math
from pathlib import Path
from typing import Any

import nibabel as nib

from osln.grid import read_volume
from osln.imagefile import split_suffix, twins
from osln.study import build_study, check_case

TAGS = ("final", "original", "gtv")
IMAGE_SUFFIXES = (".nii.gz", ".nii")
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


def check_ct(case: str, path: Path) -> None:
    """Reads an uploaded CT to see that it is one.

    Raises:
        ValueError: If it is not a 3-D image, is too large, holds NaN, or has one value everywhere.
    """
    try:
        # A small file can unpack to a huge one: its header is looked at before its voxels.
        shape = nib.load(path).shape
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise ValueError(f"the upload cannot be read as NIfTI; export the CT again ({error})") from error
    if math.prod(shape) > MAX_VOXELS:
        raise ValueError(f"the image has {shape} voxels, {MAX_VOXELS:.0e} in all are accepted; crop it")
    build_study(case, read_volume(path))


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
