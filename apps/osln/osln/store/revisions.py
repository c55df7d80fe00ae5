"""Every approved label of a case, kept for good: numbered revisions in plain files.

A folder holds `0001.nii.gz` with `0001.json` and so on, and `head.json`, which names the newest one. The
label that viewers read (the "final" file) is a copy of the head, with one value for all nodes. Which voxel
belongs to which node is in `0001.nodes.nii.gz` beside it, a value for each node; revisions without one were
stored before there were such maps. What the annotator decided about each candidate is in `0001.review.json`
(`osln.store.reviews`). Nothing is ever rewound: going back to an older label is a new revision with the older
voxels.

Order of writing: nodes, review, label, metadata, the prepared copy, head, and last the rename of the copy. A
crash or a full disk at any point before the head leaves the former head, its copy where that still waits, and
the former final label as they were; after it, the next visit or the next start (`osln.store.settling`) puts
the copy in its place. Several revisions that belong together have one head and one copy, those of the last.
A submission of the very label that lies there, with other nodes or decisions, that a crash kept from the head
is taken for one whose head came from a backup, and is finished by the next visit.
"""

import contextlib
import errno
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from osln.files.images import write_atomically
from osln.store.final_copy import unpacked_sha256
from osln.store.kept_revisions import NODES as NODES
from osln.store.kept_revisions import NUMBERS as NUMBERS
from osln.store.kept_revisions import REVIEW, KeptRevisions
from osln.store.reviews import in_part, undecided_count
from osln.store.revision import Revision as Revision

logger = logging.getLogger(__name__)

LOCK_SECONDS = 60.0
OF_ANNOTATORS = ("submission", "restored")
"""What sources of revisions begin with that annotators stored here."""
AFTER_NODES = "after_nodes"
"""In the counts of a tumor that was stored by itself: the revision that the nodes had then, 0 for none."""
_NOBODY, _PUT_THERE = "unknown", "external"
"""Who stored a label that was put there past the server, and what its source is."""


class ConflictError(ValueError):
    """Somebody else has stored a newer revision than the one that was edited."""


class DiskFullError(OSError):
    """Nothing was stored, because the disk is full."""


@dataclass(frozen=True)
class _Label:
    """A label that is to be stored.

    Attributes:
        revision: What is told of it; number, base and checksums come when it is stored.
        data: Bytes of its .nii.gz file.
        beside: Its further files by their ending.
    """

    revision: Revision
    data: bytes
    beside: Mapping[str, bytes]


