"""Kills a copy of this process before one of its file operations."""

import os
import sys
from collections.abc import Callable, Sequence

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.move", "open")
MOVES = ("os.rename", "os.remove")
KILLED = 77


def killed_at(number: int, work: Callable[[], object], changes: Sequence[str] = CHANGES) -> bool:
    """Runs `work` in a process that ends before its `number`-th file operation; False if it came through."""
    child = os.fork()
    if child == 0:
        seen = [0]

        def count(event: str, arguments: object) -> None:
            if event in changes:
                seen[0] += 1
                if seen[0] == number:
                    os._exit(KILLED)

        try:
            sys.addaudithook(count)
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED
