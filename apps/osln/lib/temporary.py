"""Everything temporary of a server lies in one private folder, whose lock tells whether the server lives.

A server that was killed cleans nothing up: the next one does. The lock is the system's own, which ends with
the process whatever it dies of, and neither number nor start time of a process has to be believed.
"""

import atexit
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import uvicorn
from filelock import FileLock, Timeout

PREFIX = "osln-server-"
LOCK = ".lock"
FRESH_SECONDS = 60.0
"""So long a folder may be without its lock: its server is about to take it."""
SERVER = "OSLN_SERVER"
"""Variable of the environment that tells a started process its server: its number, ":", its lock."""


def move_in() -> Path:
    """Makes this process a server: sweeps what dead ones left, and has all temporary files in its own folder.

    Returns:
        The folder, which nobody else may read; a second call returns the same one.
    """
    number, lock = server()
    if number == os.getpid():
        return lock.parent
    around = Path(tempfile.gettempdir())
    sweep(around)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=around))
    held = FileLock(folder / LOCK)
    held.acquire()
    tempfile.tempdir = str(folder)
    os.environ.update({name: str(folder) for name in ("TMPDIR", "TEMP", "TMP")})
    os.environ[SERVER] = f"{os.getpid()}:{folder / LOCK}"
    atexit.register(_move_out, folder, held)
    _move_out_at_signals(folder, held)
    return folder


def server() -> tuple[int, Path]:
    """Number of the process of the server and its lock; 0 where none was told."""
    number, _, lock = os.environ.get(SERVER, "").partition(":")
    return (int(number), Path(lock)) if number.isdecimal() and lock else (0, Path())


def lives(lock: Path) -> bool:
    """Whether the server with this lock is still there."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def sweep(around: Path) -> list[str]:
    """Removes what dead servers of this user have left behind.

    Args:
        around: Folder of the temporary files of this computer.

    Returns:
        Names of the folders that were removed.
    """
    swept = []
    for folder in sorted(around.glob(f"{PREFIX}*")):
        try:
            about = folder.lstat()
        except FileNotFoundError:
            continue
        # Windows has no such number, and temporary folders of each user's own.
        mine = not hasattr(os, "getuid") or about.st_uid == os.getuid()
        ours = mine and stat.S_ISDIR(about.st_mode)
        lock = folder / LOCK
        # A clock that was set back makes a folder come from the future: not a young one.
        young = not lock.exists() and 0 <= time.time() - about.st_mtime < FRESH_SECONDS
        if ours and not young and not lives(lock):
            shutil.rmtree(folder, ignore_errors=True)
            swept.append(folder.name)
    return swept


def log_settings(written: Any, argv: Sequence[str]) -> Path | None:
    """The file of uvicorn's log settings that MONAI Label has written; None for one that somebody named.

    Args:
        written: `log_config` of uvicorn.
        argv: Command line of the server.
    """
    named = any(str(written) in argument for argument in argv)
    return Path(written) if isinstance(written, str) and not named else None


def _move_out_at_signals(folder: Path, held: FileLock) -> None:
    """Moves out as soon as uvicorn has ended all requests.

    Afterwards it raises the signal that ended it once more, and SIGTERM leaves no time to `atexit`. After
    SIGINT `atexit` waits for all threads, one of which may wait for a training, which ends with the lock.
    """
    stock = uvicorn.Server.shutdown

    @wraps(stock)
    async def shutdown(self: uvicorn.Server, *arguments: Any, **named: Any) -> None:
        try:
            await stock(self, *arguments, **named)
        finally:
            if settings := log_settings(self.config.log_config, sys.argv):
                settings.unlink(missing_ok=True)
            _move_out(folder, held)

    uvicorn.Server.shutdown = shutdown  # type: ignore[method-assign]


def _move_out(folder: Path, held: FileLock) -> None:
    held.release()
    shutil.rmtree(folder, ignore_errors=True)
