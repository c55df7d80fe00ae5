"""Reading what `osln.store.revisions` has stored."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from osln.store.final_copy import FinalCopy, sha256_of, unpacked_sha256
from osln.store.revision import Revision, read_revision

NUMBERS = ".numbers.nii.gz"
"""A map of single nodes whose values are the numbers that the nodes have elsewhere."""
NODES = ".nodes.nii.gz"
"""A map of single nodes."""
REVIEW = ".review.json"
"""What was decided about each candidate."""


class KeptRevisions:
    """The revisions of one label of one case, as `Revisions`, which writes them."""

    def __init__(self, folder: str | Path, final: str | Path) -> None:
        self.folder = Path(folder)
        self.final = Path(final)
        self._copy = FinalCopy(self.final)

    def head(self) -> Revision | None:
        """The newest revision, None before the first."""
        return read_revision(self.folder / "head.json")

    def waiting(self) -> Path | None:
        """The head's own file, where its copy waits to be put in place and an older label lies there or none.

        So it is after a kill in the last step of a submission, and where the disk refuses that step, until
        the case is settled: readers take this file. None in all other cases, also if somebody else has put a
        label there.
        """
        head = self.head()
        if head is None or self._pending(head) is None:
            return None
        if self.final.is_file() and self.revision_of(self.final.read_bytes()) is None:
            return None
        return self._file(head.revision, ".nii.gz")

    def lying(self) -> Revision | None:
        """The revision of the label that lies in the store, be it the head or an older one from a backup.

        Also one that the head does not lead to, because the head itself came from a backup. None if no label
        lies there, or one that is no revision's: somebody has put it there.

        Raises:
            ValueError: If the description of a revision is damaged.
        """
        if self.waiting() is not None:
            return self.head()
        if (ahead := self._ahead()) is not None:
            return ahead
        content = self._copy.content()
        if content is None:
            return None
        return self.revision_of(content) or self.revision_of(content, self._astray())

    def revision_of(self, label: bytes, among: Sequence[Revision] | None = None) -> Revision | None:
        """The newest revision whose label a file holds; None if there is none.

        One whose file it is goes before those of the same content: packing it again, for instance with
        another time in its header, makes another file of it.

        Args:
            label: Bytes of a .nii.gz or .nii file.
            among: Revisions to look among, newest first; all if None.
        """
        file = hashlib.sha256(label).hexdigest()
        same = (one for one in (self._chain() if among is None else among) if one.sha256 == file)
        if (found := next(same, None)) is not None:
            return found
        chain = self.history() if among is None else among
        content = unpacked_sha256(label) if chain else ""
        return next((one for one in chain if content and self._content(one) == content), None)

    def history(self) -> list[Revision]:
        """Newest first, along the base revisions; a write that was interrupted is not part of it."""
        return list(self._chain())

    def path(self, number: int) -> Path:
        """File of a revision.

        Raises:
            LookupError: If there is no such revision; the message lists those there are.
        """
        known = {revision.revision for revision in self.history()}
        if number not in known:
            there = sorted(known) or "none"
            raise LookupError(f"no revision {number} in {self.folder.name}; there are {there}")
        return self._file(number, ".nii.gz")

    def node_map(self, number: int) -> Path | None:
        """The map of a revision's single nodes; None for a tumor, and where none was stored."""
        found = (self._file(number, suffix) for suffix in (NUMBERS, NODES))
        return next((path for path in found if path.is_file()), None)

    def review_stamp(self, number: int) -> int | None:
        """Changes with the file of a revision's review; None if there is none."""
        try:
            return self._file(number, REVIEW).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def review(self, number: int) -> dict[str, Any] | None:
        """What was decided about the candidates of a revision; None if nothing was told.

        Raises:
            ValueError: If the file is damaged.
        """
        path = self._file(number, REVIEW)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(found, dict) or not isinstance(found.get("candidates"), list):
                raise ValueError("expected an object with a list of candidates")
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{path} is not a review ({error}); restore it from a backup") from error
        return found

    def _pending(self, head: Revision) -> Path | None:
        """The copy of the head, if it is written and not yet in place."""
        return self._copy.waiting(head.revision, head.sha256)

    def _content(self, revision: Revision) -> str:
        """Checksum of its label without the compression; "" if its file is damaged or missing."""
        if revision.unpacked_sha256:
            return revision.unpacked_sha256
        try:
            return unpacked_sha256(self._file(revision.revision, ".nii.gz").read_bytes())
        except FileNotFoundError:
            return ""

    def _astray(self) -> list[Revision]:
        """Revisions that the head does not lead to, newest first.

        It is an older one from a backup, or they are of interrupted writes.
        """
        chain = {one.revision for one in self._chain()}
        found = []
        for path in self.folder.glob("[0-9]*.json"):
            if path.stem.isdecimal() and int(path.stem) not in chain:
                # What is damaged outside the history hinders nobody.
                with contextlib.suppress(ValueError):
                    found.append(read_revision(path))
        return sorted(filter(None, found), key=lambda one: one.revision, reverse=True)

    def _ahead(self) -> Revision | None:
        """The revision of the label that lies there, if it was stored after the head, which a backup brought.

        Also where the head has the very same label, with other single nodes or decisions: the newest counts.
        None while the copy of the head waits, as an older label lies there then.
        """
        head, astray = self.head(), self._astray()
        if not astray or (head is not None and self._pending(head) is not None):
            return None
        if (label := self._copy.content()) is None:
            return None
        file, found = hashlib.sha256(label).hexdigest(), self.revision_of(label, astray)
        if found is None or (found.sha256 != file and self.revision_of(label) is not None):
            return None
        if sha256_of(self._file(found.revision, ".nii.gz")) != found.sha256:
            return None
        return found if head is None or head in self._chain(found) else None

    def _chain(self, newest: Revision | None = None) -> Iterator[Revision]:
        """A revision, the head if None, and those that came before it."""
        revision = newest or self.head()
        while revision is not None:
            yield revision
            base = revision.base
            revision = None if base is None else read_revision(self._file(base, ".json"))

    def _file(self, number: int, suffix: str) -> Path:
        return self.folder / f"{number:04d}{suffix}"
