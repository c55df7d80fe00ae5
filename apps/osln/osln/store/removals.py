"""Taking a case out of a store: its files go to `.osln/.removed`, where no later CT of its id inherits them.

The archive of a case is called `<case>-<time>`. One whose folder `ct` holds the CT is that of a removal that
was interrupted, and is ended by `settle_removed`.
"""

import errno
import logging
import os
import re
import uuid
from datetime import datetime, timezone
from pathlib import Path

from osln.files.images import split_suffix
from osln.files.whole import name_before, write_atomically
from osln.store.final_copy import prepared_copies
from osln.store.patients import import_folder, know_patients, read_manifest
from osln.store.revisions import label_revisions
from osln.store.splits import stored_splits

logger = logging.getLogger(__name__)

REMOVED = Path(".osln", ".removed")
COMPANIONS = ("pet", "truth", "nodes", "labels/gtv", "labels/final", "labels/original")
CT = "ct"
"""Folder of an archive. Nothing else of it is deleted: people may put labels beside it."""
_ARCHIVE = re.compile(r"(?P<case>.+)-\d{8}T\d{12}(\.[0-9a-f]{8})?")


def begin_removal(root: Path, case: str, ct: Path) -> Path:
    """Moves the CT away first, which decides: without it there is no case. Returns the archive.

    Args:
        root: Folder of the store.
        case: Id of the case.
        ct: As it is called in the store. Of a link that is the link, and never what it leads to.
    """
    try:
        if case in stored_splits(root):
            know_patients(root, [case])
    except (OSError, ValueError) as error:
        # Nothing may keep a case from being removed, a full disk least of all.
        logger.warning("Whose case %s was could not be kept: %s", case, error)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
    archive = _free(root / REMOVED / f"{case}-{stamp}")
    (archive / CT).mkdir(parents=True)
    _rename(ct, archive / CT / ct.name)
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
    for archive in sorted((root / REMOVED).glob("*")):
        named = _ARCHIVE.fullmatch(archive.name)
        if named is None:
            continue
        case = named["case"]
        try:
            if archive.is_dir() and _cts(_ct_folder(archive), case):
                _settle(root, case, archive)
        except (OSError, ValueError) as error:
            # The report of an import holds it: where the store lies may tell who the patients are.
            reason, there = str(error).replace(f"{root}/", ""), REMOVED / archive.name
            unfinished[case] = (
                f"the removal of case {case} was interrupted and cannot be ended: what belongs to it could "
                f"not all be moved to {there} ({reason}); make sure that the folders of its files may be "
                f"written, or move each by hand to its folder there (from pet to {there}/pet, from "
                f"labels/final to {there}/labels/final, from .osln/{case} to {there}/revisions), and try "
                "again"
            )
            logger.error("In %s: %s", root, unfinished[case])
    return unfinished


def _settle(root: Path, case: str, archive: Path) -> None:
    nodes, tumor = (label_revisions(root, case, tag) for tag in ("final", "gtv"))
    with nodes.lock(), tumor.lock():
        if _cts(root, case):
            logger.warning(
                "The removal of case %s was interrupted, and a CT of that id came since: its PET and "
                "labels stay and may be those of the removed one. Look at them, then take %s away.",
                case,
                archive,
            )
        else:
            end_removal(root, case, archive)


def end_removal(root: Path, case: str, archive: Path) -> None:
    """Moves all that belongs to a case to its archive; call it inside the lock of the case's nodes."""
    for folder in COMPANIONS:
        for path in _companions(root / folder, case):
            _move(path, archive / folder / path.name)
    for path in _noted_by_import(root, case):
        _move(path, archive / "import" / path.name)
    # The lock stays: whoever waits for it must not find another one.
    for path in (root / ".osln" / case).glob("*"):
        if path.name != ".lock":
            _move(path, archive / "revisions" / path.name)
    for path in _cts(_ct_folder(archive), case):
        path.unlink()


def _companions(folder: Path, case: str) -> list[Path]:
    """Beside the images the JSON of a prediction, and copies of labels that wait to be put in place."""
    # "p1.json.nii.gz" is of the case "p1.json".
    images = [path for path in folder.glob(f"{case}.*") if split_suffix(name_before(path.name))[0] == case]
    return [*images, *prepared_copies(folder / f"{case}.nii.gz"), *folder.glob(f"{case}.json")]


def _noted_by_import(root: Path, case: str) -> list[Path]:
    """The manifest and the registration; `report.json` is no case's, also of one that is called "report"."""
    folder = import_folder(root)
    own = (read_manifest(root, case) or {}).get("case") == case
    noted = [folder / f"{case}.tfm", *([folder / f"{case}.json"] if own else [])]
    return [path for path in noted if path.is_file()]


def _ct_folder(archive: Path) -> Path:
    """Where an archive has its CT; those of former versions have it at their top."""
    return archive / CT if (archive / CT).is_dir() else archive


def _cts(folder: Path, case: str) -> list[Path]:
    """What lies in a folder as the CT of a case, also a link that leads nowhere."""
    return [path for path in folder.iterdir() if split_suffix(path)[1] and split_suffix(path)[0] == case]


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    _rename(source, _free(target))


def _rename(source: Path, target: Path) -> None:
    """Renames a file, link or folder, also to another disk: a kill leaves it whole here, there or both."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_dir():
            for path in sorted(source.iterdir()):
                _move(path, target / path.name)
            source.rmdir()
            return
        else:
            write_atomically(target, source.read_bytes())
        try:
            source.unlink()
        except OSError:
            # What stays here must not count as moved.
            target.unlink()
            raise


def _free(path: Path) -> Path:
    """The path, or one that nothing has yet: a clock that was set back makes the same stamp twice."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}") if os.path.lexists(path) else path
