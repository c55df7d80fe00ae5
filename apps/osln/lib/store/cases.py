"""Which ids, tags, notes and files the store accepts, and the sentence when it does not."""

from pathlib import Path
from typing import Any

from osln.files.images import split_suffix, twins
from osln.imaging.grid import Volume, read_volume
from osln.imaging.study import build_study
from osln.store.layout import check_case

TAGS = ("final", "original", "gtv")
UPLOAD_SUFFIXES = (".nii.gz", ".nii", ".nrrd")
"""Of an uploaded CT; what is not NIfTI is stored as NIfTI."""


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
    ct = read_volume(path)
    build_study(case, ct)
    return ct


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
