"""Fills the environment from requirements.txt: uv where it works, pip otherwise, and words for what can fail.

Standard library only, because it runs before anything is installed.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

LOG = "osln-install.log"
# sam2 is built from source against the torch that is there already. Without this, pip downloads and unpacks
# a second torch for the build alone, and tries to compile a CUDA extension that MONAI Label does not need.
BUILD = {"SAM2_BUILD_CUDA": "0"}
PIP_OPTIONS = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")
SECONDS_BETWEEN_LINES = 60.0
"""Where no terminal shows what the installer is at."""
BUILD_FAILED = r"subprocess-exited-with-error|Failed to build|Cannot import .setuptools"
FIRST = ("setuptools", "torch", "torchvision", "numpy")
EXPLANATIONS = (
    (
        r"No space left on device|Errno 28",
        "The disk is full. The CUDA builds of PyTorch need about 14 GB while they are installed; "
        "docs/install.md tells how to use the small CPU builds. TMPDIR moves the temporary files.",
    ),
    (
        r"NewConnectionError|name resolution|NameResolutionError|Max retries|ConnectTimeout|ReadTimeout|"
        r"ProxyError|error sending request|dns error|Connection (refused|reset)|Network is unreachable",
        "The package index could not be reached. Check the network, or set HTTPS_PROXY or pip's index-url; "
        "docs/install.md tells how to install without a network.",
    ),
    (
        r"SSLError|CERTIFICATE_VERIFY_FAILED|invalid peer certificate",
        "The package index's certificate was not accepted. Behind an inspecting proxy set PIP_CERT (and "
        "SSL_CERT_FILE for uv) to the hospital's certificate file.",
    ),
    (
        r"No matching distribution|ResolutionImpossible|No solution found",
        "A package has no release for this Python or platform. Tested: Python 3.10 to 3.12, x86_64 Linux.",
    ),
)


class InstallError(RuntimeError):
    """The environment could not be made; the message says what to do."""


class BuildError(InstallError):
    """A package that comes as source could not be built."""


def say(text: str) -> None:
    """Write one line at once, so that it stands before the output of the program that follows."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def environment_python(root: Path) -> Path:
    """Interpreter of the environment below `root`, whether or not it exists."""
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def package_folder(root: Path) -> Path:
    """Folder of the package `osln`, which the environment imports from there (an editable installation)."""
    return root / "apps" / "osln"


def site_packages(python: Path) -> Path:
    """The package folder of an environment."""
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    return Path(
        subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    )


def damaged_packages(site_packages: Path) -> list[Path]:
    """Metadata folders of packages that an interrupted installation left incomplete.

    pip takes a package for installed as soon as its metadata folder is there, so a killed installation
    would otherwise never be mended.

    Args:
        site_packages: the environment's package folder.

    Returns:
        The `*.dist-info` folders without a file list, or whose list names files that are missing.
    """
    damaged = []
    for info in sorted(site_packages.glob("*.dist-info")):
        record = info / "RECORD"
        if not record.is_file():
            damaged.append(info)
            continue
        with record.open(newline="") as lines:
            names = [row[0] for row in csv.reader(lines) if row and not row[0].endswith(".pyc")]
        if not all((site_packages / name).exists() for name in names):
            damaged.append(info)
    return damaged


def forget_damaged(python: Path) -> None:
    """Make pip install again what an interrupted installation left incomplete."""
    for info in damaged_packages(site_packages(python)):
        say(f"  {info.name.removesuffix('.dist-info')} is incomplete and will be installed again")
        shutil.rmtree(info)


def requirement_lines(requirements: Path, names: tuple[str, ...]) -> list[str]:
    """The lines of requirements.txt for some packages, without their comments."""
    lines = [line.split(" #")[0].strip() for line in requirements.read_text().splitlines()]
    return [line for line in lines if re.split(r"[<>=!~ ;\[]", line)[0] in names]


def explain(output: str) -> str:
    """What to do about a failed installation, from what the installer printed."""
    for pattern, advice in EXPLANATIONS:
        if re.search(pattern, output):
            return advice
    return "The end of the installer's output:\n" + "\n".join(output.splitlines()[-15:])


