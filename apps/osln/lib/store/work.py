"""Drafts, leases and skipped cases, changed inside the lock of their case, which must still be there."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lib.errors import NotReadyError
from lib.store.shelf import Shelf
from lib.store.shown_labels import stored_file
from lib.who import who
from osln.store.drafts import drop_draft, keep_draft, kept_draft
from osln.store.leases import Lease, give_back, renew_lease, take_lease
from osln.store.parts import partial_review
from osln.store.skips import Skip, skip, unskip

logger = logging.getLogger(__name__)

LONGEST_NAME = 128
LONGEST_REASON = 500


def annotator_named(name: Any) -> str:
    """Who works: the account; without accounts the name that the client gives.

    Raises:
        ValueError: If there are no accounts and the name is not fit to be one.
    """
    if account := who():
        return account.name
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError(f"annotator must be a name of 1 to {LONGEST_NAME} characters: say who works")
    return name


def put_draft(store: Shelf, case: str, annotator: str, draft: dict[str, Any]) -> None:
    """Keeps a draft in place of the annotator's former one and renews their lease."""
    with _working(store, case):
        keep_draft(store.root, case, annotator, draft)
        try:
            renew_lease(store.root, case, annotator)
        except OSError as error:
            logger.warning("The lease of case %s was not renewed: %s", case, error)


def remove_draft(store: Shelf, case: str, annotator: str) -> None:
    """Drops the annotator's draft, if there is one."""
    if (store.root / ".osln" / case / "drafts").is_dir():
        with _working(store, case):
            drop_draft(store.root, case, annotator)


def lease_case(store: Shelf, case: str, annotator: str, *, over: bool) -> Lease:
    """See `take_lease`."""
    with _working(store, case):
        return take_lease(store.root, case, annotator, over=over)


def leave_case(store: Shelf, case: str, annotator: str) -> None:
    """See `give_back`."""
    with _working(store, case):
        give_back(store.root, case, annotator)


def skip_case(store: Shelf, case: str, annotator: str, reason: Any) -> Skip:
    """Puts a case aside and gives it back.

    Raises:
        ValueError: If the reason is no text of at most `LONGEST_REASON` characters.
        NotReadyError: If the case is approved: nobody is asked for it any more.
    """
    usable = isinstance(reason, str) and 1 <= len(reason.strip()) <= LONGEST_REASON and reason.isprintable()
    if not usable:
        raise ValueError(f"reason must be a text of 1 to {LONGEST_REASON} characters: say why in a line")
    with _working(store, case):
        if stored_file(store, case, "final").is_file() and not _is_part(store.root, case):
            raise NotReadyError(
                f"case {case} has an approved label and is not proposed any more: there is nothing to skip"
            )
        made = skip(store.root, case, annotator, reason.strip())
        give_back(store.root, case, annotator)
        return made


def take_up_case(store: Shelf, case: str) -> None:
    """Takes back that a case is put aside."""
    with _working(store, case):
        unskip(store.root, case)


def tidy_after(root: Path, case: str, annotator: str, base: int | None) -> None:
    """Ends what a submission has finished: the draft that it was made of, and that the case is put aside.

    The label is stored: whatever cannot be tidied is left, and told in the log.

    Args:
        root: Folder of the store.
        case: Id of the case; call it inside the lock of its revisions.
        annotator: Who submitted.
        base: Revision whose draft ends, None if none does.
    """
    try:
        draft = kept_draft(root, case, annotator)
        if draft is not None and draft["base_revision"] == base:
            drop_draft(root, case, annotator)
        unskip(root, case)
        renew_lease(root, case, annotator)
    except (OSError, ValueError, KeyError) as error:
        logger.warning(
            "The work on case %s is stored, its draft or lease could not be ended: %s", case, error
        )


def _is_part(root: Path, case: str) -> bool:
    try:
        return partial_review(root, case) is not None
    except ValueError:
        # Its review is damaged: it is not known to be complete.
        return True


@contextmanager
def _working(store: Shelf, case: str) -> Iterator[None]:
    """The lock of a case that is there: a later CT of the same id must not inherit anything.

    Raises:
        UnknownCaseError: If the case was removed meanwhile.
    """
    with store.revisions(case, "final").lock():
        store.check_served(case)
        yield