class Revisions(KeptRevisions):
    """The revisions of one label of one case.

    Args:
        folder: Where the revisions lie; made on the first write.
        final: The copy of the head that others read; ends with .nii.gz.

    Attributes:
        remarks: What a person should know of the last writing besides that it was done.
    """

    def __init__(self, folder: str | Path, final: str | Path) -> None:
        super().__init__(folder, final)
        self.remarks: list[str] = []

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other threads and processes from writing; not reentrant.

        Raises:
            ValueError: If the lock does not become free within a minute.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".lock", timeout=LOCK_SECONDS):
                yield
        except Timeout as error:
            raise ConflictError(f"somebody else is writing to {self.folder.name}; try again later") from error

    def submit(
        self,
        data: bytes,
        *,
        by: str,
        source: str,
        node_map: bytes | None = None,
        numbered: bool = False,
        review: Mapping[str, Any] | None = None,
        expected: int | None = None,
        label_info: list[dict[str, Any]] | None = None,
        counts: Mapping[str, int] | None = None,
        reference: str = "",
        changes: Mapping[str, int] | None = None,
        at: datetime | None = None,
        images: str = "",
    ) -> Revision:
        """Stores a label as the new head and copies it to the final file. Call it inside `lock()`.

        Args:
            data: Bytes of a .nii.gz file.
            by: Who sends it.
            source: What made it.
            node_map: Bytes of the .nii.gz file that tells the single nodes of `data` apart.
            numbered: Whether its values are the numbers that the nodes have elsewhere.
            review: What was decided about each candidate, with the values of `node_map`.
            expected: Revision that was edited (0 for "none yet"); not checked when None.
            label_info: Names of the segments as they were sent.
            counts: Numbers to keep beside it.
            reference: What it was read from.
            changes: Numbers of nodes that were added, removed, changed and unchanged.
            at: When it was made, if that was not now.
            images: Tells which images of the CT it was drawn on; "" if that is not known.

        Raises:
            ConflictError: If the head is not `expected`; says who stored the head and when.
            DiskFullError: If there is no space; nothing has changed.
        """
        self.check_base(expected)
        revision = replace(
            _unnumbered(by, source, at),
            label_info=list(label_info or []),
            counts=dict(counts or {}) | _of_a_part(review),
            reference=reference,
            changes=None if changes is None else dict(changes),
            complete=None if review is None else not in_part(review),
            seconds=None if review is None else float(review["seconds"]),
            images=images,
        )
        beside = {}
        if node_map is not None:
            beside[NUMBERS if numbered else NODES] = node_map
        if review is not None:
            beside[REVIEW] = json.dumps(review, indent=1, allow_nan=False).encode()
        return self._store(_Label(revision, data, beside))

    def submit_again(self, older: Revision, **differs: Any) -> Revision:
        """Stores a revision again as the new head, with all that belongs to it. Call it inside `lock()`.

        Args:
            older: The revision.
            differs: Attributes of the new one that are not the older one's.

        Raises:
            DiskFullError: If there is no space; nothing has changed.
        """
        return self._store(self._again(older, None, **differs))

    def _again(self, older: Revision, data: bytes | None, **differs: Any) -> _Label:
        """An older revision as it is stored again; `data` is its label where that is at hand."""
        data = self._file(older.revision, ".nii.gz").read_bytes() if data is None else data
        files = {suffix: self._file(older.revision, suffix) for suffix in (NUMBERS, NODES, REVIEW)}
        beside = {suffix: path.read_bytes() for suffix, path in files.items() if path.is_file()}
        revision = replace(older, at=_in_words(None), restored_from=older.revision, **differs)
        return _Label(revision, data, beside)

    def _store(self, *labels: _Label) -> Revision:
        """Stores revisions that follow each other, all or none; returns the last one, the new head."""
        head, numbered = self.head(), []
        for number, label in enumerate(labels, self.next_number()):
            head = replace(
                label.revision,
                revision=number,
                base=head.revision if head else None,
                sha256=hashlib.sha256(label.data).hexdigest(),
                unpacked_sha256=unpacked_sha256(label.data),
            )
            numbered.append(replace(label, revision=head))
        self._write(numbered)
        self._publish()
        return numbered[-1].revision

    def check_base(self, expected: int | None) -> None:
        """Looks whether a label was edited from the head. Call it inside `lock()`.

        Raises:
            ConflictError: If the head is not `expected` (0 for "none yet"); not checked when None.
        """
        head = self.head()
        if expected is not None and expected != (head.revision if head else 0):
            raise ConflictError(_conflict(expected, head))

    def _write(self, labels: Sequence[_Label]) -> None:
        """Writes revisions, the last one as the head, and its copy, which is still to be put in place."""
        files: dict[Path, bytes] = {}
        newest = labels[-1].revision.revision
        for label in labels:
            described = json.dumps(asdict(label.revision), indent=2).encode()
            for suffix, content in {**label.beside, ".nii.gz": label.data, ".json": described}.items():
                files[self._file(label.revision.revision, suffix)] = content
        # The copy of the former head, which may still wait, has another name.
        prepared = self._copy.place_before(newest)
        files[prepared] = labels[-1].data
        try:
            self.final.parent.mkdir(parents=True, exist_ok=True)
            for path, content in files.items():
                write_atomically(path, content)
            write_atomically(self.folder / "head.json", files[self._file(newest, ".json")])
        except OSError as error:
            # Backwards: whatever ends this, what has a description is whole.
            for path in reversed(files):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFullError(
                    "the disk is full: nothing was stored and the former label is untouched; free some space "
                    "and submit again"
                ) from error
            raise
        self._copy.prepared = prepared

    def settle(self) -> Revision | None:
        """Finishes an interrupted write and adopts a final file that somebody else put there.

        A final file that does not hold the head's label, however it is packed, was changed past the server
        (copied by hand, or stored before there were revisions). It becomes a revision of its own, so that it
        is never lost: that of an older revision (from a backup, for instance) with all that belongs to that
        one. If the head itself came from a backup, and the file is of a revision that was stored after it,
        that one is the head again, with those before it. One that is no image
        (half of a copy, for instance) does not: it stays, and is kept aside when a label takes its place.
        Call it inside `lock()`, before anything is written.

        All that is found is stored before anything is put in place: until then the files that lie there are
        all there is of it.

        Returns:
            The adopted revision, None if nothing had to be adopted.
        """
        head = self.head()
        pending = None if head is None else self._pending(head)
        # While the copy of the head waits, one of those before it still lies there.
        ours = self.history() if pending else [head] if head else []
        plain, final = self._copy.found(lambda label: self.revision_of(label) in ours)
        # Of twins the compressed one is the label: it is the one that others read.
        compressed = pending is not None or self.final.is_file()
        if (ahead := self._ahead()) is not None:
            write_atomically(self.folder / "head.json", self._file(ahead.revision, ".json").read_bytes())
            return self.settle() or ahead
        if compressed and plain is not None and self.revision_of(plain) is not None:
            # It was taken up before and could not be removed.
            plain = None
        self._copy.prepared = pending
        self._remark(self._copy.drop_prepared())
        if pending is not None and final is None:
            self._publish()
        elif plain is None:
            self._copy.pack_plain()
        labels = [self._as_found(data) for data in (plain, final) if data is not None]
        if head is not None and compressed and final is None and labels:
            labels.append(self._put_there(head))
        adopted = self._store(*labels) if labels else None
        if self.final.is_file():
            self._remark(self._copy.remove_plain())
        return adopted

    def remove_final(self) -> None:
        """Takes the final file away; the revisions stay. Call it inside `lock()`, after `settle()`."""
        self._remark(self._copy.remove())

    def _as_found(self, data: bytes) -> _Label:
        """What a label that somebody put there becomes: a new one, or a known one again."""
        if (known := self.revision_of(data)) is not None:
            return self._put_there(known, data)
        if (astray := self.revision_of(data, self._astray())) is not None:
            # History tells of it only here, so it says whose it is.
            return self._put_there(astray, data, astray.by)
        return _Label(_unnumbered(_NOBODY, _PUT_THERE), data, {})

    def _put_there(self, known: Revision, data: bytes | None = None, by: str = _NOBODY) -> _Label:
        return self._again(known, data, by=by, source=_PUT_THERE, changes=None)

    def _remark(self, told: Iterable[str]) -> None:
        """Adds sentences to the remarks, each once."""
        self.remarks += [one for one in told if one not in self.remarks]

    def _publish(self) -> None:
        """Puts the prepared copy of the head in place.

        Where the disk refuses, this is a remark: the head decides, it is stored, readers take its own file,
        and `settle` tries again.
        """
        try:
            self._remark(self._copy.publish())
        except OSError as error:
            logger.warning("%s could not be replaced by its newest revision: %s", self.final, error)
            remark = (
                f"The newest label is stored, but {self.final.parent.name}/{self.final.name} could not be "
                f"replaced ({error.strerror}): programs that read the folder itself see the former one until "
                "the case is opened or submitted again or the server starts again."
            )
            self._remark([remark])

    def next_number(self) -> int:
        """Of the revision that is stored next: one that no file has, not even of an interrupted write."""
        names = (path.name.split(".")[0] for path in self.folder.glob("[0-9]*.*"))
        taken = [int(name) for name in names if name.isdecimal()]
        return 1 + max((*taken, *self._copy.prepared_numbers()), default=0)


def label_revisions(root: Path, case: str, tag: str) -> Revisions:
    """The revisions of a case's approved nodes ("final") or tumor ("gtv") in a store."""
    folder = root / ".osln" / case
    return Revisions(folder / tag if tag == "gtv" else folder, root / "labels" / tag / f"{case}.nii.gz")


def _unnumbered(by: str, source: str, at: datetime | None = None) -> Revision:
    return Revision(revision=0, by=by, at=_in_words(at), base=None, sha256="", source=source)


def _in_words(at: datetime | None) -> str:
    """A time, now if it is None, as a revision tells it."""
    return (at or datetime.now(timezone.utc)).astimezone(timezone.utc).isoformat(timespec="seconds")


def _of_a_part(review: Mapping[str, Any] | None) -> dict[str, int]:
    """What the counts of a case in part hold besides: how many candidates are undecided."""
    return {} if review is None or not in_part(review) else {"undecided": undecided_count(review)}


def _conflict(expected: int, head: Revision | None) -> str:
    if head is None:
        return f"the label was edited from revision {expected}, but nothing is stored; load the case again"
    return (
        f"the label was edited from revision {expected}, but revision {head.revision} was stored by "
        f"{head.by} at {head.at}; load the case again and repeat the changes"
    )
