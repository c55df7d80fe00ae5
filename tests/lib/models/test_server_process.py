"""A process that was started by the server ends with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[3] / "apps" / "osln"
CHILD = (
    "from lib.models.server_process import end_with_parent; import time; end_with_parent(); time.sleep(60)"
)
PARENT = (
    "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', sys.argv[1]]); "
    "print(child.pid, flush=True); time.sleep(60)"
)


def runs(pid: int) -> bool:
    """Whether a process is there and not merely unburied."""
    state = Path(f"/proc/{pid}/stat")
    return state.is_file() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes as Linux shows them")
def test_a_process_ends_soon_after_its_parent_was_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(APP)},
    )
    child = int(parent.stdout.readline())
    try:
        time.sleep(1.5)
        assert runs(child)
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 20
        while runs(child) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not runs(child)
    finally:
        parent.kill()
        parent.stdout.close()
        if runs(child):
            os.kill(child, signal.SIGKILL)
