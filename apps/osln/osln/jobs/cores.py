"""Which core a worker keeps to: one that no worker of another run has, while there are such."""

import os
import stat
import tempfile
from pathlib import Path

from filelock import FileLock

_kept: list[FileLock] = []


def core_to_keep() -> int | None:
    """Number of a core that no other worker of this person keeps to, until this process ends.

    Where all that this process may use are taken, or nothing can be noted, one of them is shared. None where
    the system has no such choice.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    folder = Path(tempfile.gettempdir()) / f"osln-cores-{os.getuid()}"
    for core in allowed if _is_own(folder) else ():
        lock = FileLock(folder / str(core), timeout=0)
        try:
            lock.acquire()
        except OSError:
            continue
        # The lock is given back with the process, however it ends.
        _kept.append(lock)
        return core
    return allowed[os.getpid() % len(allowed)]


def _is_own(folder: Path) -> bool:
    """Whether the folder is there and nobody else's: its name can be guessed."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid()
