"""The audit log: who did what, when and from where, one JSON line each, only ever added to.

No patient data: neither case ids nor file names nor texts of annotators.
"""

import json
import logging
import os
import threading
from datetime import datetime, timezone
from pathlib import Path

from osln.accounts.users import MODE

logger = logging.getLogger(__name__)


class AuditLog:
    """A file that lines are added to.

    Args:
        path: Of the file; None writes nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()

    def add(self, who: str, what: str, where: str, status: int) -> None:
        """Adds a line; one write each, so that lines of several threads never mix.

        What was done is done: a line that cannot be written goes to the log of the server, and the reply
        stays what it was.

        Args:
            who: Name of the account, "" if nobody is logged in.
            what: Method and route.
            where: Address of the client.
            status: Of the reply.
        """
        if self.path is None:
            return
        when = datetime.now(timezone.utc).isoformat(timespec="seconds")
        line = json.dumps({"when": when, "who": who, "what": what, "from": where, "status": status})
        try:
            with self._lock:
                handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, MODE)
                try:
                    os.write(handle, line.encode() + b"\n")
                finally:
                    os.close(handle)
        except OSError:
            logger.exception("The audit log cannot be written; its line: %s", line)
