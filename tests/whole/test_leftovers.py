"""Server and command leave nothing in the temporary folder and the home, and ask no other computer."""

import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest
import requests

from local_server import LocalServer
from small.asked import IN_CI, elsewhere, telemetry, watched
from small.running_server import APP, RunningServer

CASE = "phantom-02"


@pytest.fixture
def store(tmp_path, repository):
    """A store with one of the sample cases."""
    for folder in (".", "pet", "labels/gtv"):
        (tmp_path / "store" / folder).mkdir(parents=True, exist_ok=True)
        name = f"{folder}/{CASE}.nii.gz"
        shutil.copy(repository / "sample-datastore" / name, tmp_path / "store" / name)
    return tmp_path / "store"


@pytest.fixture
def variables(tmp_path, monkeypatch):
    """The watched environment, in which nothing says that tests are run."""
    for name in IN_CI:
        monkeypatch.delenv(name, raising=False)
    return watched(tmp_path, str(APP))


def temporary(tmp_path):
    # torch names a folder after the user and leaves it empty.
    return sorted(
        path.name for path in (tmp_path / "tmp").iterdir() if not path.name.startswith("torchinductor")
    )


@pytest.mark.slow
def test_detect_asks_no_other_computer_and_keeps_no_number_of_this_one(tmp_path, store, variables):
    command = [
        sys.executable,
        "-m",
        "osln",
        "detect",
        str(store),
        "-o",
        str(tmp_path / "out"),
        "--device",
        "cpu",
    ]
    run = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out" / f"{CASE}.nii.gz").exists()
    assert not elsewhere(tmp_path) and telemetry(tmp_path) == []


@pytest.mark.server
def test_a_server_leaves_nothing_and_the_next_one_sweeps_what_a_killed_one_left(tmp_path, store, variables):
    local = LocalServer(store, tmp_path / "log", {"device": "cpu", "body_timeout": "2"}, variables=variables)
    with local as server:
        check_second_server(tmp_path, store, variables)
        assert requests.post(f"{server.url}/infer/osln?image={CASE}&output=json", timeout=300).ok
        check_unfinished_body(server.url)
        (killed,) = temporary(tmp_path)
        # MONAI Label's log settings lie in it, beside the lock.
        assert any(path.suffix == ".json" for path in (tmp_path / "tmp" / killed).iterdir())
        server.kill()
    assert temporary(tmp_path) == [killed]
    with local as server:
        (second,) = temporary(tmp_path)
        assert second != killed
    assert temporary(tmp_path) == []
    assert not elsewhere(tmp_path) and telemetry(tmp_path) == []


@pytest.mark.server
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_plain_start_server_leaves_nothing_either(tmp_path, monkeypatch, variables, number):
    (tmp_path / "empty").mkdir()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    server = RunningServer(tmp_path / "empty", tmp_path / "models", tmp_path / "log", plain=True)
    try:
        assert temporary(tmp_path) != []
        server.process.send_signal(number)
        server.process.wait(60)
        assert temporary(tmp_path) == []
    finally:
        server.stop()
    assert not elsewhere(tmp_path)


def check_second_server(tmp_path, store, variables):
    """A second one on the same store ends with a sentence that names the first."""
    second = LocalServer(store, tmp_path / "second.log", {"device": "cpu"}, variables=variables)
    with pytest.raises(RuntimeError, match="did not come up"), second:
        pass
    told = (tmp_path / "second.log").read_text()
    assert "The server does not start: another server works on" in told
    assert "Traceback" not in told


def check_unfinished_body(url):
    """A chunked body without end is a 408, after which the connection is closed."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 60) as connection:
        head = f"PUT /datastore/ HTTP/1.1\r\nHost: {host}:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + b'3\r\n{"a\r\n')
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 408 ") and b"nothing more of the body" in answer
