"""The file of a label that others read: a copy of the newest revision, or what somebody has put there."""

import glob
import hashlib
import io
import logging
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from isal import igzip, isal_zlib

from osln.files.whole import MEANWHILE, put_aside, write_atomically
from osln.imaging.grid import read_volume

logger = logging.getLogger(__name__)

NEXT = ".next"
"""Ends the name of a copy that is written and not yet put in place."""
_GZIP, _PART = b"\x1f\x8b", 1 << 20
_PREPARED = re.compile(rf"\.(?P<case>.+)\.nii\.gz(\.(?P<number>\d+))?{re.escape(NEXT)}")
"""What such a copy is called; former versions left the number of its revision out."""


def prepared_cases(folder: Path) -> set[str]:
    """The cases of which a copy lies in a folder of labels that is not yet put in place."""
    names = (_PREPARED.fullmatch(path.name) for path in folder.glob(f".*{NEXT}"))
    return {name["case"] for name in names if name}


def prepared_copies(final: Path) -> dict[Path, int | None]:
    """The copies of a label that are not yet put in place, with their revisions; None of former versions."""
    found = {}
    for path in final.parent.glob(f".{glob.escape(final.name)}*{NEXT}"):
        name = _PREPARED.fullmatch(path.name)
        if name and f"{name['case']}.nii.gz" == final.name:
            found[path] = int(name["number"]) if name["number"] else None
    return found


