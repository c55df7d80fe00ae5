"""Who works on which case: a hint for the next one who opens it, never a lock on what is submitted.

A lease is a file beside the revisions of its case, so that every process sees it, a restart keeps it, and it
goes with the case when that is removed.
"""

import json
import logging
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from osln.files.whole import write_atomically
from osln.store.revisions import label_revisions

logger = logging.getLogger(__name__)

LASTS = timedelta(minutes=30)
FILE = "lease.json"


@dataclass(frozen=True)
class Lease:
    """One case in the hands of one annotator.

    Attributes:
        by: Name.
        since: Since when without a pause, ISO 8601 in UTC.
        until: When it ends unless it is renewed, ISO 8601 in UTC.
    """

    by: str
    since: str
    until: str


def lease_of(root: Path, case: str, now: datetime | None = None) -> Lease | None:
    """The lease of a case; None if nobody has it, it has ended, or its file is damaged.

    Args:
        root: Folder of the store.
        case: Id of the case.
        now: With a time zone; the clock's if omitted.
    """
    return _read(_path(root, case), now or datetime.now(timezone.utc))


def leases(root: Path, now: datetime | None = None) -> dict[str, Lease]:
    """The leases that have not ended, by case."""
    now = now or datetime.now(timezone.utc)
    found = {path.parent.name: _read(path, now) for path in sorted((root / ".osln").glob(f"*/{FILE}"))}
    return {case: lease for case, lease in found.items() if lease}


def take_lease(root: Path, case: str, by: str, *, over: bool = False, now: datetime | None = None) -> Lease:
    """Takes or renews the lease of a case, or tells whose it is.

    Args:
        root: Folder of the store.
        case: Id of the case; call it inside the lock of its revisions.
        by: Who asks.
        over: Take it even from somebody else.
        now: With a time zone; the clock's if omitted.

    Returns:
        The lease now; its `by` says whose it is.
    """
    now = now or datetime.now(timezone.utc)
    held = lease_of(root, case, now)
    if held and held.by != by and not over:
        return held
    since = held.since if held and held.by == by else _told(now)
    lease = Lease(by, since, _told(now + LASTS))
    path = _path(root, case)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(lease)).encode())
    return lease


def renew_lease(root: Path, case: str, by: str, now: datetime | None = None) -> None:
    """Renews the lease of a case if it is this annotator's; call it inside the lock of its revisions."""
    held = lease_of(root, case, now)
    if held and held.by == by:
        take_lease(root, case, by, now=now)


def give_back(root: Path, case: str, by: str) -> None:
    """Ends a lease if it is this annotator's; call it inside the lock of the case's revisions."""
    held = lease_of(root, case)
    if held and held.by == by:
        _path(root, case).unlink(missing_ok=True)


def _path(root: Path, case: str) -> Path:
    return label_revisions(root, case, "final").folder / FILE


def _read(path: Path, now: datetime) -> Lease | None:
    try:
        lease = Lease(**json.loads(path.read_text(encoding="utf-8")))
        left = datetime.fromisoformat(lease.until) - now
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        logger.warning("%s is not a lease and is passed over: %s", path, error)
        return None
    # One that ends later than any may is of a clock that was set back.
    return lease if timedelta(0) < left <= LASTS else None


def _told(at: datetime) -> str:
    return at.astimezone(timezone.utc).isoformat(timespec="seconds")
