"""Makes the Python environment of this repository: `.venv`, filled from requirements.txt, only when needed.

Standard library only, because it runs before anything is installed. `scripts/serve` and `scripts/test`
both come through here, so there is one way to get the environment.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from installer import (
    InstallError,
    check_operators,
    environment_python,
    forget_damaged,
    install,
    package_folder,
    say,
)

ROOT = Path(__file__).resolve().parents[2]
SUPPORTED = ((3, 10), (3, 11), (3, 12))
STAMP = "osln-environment.json"
GIB = 2**30
LEAST_FREE_BYTES = 4 * GIB
CUDA_FREE_BYTES = 14 * GIB


def python_version(python: Path) -> tuple[int, int] | None:
    """Version of an interpreter, or None where it does not run."""
    try:
        code = "import sys; print(*sys.version_info[:2])"
        reply = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor = reply.split()
    return int(major), int(minor)


def fingerprint(root: Path, version: tuple[int, int]) -> dict[str, str]:
    """What the environment is made from: if this is unchanged, there is nothing to install."""
    files = {"requirements": root / "requirements.txt", "package": package_folder(root) / "pyproject.toml"}
    sums = {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if path.exists()
    }
    # An editable installation points to the folder that it was made from.
    return {**sums, "root": str(root.resolve()), "python": f"{version[0]}.{version[1]}"}


def made_for(folder: Path) -> str | None:
    """The checkout that an environment was made for; None where it does not say."""
    try:
        return str(json.loads((folder / STAMP).read_text())["root"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_complete(root: Path) -> bool:
    """Whether the stamp of a finished installation matches today's requirements.txt and interpreter."""
    try:
        stamp = json.loads((root / ".venv" / STAMP).read_text())
    except (OSError, ValueError):
        return False
    version = python_version(environment_python(root))
    return version is not None and stamp == fingerprint(root, version)


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Let a second start wait while a first one installs. Windows has no such lock and goes on without."""
    if os.name == "nt":
        yield
        return
    import fcntl

    with (root / "requirements.txt").open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another start is installing: waiting for it.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def create(root: Path, uv: str | None) -> None:
    """Make the empty environment, or complete one whose making was interrupted."""
    folder = root / ".venv"
    python = environment_python(root)
    version = python_version(python)
    if version is not None and version not in SUPPORTED:
        raise InstallError(
            f"{folder} has Python {version[0]}.{version[1]}, but 3.10, 3.11 or 3.12 is needed: "
            "delete that folder and start again."
        )
    if version is not None:
        if has_pip(python):
            return
        forget_damaged(python)
        commands = [[str(python), "-m", "ensurepip"]]
    else:
        say(f"Making the environment {folder} with Python {sys.version.split()[0]}")
        commands = [[sys.executable, "-m", "venv", "--clear", str(folder)]]
        if uv is not None:
            base = getattr(sys, "_base_executable", sys.executable)
            commands.insert(0, [uv, "venv", "--seed", "--clear", "--python", base, str(folder)])
    for command in commands:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return
    raise InstallError(
        f"Python could not make an environment: {(result.stderr or result.stdout).strip()}\n"
        "On Debian and Ubuntu: apt install python3-venv. Or install uv, which needs nothing else."
    )


def has_pip(python: Path) -> bool:
    """Whether an environment's pip answers."""
    command = [str(python), "-m", "pip", "--version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def check_space(root: Path) -> None:
    """Refuse to begin what cannot fit, and warn where only the small builds fit."""
    free = shutil.disk_usage(root).free
    if free < LEAST_FREE_BYTES:
        raise InstallError(
            f"{free / GIB:.1f} GiB are free at {root}; at least {LEAST_FREE_BYTES / GIB:.0f} GiB are needed, "
            f"{CUDA_FREE_BYTES / GIB:.0f} GiB with the CUDA builds of PyTorch that Linux gets by default."
        )
    if free < CUDA_FREE_BYTES:
        say(f"Only {free / GIB:.1f} GiB are free: PyTorch's CUDA builds may not fit (see docs/install.md).")


def ensure(root: Path = ROOT) -> Path:
    """Make the environment complete and return its interpreter. Does nothing if it is complete already.

    Args:
        root: folder that holds requirements.txt and `.venv`.

    Returns:
        Path of the environment's interpreter.

    Raises:
        InstallError: with words that say what to do.
    """
    python = environment_python(root)
    if is_complete(root):
        return python
    if (root / ".venv").is_symlink() and made_for(root / ".venv") not in (None, str(root.resolve())):
        raise InstallError(
            f"{root / '.venv'} is a link to the environment of {made_for(root / '.venv')}; nothing changed "
            "there. Remove the link, and this checkout gets an environment of its own."
        )
    with only_one(root):
        if is_complete(root):
            return python
        started = time.monotonic()
        check_space(root)
        uv = shutil.which("uv")
        create(root, uv)
        install(root, uv)
        check_operators(python)
        version = python_version(python)
        if version is None:
            raise InstallError(f"{python} does not run: delete {root / '.venv'} and start again.")
        stamp = root / ".venv" / STAMP
        temporary = stamp.with_suffix(".tmp")
        temporary.write_text(json.dumps(fingerprint(root, version)))
        temporary.replace(stamp)
        say(f"The environment is ready after {time.monotonic() - started:.0f} s.")
    return python


def main() -> int:
    """Make the environment; exit status 1 with words where it cannot be made."""
    try:
        ensure()
    except InstallError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted: start again, and the installation goes on.\n")
        return 130
    return 0


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    sys.exit(main())
