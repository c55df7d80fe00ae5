"""Which core of the computer a worker keeps to, where nobody deals them out."""

import os
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

_kept: list[FileLock] = []


def free_core() -> int | None:
    """Number of a core that no other worker of this person keeps to, until this process ends.

    None where all are taken.
    """
    folder = Path(tempfile.gettempdir()) / f"osln-cores-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for core in range(count):
        lock = FileLock(folder / str(core), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue
        # The lock is given back with the process, however it ends.
        _kept.append(lock)
        return core
    return None
