"""Which hosts a process and all that it starts ask for: Python's audit events, written into a file."""

import os
from pathlib import Path

IN_CI = ("CI", "PYTEST_CURRENT_TEST", "GITHUB_ACTIONS", "TF_BUILD", "JENKINS_URL", "DO_NOT_TRACK")
"""With one of these set packages report nothing, whoever asks."""

HOOK = """
import os, sys

def note(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        asked(arguments[1][0])
    elif event == "socket.getaddrinfo":
        asked(arguments[0])

def asked(host):
    with open(os.environ["OSLN_TEST_ASKED"], "a") as file:
        print(host, file=file)

sys.addaudithook(note)
"""


def watched(folder: Path, path: str) -> dict[str, str]:
    """Variables of a process that is watched and has a home and a temporary folder of its own, both empty.

    Args:
        folder: Where these and the file lie.
        path: PYTHONPATH of the process.
    """
    for name in ("hook", "home", "tmp"):
        (folder / name).mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK)
    return {
        "PYTHONPATH": os.pathsep.join([str(folder / "hook"), path]),
        "OSLN_TEST_ASKED": str(folder / "asked"),
        "HOME": str(folder / "home"),
        "XDG_CONFIG_HOME": str(folder / "home" / ".config"),
        "TMPDIR": str(folder / "tmp"),
    }


def elsewhere(folder: Path) -> set[str]:
    """Hosts other than this computer that were asked for."""
    file = folder / "asked"
    hosts = set(file.read_text().split()) if file.exists() else set()
    return hosts - {"127.0.0.1", "::1", "localhost", "None"}


def telemetry(folder: Path) -> list[str]:
    """Files in the home folder that stand for this computer; caches of fonts and kernels are none."""
    home = folder / "home"
    found = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
    return [name for name in found if not name.startswith((".cache/", ".config/matplotlib/"))]
