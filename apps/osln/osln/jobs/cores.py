"""Which core a worker keeps to: one that no worker of another run has, while there are such."""

import os
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

_kept: list[FileLock] = []


def own_core() -> int | None:
    """Number of a core that no other worker of this person keeps to, until this process ends.

    Where all that this process may use are taken, some of them is shared. None where the system has no such
    choice.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    folder = Path(tempfile.gettempdir()) / f"osln-cores-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for core in allowed:
        lock = FileLock(folder / str(core), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue
        # The lock is given back with the process, however it ends.
        _kept.append(lock)
        return core
    return allowed[os.getpid() % len(allowed)]
