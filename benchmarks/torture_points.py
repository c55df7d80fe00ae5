"""Kills at exact points: one operation of the store, ended at the n-th of its file operations, for every n.

A process of its own imports the app once, forks for every point, and lets the fork die with `os._exit(9)`.
Another fork then opens the store as a new start does and looks for anything that is neither old nor new. A
file that was opened for writing and not yet closed is also left cut in half.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.torture_place import Place
from benchmarks.torture_tally import Tally

if TYPE_CHECKING:
    # It imports the app, which takes seconds.
    from benchmarks.torture_operations import Operation

STATUS = 9
WATCHED = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "open"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def points(folder: Path, tally: Tally, every: int) -> None:
    """Kills every `every`-th point of every operation; counts what is neither old nor new afterwards."""
    tally.size = "every point" if every == 1 else f"one of {every} points"
    place = Place(folder, tally)
    variables = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # The process finds what this one finds, whoever told it where: the command or the tests.
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "TMPDIR": str(place.temporary),
    }
    command = [sys.executable, "-m", "benchmarks.torture_points", str(folder), str(every)]
    asked = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if asked.returncode:
        raise RuntimeError(f"the points could not be tried:\n{asked.stdout[-500:]}{asked.stderr[-1500:]}")
    for line in asked.stdout.splitlines():
        if line.startswith("{"):
            told = json.loads(line)
            tally.tried += 1
            tally.acknowledged += told["done"]
            if told["wrong"]:
                tally.found("lost", f"{told['point']}: {'; '.join(told['wrong'])}")
    shutil.rmtree(folder / "points")
    place.close()


class Fuse:
    """Ends this process before the n-th file operation below a folder.

    Args:
        folder: What counts.
        point: Number of the operation, from 0; None counts only.
        torn: Leave half of a file that the operation before opened for writing.
    """

    def __init__(self, folder: Path, point: int | None, torn: bool) -> None:
        self.count, self.names = 0, list[str]()
        self._folder, self._point, self._torn = str(folder), point, torn
        self._opened: str | None = None

    def light(self) -> None:
        """From now on operations count."""
        sys.addaudithook(self._heard)
        sync = os.fsync

        def fsync(file: Any) -> None:
            self._at("fsync", None)
            sync(file)

        os.fsync = fsync

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in WATCHED or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.fsdecode(arguments[0])
        if not path.startswith(self._folder):
            return
        if event == "open":
            _, mode, flags = arguments
            if not (flags & WRITING if mode is None else set(mode) & set("wax+")):
                return
        self._at(event, path if event == "open" else None)

    def _at(self, event: str, opened: str | None) -> None:
        if self.count == self._point:
            self._point = None  # what follows is no operation of the store
            if self._torn and self._opened and (cut := Path(self._opened)).is_file():
                os.truncate(cut, cut.stat().st_size // 2)
            os._exit(STATUS)
        self.count += 1
        self.names.append(event)
        self._opened = opened


def forked(step: Callable[[], list[str]]) -> tuple[int, list[str]]:
    """Runs a step in a fork of this process; its exit status and what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            said = step()
        except BaseException as error:
            os.write(writing, json.dumps([f"{type(error).__name__}: {error}"]).encode())
            os._exit(1)
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), json.loads(said) if said else []


class Points:
    """The points of one operation.

    Args:
        operation: What is killed.
        folder: Empty or absent; where it works.
    """

    def __init__(self, operation: "Operation", folder: Path) -> None:
        self._operation, self._base = operation, folder
        self._old, self._new = folder / "old", folder / "new"
        status, said = forked(lambda: operation.prepare(self._old) or [])
        if status or said:
            raise RuntimeError(f"it could not be prepared: {status} {said}")
        status, self._events = self._run(None, False)
        if status or len(self._events) < 2:
            raise RuntimeError(f"it does not run through: {status} {self._events}")
        shutil.copytree(self._target, self._new)

    def tried(self, every: int) -> Iterator[dict[str, Any]]:
        """Kills at one of `every` points; yields what was wrong after each of them."""
        for point in range(0, len(self._events) + 1, every):
            for torn in (False, True) if point and self._events[point - 1] == "open" else (False,):
                status, said = self._run(point, torn)
                wrong = [] if status in (0, STATUS) else [f"ended otherwise: {status} {said}"]
                _, found = forked(lambda: self._operation.judge(self._target, self._old, self._new))
                place = f"{point} of {len(self._events)}" + " (file cut)" * torn
                yield {"point": place, "done": status == 0, "wrong": wrong + found}
        shutil.rmtree(self._base)

    @property
    def _target(self) -> Path:
        return self._base / "place"

    def _run(self, point: int | None, torn: bool) -> tuple[int, list[str]]:
        """Runs the operation on a fresh copy up to a point; exit status and the names of what it did."""
        shutil.rmtree(self._target, ignore_errors=True)
        shutil.copytree(self._old, self._target)

        def act() -> list[str]:
            step, fuse = self._operation.ready(self._target), Fuse(self._target, point, torn)
            fuse.light()
            step()
            return fuse.names

        return forked(act)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Kills operations at their points; called by `torture`.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("every", type=int)
    options = parser.parse_args()
    from benchmarks.torture_operations import OPERATIONS

    for name, operation in OPERATIONS.items():
        for told in Points(operation, options.folder / "points" / name).tried(options.every):
            told["point"] = f"{name}, point {told['point']}"
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
