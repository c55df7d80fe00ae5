"""Taking a case out of a store: its files go to `.osln/.removed`, where no later CT of its id inherits them.

An archive that holds the CT is one of a removal that was interrupted, and is ended by `settle_removed`.
"""

import logging
import uuid
from datetime import datetime, timezone
from pathlib import Path

from osln.files.images import split_suffix, twins
from osln.files.whole import name_before
from osln.store.patients import import_folder, read_manifest
from osln.store.revisions import label_revisions

logger = logging.getLogger(__name__)

REMOVED = Path(".osln", ".removed")
COMPANIONS = ("pet", "truth", "nodes", "labels/gtv", "labels/final", "labels/original")


def begin_removal(root: Path, case: str, ct: Path) -> Path:
    """Moves the CT away, by one rename, which decides: without it there is no case. Returns the archive."""
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
    archive = _free(root / REMOVED / f"{case}-{stamp}")
    archive.mkdir(parents=True)
    ct.replace(archive / ct.name)
    return archive


def settle_removed(root: Path) -> dict[str, str]:
    """Ends the removals that were interrupted: those whose archive still holds the CT.

    Where a CT of that id lies in the store again, what lies there may be that one's: it stays, and the log
    says so.

    Args:
        root: Folder of the store.

    Returns:
        Of the cases whose removal still cannot be ended a sentence that says why; the log has it, too. What
        is left of such a case must not be taken for that of a new CT of its id.
    """
    unfinished = {}
    for archive in sorted((root / REMOVED).glob("*/")):
        for ct in _images(archive):
            case = split_suffix(ct)[0]
            try:
                _settle(root, case, archive, ct)
            except (OSError, ValueError) as error:
                unfinished[case] = (
                    f"the removal of case {case} was interrupted and cannot be ended: what belongs to it "
                    f"could not all be moved to {archive} ({error}); make sure that the folders of its files "
                    "may be written, or move them there by hand, and try again"
                )
                logger.error("%s", unfinished[case])
    return unfinished


def _settle(root: Path, case: str, archive: Path, ct: Path) -> None:
    again = root / ct.name
    nodes, tumor = (label_revisions(root, case, tag) for tag in ("final", "gtv"))
    with nodes.lock(), tumor.lock():
        if again.exists() or twins(again):
            logger.warning(
                "The removal of case %s was interrupted, and a CT of that id came since: its PET and "
                "labels stay and may be those of the removed one. Look at them, then take %s away.",
                case,
                archive,
            )
        else:
            end_removal(root, archive)


def end_removal(root: Path, archive: Path) -> None:
    """Moves all that belongs to the CT of an archive there; call it inside the lock of the case's nodes."""
    for ct in _images(archive):
        case = split_suffix(ct)[0]
        for folder in COMPANIONS:
            for path in (root / folder).glob(f"{case}.*"):
                # Beside the images the JSON of a prediction; "p1.json.nii.gz" is of the case "p1.json".
                its = split_suffix(name_before(path.name))[0] == case
                if its or path.name == f"{case}.json":
                    _move(path, archive / folder / path.name)
        for path in _noted_by_import(root, case):
            _move(path, archive / "import" / path.name)
        # The lock stays: whoever waits for it must not find another one.
        for path in (root / ".osln" / case).glob("*"):
            if path.name != ".lock":
                _move(path, archive / "revisions" / path.name)
        ct.unlink()


def _noted_by_import(root: Path, case: str) -> list[Path]:
    """The manifest and the registration; `report.json` is no case's, also of one that is called "report"."""
    folder = import_folder(root)
    own = (read_manifest(root, case) or {}).get("case") == case
    noted = [folder / f"{case}.tfm", *([folder / f"{case}.json"] if own else [])]
    return [path for path in noted if path.is_file()]


def _images(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if split_suffix(path)[1] and path.is_file()]


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(_free(target))


def _free(path: Path) -> Path:
    """The path, or one that nothing has yet: a clock that was set back makes the same stamp twice."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}") if path.exists() else path
