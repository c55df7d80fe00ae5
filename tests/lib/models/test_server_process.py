"""A process that was started by the server ends with it, however early the server dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[3] / "apps" / "osln"
CHILD = (
    "import time; time.sleep({pause}); from lib.models.server_process import end_with_server; "
    "end_with_server(); print({told}, flush=True); time.sleep(60)"
)
SERVER = (
    "import subprocess, sys, time; from lib.temporary import move_in; print(move_in(), flush=True); "
    "child = subprocess.Popen({command}, stdout=subprocess.PIPE, text=True); print(child.pid, flush=True); "
    "print(child.stdout.readline(), flush=True); time.sleep(60)"
)
DIRECT = "[sys.executable, '-c', sys.argv[1]]"
THROUGH_A_SHELL = "['/bin/sh', '-c', '\"$0\" -c \"$1\"; true', sys.executable, sys.argv[1]]"

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes as Linux shows them")


def runs(pid: int) -> bool:
    """Whether a process is there and not merely unburied."""
    state = Path(f"/proc/{pid}/stat")
    return state.is_file() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not runs(pid)


def started(
    folder: Path, pause: float = 0, command: str = DIRECT, told: str = "'at work'"
) -> tuple[subprocess.Popen, int]:
    """A server with its own folder in `folder`, and the number of the process that it has started."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER.format(command=command), CHILD.format(pause=pause, told=told)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(APP), "TMPDIR": str(folder)},
    )
    server.stdout.readline()
    return server, int(server.stdout.readline())


def killed(server: subprocess.Popen, child: int) -> None:
    server.kill()
    server.wait()
    server.stdout.close()
    if runs(child):
        os.kill(child, signal.SIGKILL)


def test_a_training_ends_when_its_server_is_killed(tmp_path):
    server, child = started(tmp_path)
    try:
        assert server.stdout.readline() == "at work\n"
        assert runs(child)
        server.kill()
        server.wait()
        assert ends(child)
    finally:
        killed(server, child)


def test_a_training_whose_server_dies_while_it_still_imports_never_begins(tmp_path):
    server, child = started(tmp_path, pause=1.0)
    try:
        server.kill()
        server.wait()
        assert runs(child)
        assert ends(child)
    finally:
        killed(server, child)


def test_a_training_behind_a_launcher_ends_with_the_server_too(tmp_path):
    server, launcher = started(tmp_path, command=THROUGH_A_SHELL, told="__import__('os').getpid()")
    child = int(server.stdout.readline())
    try:
        assert child != launcher
        server.kill()
        server.wait()
        assert ends(child)
    finally:
        killed(server, child)
        assert ends(launcher)


def test_the_server_itself_and_a_process_without_one_go_on(tmp_path):
    told = "from lib.models.server_process import end_with_server; end_with_server(); print('on', flush=True)"
    own = "from lib.temporary import move_in; move_in(); "
    for text in (told, own + told):
        run = subprocess.run(
            [sys.executable, "-c", text],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(APP), "TMPDIR": str(tmp_path)},
        )
        assert run.stdout == "on\n", run.stderr
    assert list(tmp_path.iterdir()) == []