class FinalCopy:
    """The copy of one label.

    Args:
        path: Where it lies; ends with .nii.gz.

    Attributes:
        prepared: What `publish` puts in place.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.prepared: Path | None = None
        self._plain = path.with_name(path.name.removesuffix(".gz"))
        self._unreadable: dict[Path, str] = {}
        self._seen: dict[Path, str | None] = {}

    def found(self, is_ours: Callable[[bytes], bool]) -> tuple[bytes | None, bytes | None]:
        """Labels that somebody else put in place: an uncompressed one, compressed, and one as others read it.

        What cannot be read as an image is left out and told in the log: it may be half of a file that is
        being copied.

        Args:
            is_ours: Whether a file, compressed or not, is the label of a revision whose copy may lie there.
        """
        self._unreadable = {}
        # Before they are read: what comes after this is not what was read.
        self._seen = {path: _content(path) for path in (self.path, self._plain)}
        return self._foreign(self._plain, is_ours), self._foreign(self.path, is_ours)

    def content(self) -> bytes | None:
        """The file that lies there, compressed or not; None if there is none."""
        return next((path.read_bytes() for path in (self.path, self._plain) if path.is_file()), None)

    def place_before(self, revision: int) -> Path:
        """Where the copy of a revision lies before it is put in place.

        Each has a name of its own: until the next revision is the head, the copy of this one may wait.
        """
        return self.path.with_name(f".{self.path.name}.{revision:04d}{NEXT}")

    def waiting(self, revision: int, sha256: str) -> Path | None:
        """The copy of a revision that is not yet put in place; None if there is none of this checksum."""
        former = self.path.with_name(f".{self.path.name}{NEXT}")
        return next(
            (path for path in (self.place_before(revision), former) if sha256_of(path) == sha256), None
        )

    def publish(self) -> list[str]:
        """Puts a prepared copy in place; what is not yet a revision there is kept under another name.

        So is what could not be read, and what somebody has put there since `found`.

        Returns:
            Sentences about that for a person.
        """
        told = self._set_aside(self.path)
        if self.prepared is not None:
            content = _content(self.prepared)
            self.prepared.replace(self.path)
            self.prepared, self._seen[self.path] = None, content
        return told + self.drop_prepared()

    def prepared_numbers(self) -> list[int]:
        """Of the revisions whose copies are not yet put in place, or could not be removed."""
        return [number for number in prepared_copies(self.path).values() if number is not None]

    def drop_prepared(self) -> list[str]:
        """Removes the copies that are not to be put in place any more; returns sentences as `publish`."""
        left = [path for path in prepared_copies(self.path) if path != self.prepared]
        return [told for path in left for told in _removed(path, "it is left over and of no use")]

    def remove(self) -> list[str]:
        """Takes the label away, whose content is a revision; returns sentences as `publish`.

        Raises:
            OSError: If the disk refuses it; the label is what it was.
        """
        told = self._set_aside(self.path, self._plain)
        # The twin first: alone it would be taken for the label.
        self._plain.unlink(missing_ok=True)
        if self.prepared is not None and self.path.is_file():
            # One that waits goes with the older one that lies there, in one step: without the one, the other
            # would be the label again.
            self.prepared.replace(self.path)
        elif self.prepared is not None:
            self.prepared.unlink(missing_ok=True)
        self.prepared = None
        self.path.unlink(missing_ok=True)
        return told + self.drop_prepared()

    def pack_plain(self) -> None:
        """Puts an uncompressed copy of the head that lies there alone in place as others read it."""
        if self._plain.is_file() and self._plain not in self._unreadable and not self.path.is_file():
            write_atomically(self.path, igzip.compress(self._plain.read_bytes()))
            self._seen[self.path] = _content(self.path)

    def remove_plain(self) -> list[str]:
        """Takes an uncompressed label away, whose content is a revision; returns sentences as `publish`."""
        if self._plain in self._unreadable or self._changed(self._plain):
            return []
        return _removed(
            self._plain, f"it is kept as a revision, and programs confuse it with {self.path.name}"
        )

    def _foreign(self, path: Path, is_ours: Callable[[bytes], bool]) -> bytes | None:
        if not path.is_file():
            return None
        data = path.read_bytes()
        if is_ours(data):
            return None
        data = data if path == self.path else igzip.compress(data)
        if reason := _reason_against(data):
            self._unreadable[path] = reason
            logger.warning("%s is no label and left where it is: %s", path, reason)
            return None
        return data

    def _set_aside(self, *to_go: Path) -> list[str]:
        """Renames what cannot be read, and which of the files that are to go are not those that were read."""
        told = []
        for path in (self.path, self._plain):
            if path in to_go and self._changed(path):
                aside = put_aside(path, MEANWHILE)
                told.append(
                    f"Somebody put {path.name} there meanwhile; it is kept as {aside.name}: look at it, and "
                    f"rename it to {path.name} if it is to be the newest label."
                )
            elif path in self._unreadable and path.is_file():
                aside = put_aside(path)
                reason = self._unreadable[path]
                told.append(f"{path.name} lay there and is no label; it is kept as {aside.name}: {reason}.")
        self._unreadable = {}
        return told

    def _changed(self, path: Path) -> bool:
        """Whether a file lies there that is not the one that `found` has read, by its content.

        File numbers and times may change by themselves on network shares.
        """
        return path in self._seen and _content(path) not in (None, self._seen[path])


def _content(path: Path) -> str | None:
    """Checksum of what lies there; None if it is no file."""
    return sha256_of(path) if path.is_file() else None


def _removed(path: Path, why: str) -> list[str]:
    """Removes a file; where the disk refuses, a sentence for a person, who has a reason to do it."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s could not be removed: %s", path, error)
        return [
            f"{path.parent.name}/{path.name} could not be removed ({error.strerror}): {why}; take it away."
        ]
    return []


def sha256_of(path: Path) -> str | None:
    """Of a file's content, in hexadecimal digits; None if there is no such file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def unpacked_sha256(label: bytes) -> str:
    """Of a .nii.gz file without its compression, or of a .nii file as it is; "" if it cannot be unpacked."""
    if not label.startswith(_GZIP):
        return hashlib.sha256(label).hexdigest()
    # By parts: a small file can unpack to a huge one.
    digest = hashlib.sha256()
    try:
        with igzip.GzipFile(fileobj=io.BytesIO(label)) as file:
            while part := file.read(_PART):
                digest.update(part)
    except (OSError, EOFError, isal_zlib.error):  # type: ignore[misc]  # a class, whatever its stub says
        return ""
    return digest.hexdigest()


def _reason_against(data: bytes) -> str | None:
    """Why the bytes of a .nii.gz file are no image; None if they are one."""
    with tempfile.TemporaryDirectory() as folder:
        # Alone: beside its twin no file is read.
        path = Path(folder, "label.nii.gz")
        path.write_bytes(data)
        try:
            read_volume(path)
        except (OSError, ValueError) as error:
            return str(error)
    return None
