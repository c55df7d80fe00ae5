"""Cases that an annotator has put aside, with the reason; they are offered last."""

import json
import logging
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from osln.files.whole import write_atomically
from osln.store.revisions import label_revisions

logger = logging.getLogger(__name__)

FILE = "skipped.json"


@dataclass(frozen=True)
class Skip:
    """A case that was put aside.

    Attributes:
        by: Who did.
        reason: In words.
        at: When, ISO 8601 in UTC.
    """

    by: str
    reason: str
    at: str


def skip(root: Path, case: str, by: str, reason: str) -> Skip:
    """Puts a case aside; call it inside the lock of its revisions."""
    made = Skip(by, reason, datetime.now(timezone.utc).isoformat(timespec="seconds"))
    path = _path(root, case)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(made)).encode())
    return made


def unskip(root: Path, case: str) -> None:
    """Takes a case up again; call it inside the lock of its revisions."""
    _path(root, case).unlink(missing_ok=True)


def skipped(root: Path) -> dict[str, Skip]:
    """The cases that are put aside."""
    found = {}
    for path in sorted((root / ".osln").glob(f"*/{FILE}")):
        try:
            found[path.parent.name] = Skip(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError) as error:
            logger.warning("%s is no reason for skipping and is passed over: %s", path, error)
    return found


def _path(root: Path, case: str) -> Path:
    return label_revisions(root, case, "final").folder / FILE
