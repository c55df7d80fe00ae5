"""At the start of a server: copies of labels that a killed one has prepared and not put in place."""

import logging
from pathlib import Path

from osln.store.final_copy import prepared_cases
from osln.store.revisions import Revision, label_revisions

logger = logging.getLogger(__name__)


def settle_interrupted(root: Path) -> list[tuple[str, str, Revision]]:
    """Puts the copies in place that a killed process has prepared; until then the former labels are read.

    Args:
        root: Folder of the store.

    Returns:
        Case, tag and newest revision of each. One that cannot be settled is told in the log.
    """
    settled = []
    for tag in ("final", "gtv"):
        for case in sorted(prepared_cases(root / "labels" / tag)):
            kept = label_revisions(root, case, tag)
            try:
                with kept.lock():
                    kept.settle()
                    head = kept.head()
            except (OSError, ValueError) as error:
                logger.error("The newest label of case %s, labels/%s: %s", case, tag, error)
                continue
            settled += [(case, tag, head)] if head is not None else []
    return settled