def tell_meanwhile(done: threading.Event, output: list[str]) -> None:
    """Say how long it has lasted and what came last: in a terminal each second, elsewhere each minute.

    Args:
        done: set when it is over.
        output: the installer's lines so far.
    """
    started, live = time.monotonic(), sys.stdout.isatty()
    while not done.wait(1.0 if live else SECONDS_BETWEEN_LINES):
        line = f"  {time.monotonic() - started:4.0f} s  {output[-1].strip()[:90] if output else ''}"
        if live:
            sys.stdout.write(f"\r\033[K{line}")
            sys.stdout.flush()
        else:
            say(line.rstrip())
    if live:
        sys.stdout.write("\r\033[K")


def run_installer(command: list[str], log: Path, title: str) -> None:
    """Run pip or uv, keep all it prints in a log, and show what it is at.

    Args:
        command: the installer's command line.
        log: file that the output is appended to.
        title: what is said while it runs.

    Raises:
        InstallError: if it fails; the message says why and what to do. BuildError where it failed in a build.
    """
    started = time.monotonic()
    output: list[str] = []
    done = threading.Event()
    clock = threading.Thread(target=tell_meanwhile, args=(done, output), daemon=True)
    say(f"{title} (everything it says: {log})")
    with log.open("a", encoding="utf-8") as copy:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **BUILD},
        )
        clock.start()
        try:
            for line in process.stdout or ():
                copy.write(line)
                output.append(line)
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
            done.set()
            clock.join()
    if process.returncode:
        end = "".join(output[-200:])
        kind = BuildError if re.search(BUILD_FAILED, end) else InstallError
        raise kind(f"{title} failed. {explain(end)}\nAll of it: {log}")
    say(f"  done in {time.monotonic() - started:.0f} s")


def install(root: Path, uv: str | None) -> None:
    """Fill the environment from requirements.txt, with uv where it works and pip otherwise.

    PyTorch goes first, so that what is built from source is built against it.

    Args:
        root: folder that holds requirements.txt and an environment with pip.
        uv: path of the uv command, or None.

    Raises:
        InstallError: if pip fails too.
    """
    python, requirements, log = environment_python(root), root / "requirements.txt", root / ".venv" / LOG
    forget_damaged(python)
    first = requirement_lines(requirements, FIRST)
    if uv is not None:
        try:
            install_with_uv(uv, python, requirements, log)
        except InstallError as error:
            say(f"{error}\nTrying pip instead.")
        else:
            return install_package(root)
    pip = [str(python), "-m", "pip", "install", *PIP_OPTIONS]
    if first:
        run_installer([*pip, *first], log, "Installing PyTorch (the largest part)")
    rest = [*pip, "-r", str(requirements)]
    try:
        run_installer([*rest, "--no-build-isolation"], log, "Installing the other packages")
    except BuildError as error:
        # A platform without ready wheels may need build tools that only pip's isolated builds bring along.
        say(f"{error}\nTrying once more with isolated builds.")
        run_installer(rest, log, "Installing the other packages")
    install_package(root)


def install_package(root: Path) -> None:
    """Make `import osln` and the command `osln` point into this checkout."""
    if not (package_folder(root) / "pyproject.toml").exists():
        return
    python, log = environment_python(root), root / ".venv" / LOG
    pip = [str(python), "-m", "pip", "install", *PIP_OPTIONS, "--no-deps", "--no-build-isolation"]
    run_installer([*pip, "--editable", str(package_folder(root))], log, "Adding this checkout's own package")


def install_with_uv(uv: str, python: Path, requirements: Path, log: Path) -> None:
    """The same with uv, which is faster. Raises InstallError if it fails: it reads no settings of pip."""
    by_uv = [uv, "pip", "install", "--python", str(python)]
    run_installer([*by_uv, *requirement_lines(requirements, FIRST)], log, "Installing PyTorch with uv")
    rest = [*by_uv, "--no-build-isolation-package", "sam2", "-r", str(requirements)]
    run_installer(rest, log, "Installing the other packages with uv")
    # uv unpacks the data folder of MONAI Label's wheel where nothing finds it: pip puts the command in place.
    again = [str(python), "-m", "pip", "install", *PIP_OPTIONS, "--no-deps", "--force-reinstall"]
    run_installer([*again, *requirement_lines(requirements, ("monailabel",))], log, "Adding its command")


def check_operators(python: Path) -> None:
    """Make sure that torch and torchvision are a matching pair: where they are not, nothing else tells."""
    code = "import torch, torchvision; torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)"
    result = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise InstallError(
            f"torch and torchvision do not fit each other ({reason}). Install both from the same place, "
            "both as CPU builds or both as CUDA builds; docs/install.md, 'The light way'."
        )
