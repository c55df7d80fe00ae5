"""One server works on a store at a time: trainings, sessions and what works by itself live in its process.

The locks are held here and not in the app, whose modules a reload takes away.
"""

import json
import logging
import os
import socket
import time
from pathlib import Path

from filelock import FileLock, Timeout

from osln.files.arrays import write_json

logger = logging.getLogger(__name__)
_held: dict[Path, FileLock] = {}


def move_into(store: Path) -> None:
    """Makes this process the store's server until it ends, whatever it ends of.

    Args:
        store: Folder of the store; one that this process has already may be asked for again.

    Raises:
        ValueError: Another server has it; says which.
    """
    store = store.resolve()
    if store in _held:
        return
    lock = FileLock(store / ".osln" / ".server.lock", timeout=0)
    about = store / ".osln" / ".server.json"
    try:
        about.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ValueError(
            f"another server works on {store}{_words(about)}: trainings and sessions live in its process. "
            "End that one, or start this one on another store"
        ) from error
    except (OSError, NotImplementedError) as error:
        logger.warning(
            "%s cannot be locked (%s): see to it that no other server works on this store", store, error
        )
        return
    _held[store] = lock
    try:
        write_json(about, {"process": os.getpid(), "computer": socket.gethostname(), "since": time.time()})
    except OSError as error:
        logger.warning("%s cannot be written (%s): a second server is refused without its name", about, error)


def _words(about: Path) -> str:
    """Which one, as far as it has told."""
    try:
        told = json.loads(about.read_text())
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(told["since"]))
        return f" (process {told['process']} on {told['computer']}, since {since})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
