"""Labels on their way to the PACS: which revisions it has, which wait, and why.

One small file for each label of a case. It says that something may have to be sent *before* the label is
stored; what exactly then follows from the label's revisions, so that a crash between the two loses nothing.
"""

import json
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from filelock import FileLock

from osln.files.images import write_atomically
from osln.store.parts import partial_review
from osln.store.revisions import OF_ANNOTATORS, Revision, label_revisions

logger = logging.getLogger(__name__)

PAUSES_S = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 600.0)
"""Between tries of one label; the last one again and again."""
KINDS: dict[str, type | tuple[type, ...]] = {
    "open": bool, "delivered": dict, "tries": int, "error": str, "next_try": (int, float), "given_up": list,
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """State of one label of a case.

    Attributes:
        case, tag: Which label: "final" (nodes) or "gtv" (tumor).
        open: Whether there may be revisions to send.
        delivered: SOP Instance UID by revision number, as text. The number alone says nothing: it is used
            again after the revisions of a case were restored from a backup or removed.
        tries: Since the last success.
        error: Why the last try failed; "" if it did not.
        next_try: Seconds since the epoch before which nothing is tried.
        given_up: Numbers of revisions that are not sent any more; written by a person.
    """

    case: str
    tag: str
    open: bool = False
    delivered: dict[str, str] = field(default_factory=dict)
    tries: int = 0
    error: str = ""
    next_try: float = 0.0
    given_up: list[int] = field(default_factory=list)

    def has_sent(self, revision: Revision) -> bool:
        """Whether the PACS has this very revision."""
        return self.delivered.get(str(revision.revision)) == label_uids(self.case, self.tag, revision)[1]


def label_uids(case: str, tag: str, revision: Revision) -> tuple[str, str]:
    """UIDs of the series and the object that a revision becomes: the same however often it is sent."""
    made = f"osln/{case}/{tag}/{revision.revision}/{revision.at}/{revision.sha256}"
    series, instance = (uuid.uuid5(uuid.NAMESPACE_OID, f"{made}/{what}") for what in ("series", "instance"))
    return f"2.25.{series.int}", f"2.25.{instance.int}"


class Outbox:
    """The outbox of a mirror.

    Args:
        root: Folder of the mirror.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = root / ".osln" / "outbox"
        self._folder.mkdir(parents=True, exist_ok=True)

    def announce(self, case: str, tag: str) -> None:
        """Notes that a revision may follow; call it inside the lock of its revisions."""
        to_come = label_revisions(self.root, case, tag).next_number()
        with self._change(case, tag) as (entry, write):
            # A number that is to come anew was given up for a revision that is gone.
            given_up = [number for number in entry.given_up if number < to_come]
            write(replace(entry, open=True, next_try=0.0, given_up=given_up))

    def entries(self) -> list[Entry]:
        """Labels that may have something to send, the longest untried first; damaged files are left out."""
        found = [entry for entry in self._all() if isinstance(entry, Entry) and entry.open]
        return sorted(found, key=lambda entry: entry.next_try)

    def damaged(self) -> list[str]:
        """A sentence for each file that cannot be read; its label waits."""
        return [str(error) for error in self._all() if isinstance(error, ValueError)]

    def entry(self, case: str, tag: str) -> Entry:
        """The state of a label; a closed one if nothing is known.

        Raises:
            ValueError: If its file is damaged.
        """
        return self._read(self._path(case, tag)) or Entry(case, tag)

    def waiting(self, entry: Entry) -> list[Revision]:
        """Submitted revisions that the PACS does not have, oldest first.

        Reviews in part stay here: whoever finds an object on the PACS takes it for complete.

        Raises:
            ValueError: If what is known of the label's revisions is damaged.
        """
        history = label_revisions(self.root, entry.case, entry.tag).history()
        return [
            revision
            for revision in reversed(history)
            if revision.source.startswith(OF_ANNOTATORS)
            and not entry.has_sent(revision)
            and revision.revision not in entry.given_up
            and not self._is_part(entry.case, revision)
        ]

    def delivered(self, entry: Entry, revision: Revision) -> None:
        """Notes that the PACS has a revision."""
        uid = label_uids(entry.case, entry.tag, revision)[1]
        with self._change(entry.case, entry.tag) as (now, write):
            done = now.delivered | {str(revision.revision): uid}
            write(replace(now, delivered=done, tries=0, error="", next_try=0.0))

    def failed(self, entry: Entry, error: str) -> None:
        """Notes why a try failed; the next follows after a pause that grows."""
        with self._change(entry.case, entry.tag) as (now, write):
            pause = PAUSES_S[min(now.tries, len(PAUSES_S) - 1)]
            write(replace(now, tries=now.tries + 1, error=error, next_try=time.time() + pause))

    def hurry(self) -> None:
        """Has everything tried again at once, for instance since the PACS answers again."""
        for entry in self.entries():
            with self._change(entry.case, entry.tag) as (now, write):
                write(replace(now, next_try=0.0))

    def close(self, entry: Entry) -> None:
        """Notes that nothing waits, unless something does."""
        with label_revisions(self.root, entry.case, entry.tag).lock():
            with self._change(entry.case, entry.tag) as (now, write):
                if not self.waiting(now):
                    write(replace(now, open=False, tries=0, error="", next_try=0.0))

    def _is_part(self, case: str, revision: Revision) -> bool:
        try:
            return partial_review(self.root, case, revision) is not None
        except ValueError:
            # Not complete by its description, and its review is damaged: it cannot be sent as it is.
            return True

    def _path(self, case: str, tag: str) -> Path:
        return self._folder / f"{case}.{tag}.json"

    @contextmanager
    def _change(self, case: str, tag: str) -> Iterator[tuple]:
        path = self._path(case, tag)

        def write(entry: Entry) -> None:
            write_atomically(path, json.dumps(asdict(entry), indent=1).encode())

        with FileLock(self._folder / ".lock"):
            try:
                entry = self._read(path)
            except ValueError as error:
                # No submission is refused for it. What was sent is sent again, as the same objects.
                logger.warning("%s; it is put aside, and all revisions are sent again", error)
                path.replace(path.with_suffix(".damaged"))
                entry = None
            yield entry or Entry(case, tag), write

    def _all(self) -> list[Entry | ValueError]:
        """Every file's entry, or why it is none."""
        found: list[Entry | ValueError] = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                if (entry := self._read(path)) is not None:
                    found.append(entry)
            except ValueError as error:
                found.append(error)
        return found

    def _read(self, path: Path) -> Entry | None:
        try:
            entry = Entry(**json.loads(path.read_text()))
            if self._path(entry.case, entry.tag) != path:
                raise ValueError(f"it is about label {entry.tag} of case {entry.case}")
            for name, kinds in KINDS.items():
                if not isinstance(getattr(entry, name), kinds):
                    raise ValueError(f"{name} is {getattr(entry, name)!r}")
            if not all(isinstance(number, int) for number in entry.given_up):
                raise ValueError(f"given_up is {entry.given_up!r}, expected numbers of revisions")
            return entry
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(
                f"{path} is no entry of the outbox ({error}), so that its label is not sent: submit the "
                "label once more"
            ) from error
