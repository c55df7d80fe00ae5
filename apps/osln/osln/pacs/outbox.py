"""Labels on their way to the PACS: which revisions it has, which wait, and why.

One small file for each label of a case. It says that something may have to be sent *before* the label is
stored; what exactly then follows from the label's revisions, so that a crash between the two loses nothing.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from filelock import FileLock

from osln.files.images import write_atomically
from osln.store.parts import partial_review
from osln.store.revisions import OF_ANNOTATORS, Revision, label_revisions

PAUSES_S = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 600.0)
"""Between tries of one label; the last one again and again."""


@dataclass(frozen=True)
class Entry:
    """State of one label of a case.

    Attributes:
        case, tag: Which label: "final" (nodes) or "gtv" (tumor).
        open: Whether there may be revisions to send.
        delivered: SOP Instance UID by revision number, as text.
        tries: Since the last success.
        error: Why the last try failed; "" if it did not.
        next_try: Seconds since the epoch before which nothing is tried.
    """

    case: str
    tag: str
    open: bool = False
    delivered: dict[str, str] = field(default_factory=dict)
    tries: int = 0
    error: str = ""
    next_try: float = 0.0


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
        with self._change(case, tag) as (entry, write):
            write(replace(entry, open=True, next_try=0.0))

    def entries(self) -> list[Entry]:
        """Labels that may have something to send, the longest untried first."""
        read = [self._read(path) for path in self._folder.glob("*.json")]
        return sorted((entry for entry in read if entry and entry.open), key=lambda entry: entry.next_try)

    def waiting(self, entry: Entry) -> list[Revision]:
        """Submitted revisions that the PACS does not have, oldest first.

        Reviews in part stay here: whoever finds an object on the PACS takes it for complete.
        """
        history = label_revisions(self.root, entry.case, entry.tag).history()
        return [
            revision
            for revision in reversed(history)
            if revision.source.startswith(OF_ANNOTATORS)
            and str(revision.revision) not in entry.delivered
            and not self._is_part(entry.case, revision)
        ]

    def delivered(self, entry: Entry, revision: Revision, uid: str) -> None:
        """Notes that the PACS has a revision."""
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

    @contextmanager
    def _change(self, case: str, tag: str) -> Iterator[tuple]:
        path = self._folder / f"{case}.{tag}.json"

        def write(entry: Entry) -> None:
            write_atomically(path, json.dumps(asdict(entry), indent=1).encode())

        with FileLock(self._folder / ".lock"):
            yield self._read(path) or Entry(case, tag), write

    def _read(self, path: Path) -> Entry | None:
        try:
            return Entry(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path} is no entry of the outbox ({error}); remove it and submit the label once more"
            ) from error
