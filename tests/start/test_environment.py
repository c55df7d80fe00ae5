"""The environment is made when needed, mended when interrupted, and otherwise left alone."""

import json
import shutil
import sys
import time
from pathlib import Path

import pytest

import environment
import installer


@pytest.fixture
def finished(tmp_path) -> Path:
    """A root whose environment is complete: the running interpreter and a stamp that matches."""
    (tmp_path / "requirements.txt").write_text("tqdm\n")
    python = environment.environment_python(tmp_path)
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    stamp = environment.fingerprint(tmp_path, sys.version_info[:2])
    (tmp_path / ".venv" / environment.STAMP).write_text(json.dumps(stamp))
    return tmp_path


@pytest.fixture
def much_space(monkeypatch) -> None:
    """A disk with room for everything, however full this computer's is."""
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**50, 0, 2**50))


def test_an_environment_with_another_python_is_refused(tmp_path):
    python = environment.environment_python(tmp_path)
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 3 14\n")
    python.chmod(0o755)

    with pytest.raises(installer.InstallError, match=r"has Python 3\.14.*delete that folder"):
        environment.create(tmp_path, None)


def test_a_complete_environment_is_left_alone(finished, monkeypatch):
    monkeypatch.setattr(environment, "install", lambda *_: pytest.fail("installed again"))
    monkeypatch.setattr(environment, "create", lambda *_: pytest.fail("made again"))

    assert environment.ensure(finished) == environment.environment_python(finished)


def test_another_checkout_s_environment_is_not_installed_into(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "install", lambda *_: pytest.fail("installed into it"))
    own = tmp_path / "clone"
    own.mkdir()
    (own / "requirements.txt").write_text("other\n")
    (own / ".venv").symlink_to(finished / ".venv")
    with pytest.raises(installer.InstallError, match=r"is a link to the environment of .*Remove the link"):
        environment.ensure(own)


def test_changed_requirements_make_an_environment_incomplete(finished):
    assert environment.is_complete(finished)

    (finished / "requirements.txt").write_text("tqdm>=4\n")

    assert not environment.is_complete(finished)


def test_an_environment_without_stamp_is_incomplete(finished):
    (finished / ".venv" / environment.STAMP).unlink()

    assert not environment.is_complete(finished)


def test_an_environment_whose_interpreter_is_gone_is_incomplete(finished):
    environment.environment_python(finished).unlink()

    assert not environment.is_complete(finished)


def test_a_failed_installation_leaves_no_stamp(finished, monkeypatch, much_space):
    (finished / ".venv" / environment.STAMP).unlink()
    monkeypatch.setattr(environment, "create", lambda *_: None)

    def fail(*_):
        raise installer.InstallError("no network")

    monkeypatch.setattr(environment, "install", fail)
    with pytest.raises(installer.InstallError, match="no network"):
        environment.ensure(finished)

    assert not environment.is_complete(finished)


def test_too_little_disk_space_is_said_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 2**30))

    with pytest.raises(installer.InstallError, match=r"1\.0 GiB are free"):
        environment.check_space(tmp_path)


@pytest.mark.slow
def test_a_real_environment_is_made_once_and_recovers_after_an_interruption(
    tmp_path, monkeypatch, much_space
):
    checkout = tmp_path / "a folder with blanks"
    checkout.mkdir()
    (checkout / "requirements.txt").write_text("# nothing is needed\n")
    monkeypatch.setattr(environment, "check_operators", lambda _: None)
    monkeypatch.setattr(environment.shutil, "which", lambda _: None)
    python = environment.ensure(checkout)
    assert environment.python_version(python) == sys.version_info[:2]

    started = time.time()
    environment.ensure(checkout)
    stamp = checkout / ".venv" / environment.STAMP
    assert stamp.stat().st_mtime < started

    stamp.unlink()
    shutil.rmtree(installer.site_packages(python) / "pip")
    environment.ensure(checkout)
    assert environment.has_pip(python)
    assert environment.is_complete(checkout)
