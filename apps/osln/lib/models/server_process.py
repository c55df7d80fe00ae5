"""A training lives in a process of its own, which must not outlive the server that started it.

The server is told by the environment, not looked up: a training whose server dies while it still imports
would take its new parent for the server.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

from lib.temporary import lives, server

LOOK_SECONDS = 1.0
PR_SET_PDEATHSIG = 1


def end_with_server() -> None:
    """Ends this process as soon as its server is gone; does nothing in the server itself and without one.

    It would go on unseen otherwise, beside the next training of the restarted server. Nothing is lost but the
    step it is in.
    """
    number, lock = server()
    if number in (0, os.getpid()):
        return
    if sys.platform == "linux" and os.getppid() == number:
        # At once; the lock below also tells where a launcher lies between the two processes.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if not lives(lock):
        os._exit(1)
    threading.Thread(target=_watch, args=(lock,), daemon=True).start()


def _watch(lock: Path) -> None:
    while lives(lock):
        time.sleep(LOOK_SECONDS)
    os._exit(1)
