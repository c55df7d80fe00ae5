"""Whether somebody works with the server: requests that change or compute something, in all threads.

Reading does not count: a page that was left open asks for the worklist all night. Who looks at a case holds
its lease.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

READING = ("GET", "HEAD", "OPTIONS")


class Activity:
    """Requests at work, and when the last one ended.

    Args:
        clock: Seconds that never run back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._guard = clock, threading.Lock()
        self._running, self._last = 0, clock()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Inside, somebody waits for an answer."""
        with self._guard:
            self._running += 1
        try:
            yield
        finally:
            with self._guard:
                self._running -= 1
                self._last = self._clock()

    @property
    def quiet_s(self) -> float:
        """Seconds since the last request, or since the start; 0 while one is at work."""
        with self._guard:
            return 0.0 if self._running else self._clock() - self._last


ACTIVITY = Activity()
"""Of this process: it outlives a reload of the app, as the server's routes do."""


class Noticing:
    """ASGI application that notices requests on their way to the routes.

    Args:
        app: The routes.
        activity: Takes note.
    """

    def __init__(self, app: Callable[..., Any], activity: Activity = ACTIVITY) -> None:
        self._app, self._activity = app, activity

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] in READING:
            await self._app(scope, receive, send)
            return
        with self._activity.at_work():
            await self._app(scope, receive, send)
