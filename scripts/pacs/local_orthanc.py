"""A real PACS for tests and for a first look: Debian's Orthanc with DICOMweb, on 127.0.0.1 only."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import requests

logger = logging.getLogger(__name__)

PLUGINS = (Path("/usr/share/orthanc/plugins"), Path("/usr/lib/orthanc"))
CELL = Path(__file__).with_name("orthanc_cell.py")
PORT_IN_CELL = 8042
START_SECONDS = 60


def plugin() -> Path | None:
    """The DICOMweb plugin, None if it is not installed."""
    found = [path for folder in PLUGINS for path in sorted(folder.glob("libOrthancDicomWeb.so*"))]
    return found[0] if found else None


def installed() -> bool:
    """Whether Orthanc and its DICOMweb plugin are on this computer (`apt-get install orthanc
    orthanc-dicomweb` on Debian and Ubuntu)."""
    return shutil.which("Orthanc") is not None and plugin() is not None


class LocalOrthanc:
    """An Orthanc of its own; starts and ends with a `with` block, or by `start` and `stop`.

    Orthanc 1.10 listens on every address of the computer. So it runs in a network namespace of its own where
    that is allowed (as root, or where users may make namespaces), joined to one port of 127.0.0.1; elsewhere
    it runs plainly, refuses other computers, and the log says so.

    Args:
        folder: Storage, configuration and log (`orthanc.log`); what is stored survives a restart.
        user: With `password`: asked for in every request.
        password: See `user`.
        port: On 127.0.0.1; 0 takes a free one, which stays the same in a restart.

    Attributes:
        url: Of the DICOMweb service, without user and password.
    """

    def __init__(self, folder: str | Path, user: str = "", password: str = "", port: int = 0) -> None:
        self.folder = Path(folder)
        self.port = port or _free_port()
        self.root = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.root}/dicom-web"
        self.auth = (user, password) if user else None
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> LocalOrthanc:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts Orthanc on its storage and waits until it answers.

        Raises:
            RuntimeError: If it is not installed or does not come up; with what it said.
        """
        if not installed():
            raise RuntimeError("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "orthanc.json"
        cell = _cell()
        inner = PORT_IN_CELL if cell else self.port
        configuration.write_text(json.dumps(self._configuration(inner), indent=1))
        listening = socket.socket()
        if cell:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", self.port))
            listening.listen(64)
            command = [*cell, sys.executable, str(CELL), str(listening.fileno()), str(inner)]
        else:
            logger.warning("Orthanc runs without a network namespace: its port is open, others are refused")
            command = ["Orthanc"]
        with listening, (self.folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(configuration)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=[listening.fileno()],
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if requests.get(f"{self.url}/studies", auth=self.auth, timeout=5).ok:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.05)
        self.kill()
        said = (self.folder / "orthanc.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"Orthanc did not come up; it said:\n{said}")

    def stop(self) -> None:
        """Ends it properly."""
        if self._process is not None:
            if self._process.args[0] == "Orthanc":
                self._process.terminate()
            self._process.stdin.close()
            self._ended()

    def kill(self) -> None:
        """Ends it at once, in the middle of whatever it does; connections are refused from then on."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._ended()

    def pause(self) -> None:
        """Takes connections but answers nothing, until `resume`."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Answers again."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def store(self, file: str | Path) -> None:
        """Puts a DICOM file into the archive by Orthanc's own way.

        Raises:
            requests.HTTPError: If Orthanc does not take it.
        """
        data = Path(file).read_bytes()
        requests.post(f"{self.root}/instances", data=data, auth=self.auth, timeout=60).raise_for_status()

    def _ended(self) -> None:
        # The output ends when the last process that holds it has ended, Orthanc itself included.
        self._process.stdout.read()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process = None

    def _configuration(self, port: int) -> dict[str, object]:
        return {
            "Name": "OSLN Label test archive",
            "StorageDirectory": str(self.folder.resolve() / "storage"),
            "IndexDirectory": str(self.folder.resolve() / "storage"),
            "Plugins": [str(plugin())],
            "HttpPort": port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": self.auth is not None,
            "RegisteredUsers": {self.auth[0]: self.auth[1]} if self.auth else {},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }


def _cell() -> list[str]:
    """The command that runs another one in a network namespace; [] where that is not allowed."""
    for options in (["--net"], ["--user", "--map-root-user", "--net"]):
        command = ["unshare", *options]
        try:
            if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
                return command
        except OSError:
            return []
    return []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
