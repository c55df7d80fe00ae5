"""How an import brought the PET of a case onto its CT: true of the file alone that it wrote."""

from pathlib import Path
from typing import Any

from osln.store.file_content import content_of
from osln.store.patients import read_manifest

WRITTEN = "sha256"
"""In what a manifest says of the PET: the checksum of the file that the import wrote."""


def registration(root: Path, case: str, pet: Path) -> dict[str, Any] | None:
    """Figures of how the PET of an imported case was registered to its CT (`osln.registration.Quality`).

    Args:
        root: Folder of the studies.
        case: Id of the case.
        pet: The file that is used as its PET.

    Returns:
        None if it was not moved, or is another file than the import wrote.
    """
    about = (read_manifest(root, case) or {}).get("pet")
    found = about.get("registration") if isinstance(about, dict) else None
    return found if isinstance(found, dict) and not is_another_pet(root, case, pet) else None


def is_another_pet(root: Path, case: str, pet: Path) -> bool:
    """Whether this file is known not to be the PET that the last import of a case wrote."""
    about = (read_manifest(root, case) or {}).get("pet")
    written = about.get(WRITTEN) if isinstance(about, dict) else None
    # Former versions did not note it. Then the file counts as the one that they wrote: a doubt about another
    # PET costs a look at it, and one that is not told may cost a node.
    if not isinstance(written, str):
        return False
    try:
        return content_of(pet) != written
    except OSError:
        # Gone meanwhile or unreadable: whoever reads it says so.
        return False
