"""Background jobs: a model on many cases, in a process of its own at idle priority.

A job is a batch task of MONAI Label (`/batch/infer` starts the same ones), so one runs at a time and the
others wait. What that table lacks lies in files of the store: which cases, for whom, how far, and what came
of each; they outlive the server, and a job that ended with it says so.
"""

import json
import logging
import os
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
from fastapi import HTTPException
from monailabel.utils.async_tasks.utils import processes, tasks

from osln.files.whole import write_json

logger = logging.getLogger(__name__)

FOLDER = ".jobs"
"""Of `.osln`, where no case can have such a name."""
KEPT = 20
"""Jobs that are remembered after their end."""
MOST_AT_ONCE = 100
"""Jobs that may run and wait."""
REASONS = 20
"""Cases of a job whose error is told; the log has all."""
NOTHING_DONE = {"total": 0, "done": 0, "failures": 0, "failed": {}, "case": None, "seconds_left": None}
METHOD = "batch_infer"
STATES = {
    "SUBMITTED": "waiting",
    "RUNNING": "running",
    "DONE": "done",
    "ERROR": "failed",
    "STOPPED": "canceled",
}
AT_WORK = ("SUBMITTED", "RUNNING")
"""Status of the tasks that have not ended."""
LOWEST = 19


class UnknownJobError(LookupError):
    """There is no job of this id."""


