"""A server's temporary files lie in a folder of its own, and a dead server's rests are swept."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from lib.temporary import FRESH_SECONDS, LOCK, PREFIX, log_settings, sweep

APP = Path(__file__).resolve().parents[2] / "apps" / "osln"
LEAVES = (
    "import os, tempfile; from lib.temporary import move_in; folder = move_in(); assert move_in() == folder; "
    "handle, name = tempfile.mkstemp(); print(folder, name, oct(folder.stat().st_mode)[-3:], flush=True); "
    "{end}"
)


def left_by(folder: Path, end: str) -> tuple[Path, Path, str]:
    """Folder, file and rights of a server that made a temporary file and ended in a way."""
    run = subprocess.run(
        [sys.executable, "-c", LEAVES.format(end=end)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(APP), "TMPDIR": str(folder)},
    )
    room, file, rights = run.stdout.split()
    return Path(room), Path(file), rights


def test_a_server_that_ends_leaves_nothing_and_nobody_else_can_read_its_files(tmp_path):
    room, file, rights = left_by(tmp_path, "pass")
    assert file.parent == room and room.parent == tmp_path
    assert rights == "700"
    assert not room.exists()


def test_what_a_killed_server_left_is_swept_by_the_next_one(tmp_path):
    room, file, _ = left_by(tmp_path, "os.kill(os.getpid(), 9)")
    assert file.exists()
    left_by(tmp_path, "pass")
    assert not room.exists()


def test_the_sweep_spares_living_servers_young_folders_and_what_is_not_a_servers(tmp_path):
    names = ("living", "young", "old", "from-the-future")
    living, young, old, future = (tmp_path / f"{PREFIX}{name}" for name in names)
    for folder in (living, young, old, future, tmp_path / "other"):
        folder.mkdir()
    os.utime(old, (0, time.time() - 2 * FRESH_SECONDS))
    os.utime(future, (0, time.time() + 86400))
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "other")
    with FileLock(living / LOCK):
        assert sweep(tmp_path) == [f"{PREFIX}from-the-future", f"{PREFIX}old"]
    assert {path.name for path in tmp_path.iterdir()} == {living.name, young.name, f"{PREFIX}link", "other"}


@pytest.mark.skipif(getattr(os, "getuid", lambda: 1)() != 0, reason="gives a folder to another user")
def test_the_sweep_leaves_the_folders_of_others(tmp_path):
    folder = tmp_path / f"{PREFIX}theirs"
    folder.mkdir()
    os.utime(folder, (0, 0))
    os.chown(folder, 12345, 12345)
    assert sweep(tmp_path) == []


def test_log_settings_that_somebody_named_are_not_the_servers_to_remove():
    assert log_settings("/tmp/tmpab.json", ["monailabel", "start_server"]) == Path("/tmp/tmpab.json")
    assert log_settings("/tmp/own.json", ["monailabel", "--log_config=/tmp/own.json"]) is None
    assert log_settings({"version": 1}, ["monailabel"]) is None
