"""The real server as a process of its own, for measurements and checks that talk to it as viewers do."""

import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

import requests

from start_server import parse, server_command, server_environment

START_SECONDS = 300


class LocalServer:
    """A server on 127.0.0.1; runs inside a `with` block.

    Args:
        studies: Store of the cases: a folder or the address of a DICOMweb service.
        log: File for what the server says.
        conf: Options of the app; unless they say otherwise, it looks at no case by itself.
        app: App folder; this repository's by default.
        port: On 127.0.0.1; 0 takes a free one.
        variables: Of the environment, on top of those that are set and those that a start sets.

    Attributes:
        url: Where it answers.
        start_seconds: From the start of the process to the first answer of `/info/`.
    """

    def __init__(
        self,
        studies: Path | str,
        log: Path,
        conf: dict[str, str] | None = None,
        app: Path | None = None,
        port: int = 0,
        variables: dict[str, str] | None = None,
    ) -> None:
        if port == 0:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.start_seconds = 0.0
        self._studies, self._log, self._variables = studies, log, variables or {}
        self._arguments = ["--studies", str(studies), "--port", str(port)]
        chosen = dict(conf or {})
        if app is None:
            # What works in the background would be in every measurement.
            chosen = {"evidence": "no", **chosen}
        else:
            self._arguments += ["--app", str(app)]
        for key, value in chosen.items():
            self._arguments += ["--conf", key, value]
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "LocalServer":
        options, others = parse(self._arguments)
        own = {**os.environ, **server_environment(str(self._studies)), **self._variables}
        begun = time.monotonic()
        with self._log.open("a") as log:
            command = server_command(options, others)
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=own)
        try:
            while time.monotonic() < begun + START_SECONDS and self.runs:
                try:
                    if requests.get(f"{self.url}/info/", timeout=30).ok:
                        self.start_seconds = time.monotonic() - begun
                        return self
                except requests.RequestException:
                    time.sleep(0.1)
            raise RuntimeError(f"the server did not come up; it said:\n{self._log.read_text()[-3000:]}")
        except BaseException:
            self._stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Number of the process, while it is there."""
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process.pid

    def kill(self) -> None:
        """Ends it at once, in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