class JobFiles:
    """What is kept of the jobs of a store.

    Args:
        root: Folder of the store.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / ".osln" / FOLDER

    def add(self, cases: Sequence[str], model: str, by: str) -> str:
        """Notes a job that is about to start; returns its id.

        Raises:
            HTTPException: 429 if too many wait.
        """
        at_work = {task["request"].get("job") for task in tasks(METHOD) if task["status"] in AT_WORK}
        if len(at_work) >= MOST_AT_ONCE:
            raise HTTPException(
                429,
                f"{len(at_work)} jobs run or wait, at most {MOST_AT_ONCE} may: wait for one, or cancel one",
            )
        number = uuid.uuid4().hex
        asked = {"id": number, "kind": "find", "model": model, "cases": list(cases), "by": by, "at": _now()}
        write_json(self._asked(number), asked)
        over = [one for one in self.asked() if one["id"] not in at_work]
        for old in over[KEPT:]:
            for path in self.folder.glob(f"{old['id']}.*"):
                path.unlink(missing_ok=True)
        return number

    def drop(self, number: str) -> None:
        """Forgets a job that was refused."""
        self._asked(number).unlink(missing_ok=True)

    def asked(self) -> list[dict[str, Any]]:
        """All jobs as they were asked for, newest first."""
        found = [_read(path) for path in self.folder.glob("*.asked.json")]
        return sorted((one for one in found if one), key=lambda one: one["at"], reverse=True)

    def cases(self, number: str) -> list[str]:
        """The cases of a job.

        Raises:
            UnknownJobError: If there is none of this id.
        """
        return list(self.known(number)["cases"])

    def known(self, number: str) -> dict[str, Any]:
        """A job as it was asked for; raises UnknownJobError."""
        found = _read(self._asked(number)) if number.isalnum() else {}
        if not found:
            raise UnknownJobError(f"there is no job {number!r}; GET /osln/jobs lists them")
        return found

    def progress(self, number: str) -> dict[str, Any]:
        """How far a job is; {} before its first case."""
        return _read(self.folder / f"{number}.progress.json")

    def note(self, number: str, progress: Mapping[str, Any]) -> None:
        """Keeps how far a job is. What cannot be written is not known, and the job goes on."""
        try:
            write_json(self.folder / f"{number}.progress.json", progress)
        except OSError as error:
            logger.warning("job %s: its progress cannot be written: %s", number, error)

    def cancel(self, number: str) -> None:
        """Marks a job as one that is not wanted any more."""
        write_json(self._canceled(number), {"at": _now()})

    def canceled(self, number: str) -> bool:
        return self._canceled(number).exists()

    def _asked(self, number: str) -> Path:
        return self.folder / f"{number}.asked.json"

    def _canceled(self, number: str) -> Path:
        return self.folder / f"{number}.canceled.json"


class Report:
    """A running job's way to tell how far it is.

    Args:
        files: Of the store.
        number: Id of the job.
        total: Number of cases.
    """

    def __init__(self, files: JobFiles, number: str, total: int) -> None:
        self._files, self._number, self._began = files, number, time.monotonic()
        self._state = {**NOTHING_DONE, "total": total}

    @property
    def canceled(self) -> bool:
        return self._files.canceled(self._number)

    def begin(self, case: str) -> None:
        self._tell(case=case)

    def end(self, case: str, error: str | None) -> None:
        """Counts a case.

        Args:
            case: Its id.
            error: Why nothing was found in it; None if it was done.
        """
        done = self._state["done"] + 1
        failed, failures = self._state["failed"], self._state["failures"] + (error is not None)
        if error is not None and len(failed) < REASONS:
            failed = failed | {case: error}
        left = (time.monotonic() - self._began) / done * (self._state["total"] - done)
        self._tell(done=done, failed=failed, failures=failures, seconds_left=round(left, 1), case=None)

    def _tell(self, **changes: Any) -> None:
        self._state |= changes
        self._files.note(self._number, self._state)


def told(files: JobFiles) -> list[dict[str, Any]]:
    """All jobs of a store, newest first, without the list of their cases.

    Returns:
        For each `id`, `kind`, `model`, `by`, `at`, `state` ("waiting", "running", "done", "failed",
        "canceled" or "ended"), `total`, `done`, `failures` (number of cases), `failed` (sentence by case of
        the first `REASONS` of them), `case` at work, `seconds_left`, and `message`, a sentence.
    """
    known = {task["request"].get("job"): task for task in tasks(METHOD)}
    return [_told(files, one, known.get(one["id"])) for one in files.asked()]


def failed_last(told: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """By case: when the newest job that failed on it was asked for, and a sentence with the reason.

    Args:
        told: What `told` gave, newest first.
    """
    found: dict[str, tuple[str, str]] = {}
    for job in reversed(told):
        for case, reason in job["failed"].items():
            found[case] = job["at"], f"{job['model']} could not search this case: {reason}"
    return found


def _told(files: JobFiles, asked: Mapping[str, Any], task: Mapping[str, Any] | None) -> dict[str, Any]:
    progress = {**NOTHING_DONE, "total": len(asked["cases"])} | files.progress(asked["id"])
    finished = progress["done"] >= progress["total"]
    state = STATES[task["status"]] if task else ("done" if finished else "ended")
    if files.canceled(asked["id"]) and not finished:
        state = "canceled"
    about = {key: asked[key] for key in ("id", "kind", "model", "by", "at")}
    return about | progress | {"state": state, "message": _sentence(state, progress, task)}


def _sentence(state: str, progress: Mapping[str, Any], task: Mapping[str, Any] | None) -> str:
    cases = f"{progress['total']} case{'' if progress['total'] == 1 else 's'}"
    counted = f"{progress['done']} of {cases}"
    failed = f", {progress['failures']} failed" if progress["failures"] else ""
    if state == "waiting":
        return f"waits for its turn ({cases})"
    if state == "running" and not progress["case"] and not progress["done"]:
        return "the program starts; the first case follows"
    if state == "failed":
        last = list(task.get("details", ()))[-1:] if task else []
        return f"ended with an error after {counted}: {last[0] if last else 'see the log'}; start it again"
    if state == "ended":
        return f"ended with the server after {counted}; start it again for the others"
    return {"running": counted, "done": counted, "canceled": f"canceled after {counted}"}[state] + failed


def cancel(files: JobFiles, number: str) -> None:
    """Ends a job; cases that are done keep their candidates.

    Raises:
        UnknownJobError: If there is none of this id.
    """
    files.known(number)
    task = next((one for one in tasks(METHOD) if one["request"].get("job") == number), None)
    if task is None or task["status"] not in AT_WORK:
        return
    # The mark comes first: a process that is just starting finds it before its first case.
    files.cancel(number)
    task["status"] = "STOPPED"
    process = processes(METHOD).get(task["id"])
    if process is not None:
        process.terminate()


def run_unless_canceled(stock: Any) -> Any:
    """MONAI Label's start of a task's process, which is left out for a task that was canceled meanwhile."""

    def run(task: dict[str, Any], method: str, callback: Any = None) -> None:
        if task["status"] != "STOPPED":
            stock(task, method, callback)

    return run


def be_idle() -> None:
    """Lets all other work of this computer go first, in every thread of this process."""
    if sys.platform != "linux":
        psutil.Process().nice(getattr(psutil, "IDLE_PRIORITY_CLASS", LOWEST))
        return
    for thread in psutil.Process().threads():
        try:
            os.setpriority(os.PRIO_PROCESS, thread.id, LOWEST)
        except ProcessLookupError:
            continue


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
