"""Starts the making of evidence when nobody needs the computer, and ends it as soon as somebody does."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from monailabel.utils.async_tasks.task import AsyncTask
from monailabel.utils.async_tasks.utils import processes, tasks

from lib.models.scoring import NAME, Plan, plan
from osln.published import Published
from osln.store.leases import LASTS

logger = logging.getLogger(__name__)

LOOK_S = 2.0
"""Between looks whether somebody works."""
QUIET_S = 60.0
"""So long after the start, the last inference and the last sign of an annotator nothing begins."""
PLAN_S = 20.0
"""Between looks for what is missing, at least."""
LOOKING_SHARE = 0.05
"""Of the time, spent on such looks at most."""
LONGEST_PAUSE_S = 3600.0
"""Between tries that bring nothing on; the first pause is `QUIET_S`, each next one twice as long."""
AT_WORK = ("SUBMITTED", "RUNNING")


class Work:
    """Inferences that run in this process, and when the last one ended."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._running = 0
        self._last = time.monotonic()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Inside, somebody waits for an inference."""
        with self._guard:
            self._running += 1
        try:
            yield
        finally:
            with self._guard:
                self._running -= 1
                self._last = time.monotonic()

    @property
    def quiet_s(self) -> float:
        """Seconds since the last inference has ended; 0 while one runs."""
        return 0.0 if self._running else time.monotonic() - self._last


class Background:
    """Keeps the evidence of a store up to date.

    Args:
        store: An `OslnDatastore`.
        published: The weights in use.
        work: Inferences of the server.
        wanted: Whether to start by itself; if not, only the state is told.
    """

    def __init__(self, store: Any, published: Published, work: Work, *, wanted: bool) -> None:
        self._store, self._published, self._work, self.wanted = store, published, work, wanted
        self._ended = threading.Event()
        self._plan: Plan | None = None
        self._plan_at = 0.0
        self._left_before: int | None = None
        self._vain = 0
        self._not_before = 0.0

    def start(self) -> None:
        """Begins; the thread ends with the process."""
        threading.Thread(target=self._run, name="evidence", daemon=True).start()

    def stop(self) -> None:
        """Has the thread end."""
        self._ended.set()

    def status(self) -> dict[str, Any]:
        """How far the evidence is: `state` ("off", "waiting", "running", "done"), `done`, `total`, `failed`
        (sentence by case), `message`."""
        what = self._plan
        if what is None:
            state = "waiting" if self.wanted else "off"
            return {"state": state, "done": 0, "total": 0, "failed": {}, "message": "not looked at yet"}
        total = what.done + len(what.missing) + len(what.failed) + what.reserved
        counted = f"{what.done} of {total} waiting cases have evidence by the weights in use"
        if any(task["status"] in AT_WORK for task in tasks("scoring")):
            state, more = "running", ""
        elif not what.left:
            state, more = "done", ""
        elif not self.wanted:
            state, more = "off", "; --conf evidence yes, or POST /scoring/evidence, makes the others"
        else:
            state, more = "waiting", "; the others follow when nobody works"
        failures = f", {len(what.failed)} cannot have any" if what.failed else ""
        message = f"{counted}{failures}{more}"
        told = {"state": state, "done": what.done, "total": total, "failed": dict(what.failed)}
        return told | {"message": message}

    def _run(self) -> None:
        while not self._ended.wait(LOOK_S):
            try:
                self.look()
            except Exception:
                logger.exception("The evidence of the cases could not be looked after")
                self._pause()

    def look(self) -> None:
        """One look: ends what is in somebody's way, or starts what is missing."""
        busy = self.busy()
        running = [task for task in tasks("scoring") if task["status"] in AT_WORK]
        if busy and running:
            for task in running:
                if task["request"].get("background"):
                    self._end(task, busy)
        if time.monotonic() >= self._plan_at:
            self._look_for_missing()
        waits = busy or running or time.monotonic() < self._not_before
        if waits or not (self.wanted and self._plan and self._plan.left):
            return
        # The process that has just ended may have left nothing to do.
        left = self._look_for_missing().left
        if not left:
            return
        if self._left_before is not None:
            if left >= self._left_before:
                self._pause()
                return
            self._vain = 0
        self._left_before = left
        AsyncTask.run("scoring", {"method": NAME, "background": True})

    def _look_for_missing(self) -> Plan:
        began = time.monotonic()
        self._plan = plan(self._store, self._published)
        took = time.monotonic() - began
        self._plan_at = began + max(PLAN_S, took / LOOKING_SHARE)
        return self._plan

    def busy(self) -> str:
        """Who needs the computer, in words; "" if nobody does."""
        if self._work.quiet_s < QUIET_S:
            return "somebody runs a model"
        for method, what in (("train", "a training"), ("batch_infer", "a job")):
            if any(task["status"] in AT_WORK for task in tasks(method)):
                return f"{what} runs"
        now = datetime.now(timezone.utc)
        for case, lease in self._store.leases().items():
            renewed = datetime.fromisoformat(lease["until"]) - LASTS
            if (now - renewed).total_seconds() < QUIET_S:
                return f"somebody works on case {case}"
        return ""

    def _end(self, task: dict[str, Any], reason: str) -> None:
        logger.info("evidence: it waits, because %s", reason)
        task["status"] = "STOPPED"
        self._left_before = None
        process = processes("scoring").get(task["id"])
        if process is not None:
            process.terminate()

    def _pause(self) -> None:
        """Waits longer with each try that brought nothing on."""
        pause = min(QUIET_S * 2**self._vain, LONGEST_PAUSE_S)
        self._vain += 1
        self._left_before = None
        self._not_before = time.monotonic() + pause
