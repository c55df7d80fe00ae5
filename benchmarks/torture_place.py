"""The folder that a part of the torture runs in: stores, temporary files, canaries and the server on them."""

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests

from benchmarks.torture_tally import Tally
from local_server import LocalServer

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample-datastore"
MODELS = ROOT / "apps" / "osln" / "model"
CASES = ("phantom-01", "phantom-02", "phantom-03", "phantom-04")
CANARY = "osln-torture-canary-7d1f"
"""In a file beside the store; no answer may ever show it."""
MARK = "OSLN_TORTURE"
ORPHAN_SECONDS = 20.0
"""Time that the children of a dead server have to notice it."""
INFO_PAUSE = 0.25


def together(steps: Iterable[Callable[[], None]]) -> Callable[[], None]:
    """Starts steps in threads; the function that is returned waits for them and raises the first error."""
    pool = ThreadPoolExecutor(64)
    running = [pool.submit(step) for step in steps]

    def wait() -> None:
        pool.shutdown(wait=True)
        for one in running:
            one.result()

    return wait


class Place:
    """A folder with a copy of the sample cases, a model store, and room for everything a server writes.

    Args:
        folder: Empty or absent; made.
        tally: Where leaks, outside files, orphans and the latency are counted.

    Attributes:
        studies: The store.
        models: The model store; weights that come with the software, by links.
        temporary: The server's temporary folder.
        secret: A file beside the store that holds `CANARY`.
    """

    def __init__(self, folder: Path, tally: Tally) -> None:
        self.folder, self.tally = folder, tally
        self.studies, self.models = folder / "studies", folder / "models"
        self.temporary, self.secret = folder / "tmp", folder / "secret.txt"
        self._mark = uuid.uuid4().hex
        self._asking = threading.Event()
        for made in (self.temporary, folder / "home", self.models):
            made.mkdir(parents=True)
        ignored = shutil.ignore_patterns(".cache", "datastore_v2.json*", "*.lock", "truth")
        shutil.copytree(SAMPLES, self.studies, ignore=ignored)
        shutil.copytree(MODELS / "shipped", self.models / "shipped")
        self.secret.write_text(CANARY)
        self._before = self._around()

    def server(self, studies: Path | str | None = None, conf: dict[str, str] | None = None) -> LocalServer:
        """A server on this place, not yet started; one thread, so that runs are alike."""
        variables = {
            MARK: self._mark,
            "TMPDIR": str(self.temporary),
            "HOME": str(self.folder / "home"),
            "OMP_NUM_THREADS": "1",
            "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(self.folder / "mirror"),
        }
        chosen = {"models": str(self.models), "device": "cpu", "threads": "1", **(conf or {})}
        log = self.folder / "server.log"
        return LocalServer(studies or self.studies, log, chosen, variables=variables)

    @contextmanager
    def asked(self, server: LocalServer) -> Iterator[None]:
        """Inside, `/info/` is asked again and again; its answers are timed."""
        ended = threading.Event()
        asker = threading.Thread(target=self._ask, args=(server.url, ended))
        asker.start()
        try:
            yield
        finally:
            ended.set()
            asker.join()

    def _ask(self, url: str, ended: threading.Event) -> None:
        while not ended.wait(INFO_PAUSE):
            begun = time.perf_counter()
            try:
                reply = requests.get(f"{url}/info/", timeout=30)
            except requests.Timeout:
                self.tally.found("hangs", "GET /info/ was not answered for 30 s")
            except requests.RequestException:
                continue  # killed meanwhile; who kills looks whether it comes up again
            else:
                self.tally.info_ms.append((time.perf_counter() - begun) * 1e3)
                if reply.status_code >= 500:
                    self.tally.found("errors", f"GET /info/ answered {reply.status_code}: {reply.text[:200]}")

    def own_processes(self) -> list[psutil.Process]:
        """Processes that carry this place's mark: servers and all that they started."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def close(self) -> None:
        """Counts what is left after the last server has ended: processes, temporary files, files outside."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while (left := self.own_processes()) and time.monotonic() < deadline:
            time.sleep(0.5)
        for process in left:
            try:
                command = " ".join(process.cmdline())[:200]
                process.kill()
            except psutil.NoSuchProcess:
                continue
            self.tally.found("orphans", f"{command} outlived its server by {ORPHAN_SECONDS:.0f} s")
        files = sorted(path for path in self.temporary.rglob("*") if path.is_file())
        if files:
            names = ", ".join(str(path.relative_to(self.temporary)) for path in files[:5])
            self.tally.found("leaks", f"{len(files)} files in the temporary folder: {names}", len(files))
        # Libraries keep caches and settings in the home folder; no request writes there.
        home = [path for path in (self.folder / "home").rglob("*") if path.is_file()]
        self.tally.measured["files in the home folder"] = len(home)
        after = self._around()
        for name in sorted({name for name, _ in set(after.items()) ^ set(self._before.items())}):
            self.tally.found("outside", f"{name} was written, changed or removed")
        self._before = after

    def _around(self) -> dict[str, bytes]:
        """What lies beside the store, where no request has any business."""
        ours = {"studies", "models", "tmp", "mirror", "server.log", "pacs", "dicom", "full", "home"}
        around = {}
        for top in self.folder.iterdir():
            if top.name in ours:
                continue
            for path in [top, *top.rglob("*")]:
                if path.is_file():
                    around[str(path.relative_to(self.folder))] = path.read_bytes()
        return around
