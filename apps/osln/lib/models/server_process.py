"""A training lives in a process of its own, which must not outlive the server that started it."""

import os
import threading
import time

LOOK_SECONDS = 1.0


def end_with_parent() -> None:
    """Ends this process soon after the one that started it was killed; nothing is lost but the step it is in.

    It would go on unseen otherwise, beside the next training of the restarted server.
    """
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    # An orphan gets another parent.
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)
