"""The start and test commands, run as a person runs them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_script(script: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Run one of the scripts; variables are added to a bare environment."""
    bare = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    command = [str(script), *arguments]
    return subprocess.run(
        command, env=bare | variables, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the scripts in a folder with blanks in its name, with a store and no environment."""
    root = tmp_path / "a folder with blanks"
    shutil.copytree(ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "sample-datastore").mkdir()
    (root / "requirements.txt").write_text("# nothing is needed\n")
    return root


def test_dry_run_shows_the_command_and_the_variables_and_installs_nothing(checkout):
    arguments = ("--dry-run", "--port", "8123", "--conf", "models", "osln ct", "--limit_concurrency", "4")
    result = run_script(checkout / "scripts" / "serve", *arguments, OSLN_PYTHON=sys.executable)

    assert result.returncode == 0, result.stderr
    assert f"'{checkout}/apps/osln/start.py' start_server" in result.stdout
    assert f"--app '{checkout}/apps/osln' --studies '{checkout}/sample-datastore'" in result.stdout
    assert "--host 127.0.0.1 --port 8123 --conf models 'osln ct' --limit_concurrency 4" in result.stdout
    assert "MONAI_LABEL_TRACKING_ENABLED=false" in result.stdout
    assert not (checkout / ".venv").exists()


def test_help_tells_the_options_and_starts_nothing():
    result = run_script(ROOT / "scripts" / "serve", "--help")

    assert result.returncode == 0
    assert all(option in result.stdout for option in ("--studies", "--port", "--host", "--conf", "--workers"))


def test_several_workers_are_refused_in_words():
    result = run_script(ROOT / "scripts" / "serve", "--workers", "2", "--dry-run")

    assert result.returncode == 1
    assert "only one worker" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("script", ["serve", "test"])
def test_without_a_python_the_scripts_say_which_one_is_needed(checkout, tmp_path, script):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "sed"):
        (tools / name).symlink_to(shutil.which(name))
    result = run_script(checkout / "scripts" / script, PATH=str(tools))

    assert result.returncode == 1
    assert "No Python 3.10, 3.11 or 3.12 was found" in result.stderr


def test_test_help_tells_the_ways_to_run_it():
    result = run_script(ROOT / "scripts" / "test", "--help")

    assert result.returncode == 0
    assert "--quick" in result.stdout
