"""How much room the images of a mirror take: the least recently used ones give way, labels never do.

An image is not taken away while somebody fetches it, for some minutes after it was asked for (a viewer or a
network is still to read it), and while a training holds it.
"""

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from osln.dicom.web.client import PacsError

RECENT_S = 300.0
PATIENCE_S = 1800.0
"""For another process that fetches the same case."""


class Room:
    """Use and size of the images in a mirror, for all its processes.

    Args:
        root: Folder of the mirror.
        limit_gb: Size that is kept to, 10^9 bytes.
    """

    def __init__(self, root: Path, limit_gb: float) -> None:
        self.root = root
        self.limit = int(limit_gb * 1e9)
        self._folder = root / ".osln" / "pacs"

    @contextmanager
    def using(self, case: str) -> Iterator[None]:
        """Inside, nobody else fetches the case or takes its images away; they stay for some minutes after.

        Raises:
            PacsError: If somebody else needs half an hour for the case.
        """
        try:
            with FileLock(self._lock(case), timeout=PATIENCE_S):
                yield
                stamp = self._stamp(case)
                stamp.parent.mkdir(parents=True, exist_ok=True)
                stamp.touch()
        except Timeout as error:
            raise PacsError(f"another process has been fetching case {case} for long; try later") from error

    @contextmanager
    def holding(self, cases: Iterable[str]) -> Iterator[None]:
        """Inside, the images of these cases stay, also if they take more than the limit."""
        folder = self._folder / "held"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.json"
        file.write_text(json.dumps(sorted(cases)))
        # The lock ends with the process, however it ends.
        with FileLock(file.with_suffix(".lock")):
            try:
                yield
            finally:
                file.unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes of all images."""
        return sum(_size(path) for path in self._images("*"))

    def make(self) -> list[str]:
        """Takes away the images of the least recently used cases until the rest keeps to the limit.

        Returns:
            The cases that have none any more.
        """
        too_much = self.size() - self.limit
        if too_much <= 0:
            return []
        cases = {path.name.removesuffix(".nii.gz") for path in self.root.glob("*.nii.gz")}
        gone, held = [], self._held()
        for case in sorted(cases - held, key=self._used):
            if too_much <= 0 or time.time() - self._used(case) < RECENT_S:
                break
            try:
                with FileLock(self._lock(case), timeout=0):
                    if time.time() - self._used(case) < RECENT_S:
                        continue
                    for path in self._images(case):
                        too_much -= _size(path)
                        path.unlink(missing_ok=True)
            except Timeout:
                continue
            gone.append(case)
        return gone

    def _images(self, case: str) -> list[Path]:
        # The CT comes first: without it nobody takes the rest for a case.
        return [path for folder in (self.root, self.root / "pet") for path in folder.glob(f"{case}.nii.gz")]

    def _used(self, case: str) -> float:
        for path in (self._stamp(case), self.root / f"{case}.nii.gz"):
            try:
                return path.stat().st_mtime
            except FileNotFoundError:
                continue
        return 0.0

    def _held(self) -> set[str]:
        held: set[str] = set()
        for file in (self._folder / "held").glob("*.json"):
            lock = file.with_suffix(".lock")
            try:
                with FileLock(lock, timeout=0):
                    # Whoever held it was killed.
                    file.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
            except Timeout:
                held.update(json.loads(file.read_text()))
        return held

    def _stamp(self, case: str) -> Path:
        return self._folder / "used" / case

    def _lock(self, case: str) -> Path:
        path = self._folder / "locks" / f"{case}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
