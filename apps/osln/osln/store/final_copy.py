"""The file of a label that others read: a copy of the newest revision, or what somebody has put there."""

import hashlib
import logging
import tempfile
from collections.abc import Collection
from pathlib import Path

from isal import igzip

from osln.files.whole import put_aside
from osln.imaging.grid import read_volume

logger = logging.getLogger(__name__)

NEXT = ".next"
"""Ends the name of a copy that is written and not yet put in place."""


class FinalCopy:
    """The copy of one label.

    Args:
        path: Where it lies; ends with .nii.gz.

    Attributes:
        prepared: The next copy, before it is put in place.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.prepared = path.with_name(f".{path.name}{NEXT}")
        self._plain = path.with_name(path.name.removesuffix(".gz"))
        self._unreadable: dict[Path, str] = {}

    def found(self, ours: Collection[str]) -> tuple[bytes | None, bytes | None]:
        """Labels that somebody else put in place: an uncompressed one, compressed, and one as others read it.

        What cannot be read as an image is left out and told in the log: it may be half of a file that is
        being copied.

        Args:
            ours: SHA-256 of the revisions whose copies may lie there.
        """
        self._unreadable = {}
        return self._foreign(self._plain, ours), self._foreign(self.path, ours)

    def content(self) -> bytes | None:
        """The label that lies there, compressed; None if there is none."""
        return next((self._packed(path) for path in (self.path, self._plain) if path.is_file()), None)

    def publish(self) -> list[str]:
        """Puts the prepared copy in place; what could not be read there is kept under another name.

        Returns:
            Sentences about that for a person.
        """
        told = self._set_aside()
        self.prepared.replace(self.path)
        return told

    def remove(self) -> list[str]:
        """Takes the label away, whose content is a revision; returns sentences as `publish`."""
        told = self._set_aside()
        # One that waits would be put in place by the next visit.
        self.prepared.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self._plain.unlink(missing_ok=True)
        return told

    def remove_plain(self) -> None:
        """Takes an uncompressed label away, whose content is a revision: it would be the copy's twin name."""
        if self._plain not in self._unreadable:
            self._plain.unlink(missing_ok=True)

    def _foreign(self, path: Path, ours: Collection[str]) -> bytes | None:
        if not path.is_file():
            return None
        data = self._packed(path)
        if hashlib.sha256(data).hexdigest() in ours:
            return None
        if reason := _reason_against(data):
            self._unreadable[path] = reason
            logger.warning("%s is no label and left where it is: %s", path, reason)
            return None
        return data

    def _packed(self, path: Path) -> bytes:
        data = path.read_bytes()
        return data if path == self.path else igzip.compress(data)

    def _set_aside(self) -> list[str]:
        told = []
        for path, reason in self._unreadable.items():
            if path.is_file():
                aside = put_aside(path)
                told.append(f"{path.name} lay there and is no label; it is kept as {aside.name}: {reason}.")
        self._unreadable = {}
        return told


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
