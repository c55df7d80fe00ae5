"""Ray clusters of several computers on this one, for tests and measurements."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SEARCH = os.pathsep.join(str(ROOT / part) for part in ("apps/osln", "tests", "."))
HEAD = "127.0.0.2"
"""Each computer has an address of its own in 127/8; with any but 127.0.0.1 Ray listens outside, too."""
TRIES = 3
STORE_BYTES = 80 * 2**20
"""Hardly more than the least that Ray takes."""


class Raylets:
    """Each computer is a process group of `ray start --block`, which can be killed without grace.

    All ask for a token, which is that of this process, too, from then on: Ray reads it once.

    Attributes:
        address: Of the head.
    """

    def __init__(self, folder: Path) -> None:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        with socket.socket() as free:
            free.bind((HEAD, 0))
            port = free.getsockname()[1]
        self.address = f"{HEAD}:{port}"
        self._folder = folder
        self._started: list[subprocess.Popen] = []
        self._start("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false")

    def add(self) -> subprocess.Popen:
        """One raylet more; comes back when it is there."""
        return self._start(f"--address={self.address}", "--num-cpus=1")

    def kill(self, raylet: subprocess.Popen) -> None:
        """As a computer that loses its power."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(raylet.pid, signal.SIGKILL)
        raylet.wait()

    def end(self) -> None:
        for one in reversed(self._started):
            self.kill(one)

    def _start(self, *options: str) -> subprocess.Popen:
        for _ in range(TRIES):
            started = self._process(*options)
            while started.poll() is None:
                if "Ray runtime started" in (self._folder / "ray.log").read_text():
                    return started
                time.sleep(0.1)
            # Ray gives up after 30 s, which a busy computer may need.
            self.kill(started)
        raise RuntimeError((self._folder / "ray.log").read_text())

    def _process(self, *options: str) -> subprocess.Popen:
        own = f"127.0.0.{2 + len(self._started)}"
        common = (f"--node-ip-address={own}", "--num-gpus=0", f"--object-store-memory={STORE_BYTES}")
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *options, *common, "--block"]
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
        # A lost computer is noticed in seconds.
        quick = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "5"}
        with (self._folder / "ray.log").open("wb") as log:
            started = subprocess.Popen(
                command,
                env={**os.environ, **quiet, **quick, "PYTHONPATH": SEARCH},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(started)
        return started
