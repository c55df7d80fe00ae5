"""What goes on between a server and its PACS beside the requests: listing and delivery, in two threads."""

import logging
import threading
import time
from datetime import datetime
from typing import Any

from lib.pacs.datastore import PacsDatastore
from osln.dicom.web.client import PacsError
from osln.pacs.delivery import deliver

logger = logging.getLogger(__name__)

FRESH_S = 20.0
"""So old a list is shown without asking the PACS again."""
WAIT_S = 5.0
"""So long a request for the list waits for a fresh one; after that it gets the one there is."""
PAUSES_S = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
"""Between tries while the PACS does not answer."""

IDLE_S = 30.0
"""Between looks into an empty outbox, for labels that another process puts there."""


class PacsKeeper:
    """Keeps the list of cases fresh, and sends labels, without letting a slow PACS hold up the viewers.

    Args:
        store: The store of the PACS.
    """

    def __init__(self, store: PacsDatastore) -> None:
        self.store = store
        self._wake = threading.Condition()
        self._wanted = True
        self._rounds = 0
        self._listed_at = -FRESH_S
        self._listed = ""
        self._error = ""
        self._submitted = threading.Event()
        self._ended = False

    def start(self) -> None:
        """Begins; the threads end with the process."""
        self.store.before_listing = self.wait_for_list
        self.store.after_submission = self._submitted.set
        for work in (self._list, self._deliver):
            threading.Thread(target=work, name=f"PACS {work.__name__}", daemon=True).start()

    def stop(self) -> None:
        """Has the threads end after what they are doing."""
        with self._wake:
            self._ended, self._wanted = True, True
            self._wake.notify_all()
        self._submitted.set()

    def wait_for_list(self) -> None:
        """Has the PACS listed if the list is old, and waits a little, but not while the PACS is down."""
        with self._wake:
            if time.monotonic() - self._listed_at < FRESH_S or self._error:
                return
            rounds, self._wanted = self._rounds, True
            self._wake.notify_all()
            self._wake.wait_for(lambda: self._rounds > rounds, WAIT_S)

    def status(self) -> dict[str, Any]:
        """For `/info/`: address without credentials, when it was listed, what is wrong."""
        mirror = self.store.mirror
        return {
            "address": mirror.web.url,
            "listed": self._listed,
            "error": self._error,
            **self.store.waiting(),
            "left_out": len(mirror.cases().left_out),
            "cache_gb": {"used": round(mirror.room.size() / 1e9, 3), "limit": mirror.room.limit / 1e9},
        }

    def _list(self) -> None:
        failures = 0
        while not self._ended:
            try:
                self.store.look()
                if self._error:
                    self.store.outbox.hurry()
                    self._submitted.set()
                self._told("")
                self.store.take_labels()
                failures = 0
            except Exception as error:
                if not isinstance(error, PacsError):
                    logger.exception("The PACS could not be listed")
                self._told(str(error))
                failures += 1
            with self._wake:
                self._rounds += 1
                self._wanted = self._ended
                if not failures:
                    self._listed_at = time.monotonic()
                    self._listed = datetime.now().astimezone().isoformat(timespec="seconds")
                self._wake.notify_all()
                pause = PAUSES_S[min(failures, len(PAUSES_S)) - 1] if failures else None
                self._wake.wait_for(lambda: self._wanted, pause)

    def _deliver(self) -> None:
        while not self._ended:
            self._submitted.clear()
            try:
                deliver(self.store.mirror, self.store.outbox, time.time())
            except Exception:
                # A full disk, for instance: what waits is due still, and would be tried without a pause.
                logger.exception("The labels that wait could not be sent")
                self._submitted.wait(IDLE_S)
            else:
                self._submitted.wait(self._until_next())

    def _until_next(self) -> float:
        """Seconds until a label is to be tried again."""
        entries = self.store.outbox.entries()
        return max(0.5, entries[0].next_try - time.time()) if entries else IDLE_S

    def _told(self, error: str) -> None:
        if error and error != self._error:
            logger.warning("%s; cases that were fetched before can be used", error)
        elif self._error and not error:
            logger.info("The PACS answers again")
        self._error = error
