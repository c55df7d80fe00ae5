"""Two servers cannot work on one store, and a dead one holds nothing."""

import json
import subprocess
import sys

import pytest

from osln.store import tenancy
from osln.store.tenancy import move_into

HOLDS = """
import sys
from pathlib import Path
from osln.store.tenancy import move_into
move_into(Path(sys.argv[1]))
print("in", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch):
    held = {}
    monkeypatch.setattr(tenancy, "_held", held)
    yield
    for lock in held.values():
        lock.release()


def test_a_process_has_its_store_as_often_as_it_asks_and_another_store_beside(tmp_path):
    for _ in range(2):
        move_into(tmp_path / "one")
    move_into(tmp_path / "other")
    assert json.loads((tmp_path / "one" / ".osln" / ".server.json").read_text())["process"] > 0


def test_a_reload_of_the_app_keeps_the_store(tmp_path):
    move_into(tmp_path)
    # MONAI Label forgets the modules of the app and imports them anew: the locks must not be among them.
    assert tenancy.__name__.split(".")[0] not in ("lib", "main")
    sys.modules["osln.store.tenancy"].move_into(tmp_path)


def test_another_server_is_named_until_it_has_died(tmp_path):
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(ValueError, match=f"another server works on .*process {other.pid} on "):
            move_into(tmp_path)
        other.kill()
    move_into(tmp_path)


def test_a_store_that_cannot_be_locked_is_served_with_a_warning(tmp_path, caplog):
    (tmp_path / ".osln").write_text("in the way")
    move_into(tmp_path)
    assert "cannot be locked" in caplog.text
