"""What is installed first, what is mended, and what a failure is called."""

import sys
from pathlib import Path

import pytest

import installer

ROOT = Path(__file__).resolve().parents[2]


def package(site_packages: Path, name: str, files: list[str], listed: list[str]) -> Path:
    """Metadata folder of an installed package with a file list."""
    info = site_packages / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    for file in files:
        (site_packages / file).parent.mkdir(parents=True, exist_ok=True)
        (site_packages / file).touch()
    (info / "RECORD").write_text("".join(f"{file},sha256=abc,1\n" for file in listed))
    return info


def test_packages_of_a_killed_installation_are_found(tmp_path):
    package(tmp_path, "whole", ["whole/__init__.py"], ["whole/__init__.py", "whole/__pycache__/x.pyc"])
    lacks_a_file = package(tmp_path, "torn", [], ["torn/__init__.py"])
    lacks_its_list = package(tmp_path, "listless", [], [])
    (lacks_its_list / "RECORD").unlink()

    assert installer.damaged_packages(tmp_path) == [lacks_its_list, lacks_a_file]


def test_requirement_lines_come_without_their_reasons(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("# the server\ntorch>=2.6,<2.16  # why\ntorchvision>=0.21\nmonai==1.5.2\nnumpy\n")

    assert installer.requirement_lines(path, ("torch", "numpy")) == ["torch>=2.6,<2.16", "numpy"]


def test_the_packages_that_go_first_are_all_required():
    lines = installer.requirement_lines(ROOT / "requirements.txt", installer.FIRST)

    assert len(lines) == len(installer.FIRST)


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError(...): Failed to establish a new connection", "could not be reached"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "certificate"),
        ("ERROR: No matching distribution found for torch", "no release for this Python"),
        ("a\nb\nsomething else", "something else"),
    ],
)
def test_what_the_installer_says_is_turned_into_advice(output, advice):
    assert advice in installer.explain(output)


def test_where_no_terminal_is_a_line_tells_now_and_then_how_long_it_lasts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(installer, "SECONDS_BETWEEN_LINES", 0.2)
    code = "import time; print('Collecting torch', flush=True); time.sleep(2)"
    installer.run_installer([sys.executable, "-c", code], tmp_path / "log", "Installing")

    first, *between, last = capsys.readouterr().out.splitlines()
    assert first.startswith("Installing (everything it says") and last.startswith("  done in")
    assert any(line.endswith(" s  Collecting torch") for line in between)


def test_a_failing_installer_is_reported_with_its_log(tmp_path):
    code = "print('OSError: [Errno 28] No space left on device'); raise SystemExit(2)"
    with pytest.raises(installer.InstallError, match=r"Installing failed\. The disk is full"):
        installer.run_installer([sys.executable, "-c", code], tmp_path / "log", "Installing")

    assert "No space left" in (tmp_path / "log").read_text()
