"""What a person should know of a case's images: which PET is shown on the CT, and how well it lies there."""

from dataclasses import dataclass
from typing import Any

from osln.dicom.intake.store_case import read_manifest
from osln.dicom.served.catalog import FolderImages
from osln.dicom.served.uids import study_uid
from osln.store.imported_pet import is_another_pet, registration

NONE, SAME, REGISTERED, REGISTERING, FAILED = "none", "same", "registered", "registering", "failed"
OF_THE_FORMER_PET = (
    "another PET lies in the place of the one that was imported: what the import says of a PET is not of it"
)


@dataclass(frozen=True)
class AboutPet:
    """The PET of a case as a viewer shows it.

    Attributes:
        state: `NONE`, `SAME` (as it came, in the CT's frame of reference), `REGISTERED`, `REGISTERING`,
            `FAILED`.
        message: The same in a sentence.
        series_uid: Series that lies on the CT; None if there is none (yet).
        original_series_uid: Series that the registered one was made from; None if it was not, or is not here.
        progress: {"step": words, "fraction": 0 to 1} while it is registered.
        quality: Figures of the registration.
    """

    state: str
    message: str
    series_uid: str | None = None
    original_series_uid: str | None = None
    progress: dict[str, Any] | None = None
    quality: dict[str, Any] | None = None


@dataclass(frozen=True)
class AboutImages:
    """The images of a case.

    Attributes:
        study_uid: Of the study that a viewer opens.
        ct_series_uid: Of the CT in it.
        pet: What lies on it.
        warnings: What a person should look at.
    """

    study_uid: str
    ct_series_uid: str
    pet: AboutPet
    warnings: tuple[str, ...] = ()


def about_folder_case(images: FolderImages, case: str) -> AboutImages:
    """The images of a case of a folder; reads CT and PET if they are not in memory.

    Raises:
        ValueError: If the CT cannot be used.
        GoneError: If it changes meanwhile.
    """
    files, reason = images.shown(case)
    told = (read_manifest(images.root, case) or {}).get("warnings") or ()
    if told and len(files) == 2 and is_another_pet(images.root, case, files[1].path):
        told = [OF_THE_FORMER_PET, *told]
    if len(files) == 2:
        quality = registration(images.root, case, files[1].path)
        message = moved_words(quality) if quality else "the PET lies in the CT's frame of reference"
        pet = AboutPet(REGISTERED if quality else SAME, message, files[1].uid, quality=quality)
    elif len(images.files(case)) == 1:
        pet = AboutPet(NONE, reason)
    else:
        pet = AboutPet(FAILED, f"the PET is not shown: {reason}")
    return AboutImages(study_uid(case), files[0].uid, pet, tuple(map(str, told)))


def moved_words(quality: dict[str, Any]) -> str:
    """A sentence about a registered PET, from the figures of `osln.registration.Quality`."""
    lungs = quality.get("lung_dice_after")
    fit = f"; the lungs of both CTs overlap by a Dice of {lungs:.2f}" if isinstance(lungs, float) else ""
    return f"the PET is of another examination and was registered to the CT ({quality.get('method')}){fit}"
