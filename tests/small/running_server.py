"""The real server as a process of its own, for tests that talk to it as viewers do."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests
from monailabel.client import MONAILabelClient

APP = Path(__file__).resolve().parents[2] / "apps" / "osln"
START_SECONDS = 600


class RunningServer:
    """A server on 127.0.0.1 at a free port; started at once, ended by `stop`.

    Args:
        studies: Store of the cases.
        models: Model store.
        log: File for what the server says.
        evidence: Whether it looks at waiting cases by itself.
        plain: Whether MONAI Label's own command starts it, not that of `./scripts/serve`.
        row: The one that answers where nobody has chosen one; None for the product's.
        users: File of accounts; None: it has none.
    """

    def __init__(
        self,
        studies: Path,
        models: Path,
        log: Path,
        *,
        evidence: bool = False,
        plain: bool = False,
        row: str | None = None,
        users: Path | None = None,
    ) -> None:
        self.studies = studies
        self.models = models
        self.log = log
        self.evidence = evidence
        self.plain = plain
        self.row = row
        self.users = users
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None
        self.start()

    def client(self, folder: Path) -> MONAILabelClient:
        """The client that 3D Slicer's extension is built on; it keeps downloads in the folder."""
        return MONAILabelClient(self.url, str(folder), client_id="annotator")

    def start(self) -> None:
        """Starts the process and waits until it answers."""
        program = ["-m", "monailabel.main"] if self.plain else [str(APP / "start.py")]
        command = [sys.executable, *program, "start_server", "--app", str(APP)]
        command += ["--studies", str(self.studies), "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--conf", "models", str(self.models), "--conf", "device", "cpu", "--conf", "threads", "1"]
        # Predictions that come by themselves would be in the way of what a test looks at.
        command += ["--conf", "evidence", "yes" if self.evidence else "no"]
        command += ["--conf", "row", self.row] if self.row else []
        command += ["--conf", "users", str(self.users)] if self.users else []
        own = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=own)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                # With accounts it asks for a login.
                if requests.get(f"{self.url}/info/", timeout=30).status_code in (200, 401):
                    return
            except requests.ConnectionError:
                time.sleep(0.5)
        said = self.log.read_text()[-3000:]
        self.stop()
        raise RuntimeError(f"the server did not come up; it said:\n{said}")

    def logged_in(self, name: str, password: str) -> dict[str, str]:
        """Headers of a request of an account; a restart of the server forgets them."""
        form = {"username": name, "password": password}
        reply = requests.post(f"{self.url}/auth/token", data=form, timeout=60)
        return {"Authorization": f"Bearer {reply.json()['access_token']}"}

    def stop(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def refusal(self, method: str, path: str, **request: Any) -> tuple[int, str]:
        """Status and detail of a request that should be refused."""
        reply = requests.request(method, self.url + path, timeout=120, **request)
        try:
            return reply.status_code, str(reply.json().get("detail"))
        except ValueError:
            return reply.status_code, reply.text

    def wait_for(self, kind: str, seconds: float = 1800) -> dict[str, Any]:
        """The last task of a kind ("train/", "batch/infer") once it has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            task = requests.get(f"{self.url}/{kind}", timeout=60).json()
            if task["status"] not in ("SUBMITTED", "RUNNING"):
                return task
            time.sleep(0.5)
        raise TimeoutError(f"{kind} is still running: {task}")
