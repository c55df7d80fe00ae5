"""What has to hold of every computer of a cluster before it is given work."""

import contextlib
import hashlib
import importlib.metadata
import ipaddress
import logging
import os
import platform
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import osln
from osln.jobs.shared import SAME, content, marked, seen

logger = logging.getLogger(__name__)

COMPUTING = ("numpy", "torch", "openvino", "scipy", "numba", "scikit-learn")
"""Packages whose versions decide what comes out."""
BFLOAT16 = "a processor that multiplies in bfloat16:"
PATIENCE_SECONDS = 120
"""A first worker of a computer imports torch."""
HEARD_HERE_ALONE = ("127.0.0.1", "::1", "localhost")
"""For any other address, 127.0.0.2 too, Ray listens on all that the computer has."""
TURNED_AWAY = 3
STRANGER = f"""
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).internal_kv_keys(b"", b"session", timeout=30)
except AuthenticationError:
    sys.exit({TURNED_AWAY})
"""
"""A program that reads from the head of a cluster, and ends with `TURNED_AWAY` if it may not."""


def check_token(ray: Any, address: str) -> None:
    """Refuses a cluster that others can reach and that asks nobody for a token.

    Args:
        ray: The module, connected.
        address: HOST:PORT of the head, or "local".

    Raises:
        ValueError: Says what to do.
    """
    open_to_others = [host for host in map(_host, _alive(ray)) if host not in HEARD_HERE_ALONE]
    # Who speaks without a token was let in without one; whether one that is sent is looked at is asked.
    if open_to_others and not (os.environ.get("RAY_AUTH_MODE") == "token" and asks_for_token(address)):
        raise ValueError(
            f"the cluster at {address} asks for no token, and whoever reaches {open_to_others[0]} can run "
            "programs there: stop it, set RAY_AUTH_MODE=token and the same token on every computer, and "
            "start it and this command again (docs/scaling.md)"
        )


def asks_for_token(address: str) -> bool:
    """Whether the head of a cluster turns away a stranger, who sends a token of their own.

    Raises:
        ValueError: It neither answers nor turns away.
    """
    return _turned_away(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))


def _turned_away(address: str, **environment: str) -> bool:
    """Whether a head turns away a program of this environment; errors as of `asks_for_token`."""
    # In a process of its own: Ray reads once which token it sends.
    command = [sys.executable, "-c", STRANGER, address]
    try:
        ended = subprocess.run(
            command,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        code, said = ended.returncode, ended.stderr
    except subprocess.TimeoutExpired:
        code, said = None, f"no answer in {PATIENCE_SECONDS} s"
    if code not in (0, TURNED_AWAY):
        raise ValueError(
            f"the cluster at {address} could not be asked whether it wants a token, so it is not used: run "
            f"the command again, with one of the versions of Ray in requirements-cluster.txt ({said.strip()})"
        )
    return code == TURNED_AWAY


def why_not_joined(address: str, error: ConnectionError) -> str:
    """Why Ray did not join a cluster, and what to do: it has one error for all that goes wrong."""
    host, _, port = address.rpartition(":")
    # OSError: nobody listens, for whom Ray would wait longest. ValueError: "local", or another program there.
    with contextlib.suppress(OSError, ValueError):
        socket.create_connection((host, int(port)), timeout=5).close()
        if _turned_away(address):
            sent = "another one" if os.environ.get("RAY_AUTH_MODE") == "token" else "none"
            return (
                f"the cluster at {address} asks for its token, and this command sends {sent}: set "
                "RAY_AUTH_MODE=token, copy ~/.ray/auth_token from the head, and run it again "
                "(docs/scaling.md)"
            )
    return (
        f"no cluster answers at {address}, or this computer does not belong to it: run "
        f"`ray start --address {address}` here first ({error})"
    )


def is_loopback(host: str) -> bool:
    """Whether an address is one of this computer that only it can name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_nodes(ray: Any, shared: Sequence[Path]) -> None:
    """Refuses computers that do not see the files or would compute something else.

    Args:
        ray: The module, connected.
        shared: As of `cluster.Cluster`.

    Raises:
        ValueError: Says which computer, and what to do.
    """
    with marked(shared) as marks:
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        look = ray.remote(looked_at)
        # Several raylets may have one address, and each its own view of the files.
        asked = []
        for node in _alive(ray):
            there_alone = strategy(node["NodeID"], soft=False)
            answer = look.options(num_cpus=0, scheduling_strategy=there_alone).remote(marks)
            asked.append((_host(node), answer))
        here, content_here = setting(), cache(content)
        for host, answer in asked:
            try:
                found, there = ray.get(answer, timeout=PATIENCE_SECONDS)
            except ray.exceptions.TaskUnschedulableError:
                # It asks for no room, so it can only be gone; what it would have been given goes elsewhere.
                logger.warning("%s has left the cluster", host)
                continue
            except ray.exceptions.RayError as error:
                raise ValueError(
                    f"{host} of the cluster could not be asked: install the same OSLN Label there ({error})"
                ) from error
            _check_files(host, found, shared[0], content_here)
            if other := [
                f"{name} {there[name]}, not {here[name]}" for name in here if there[name] != here[name]
            ]:
                raise ValueError(
                    f"{host} of the cluster would give other results: it has {'; '.join(other)}: install the "
                    "same versions there, and let processors that do and that do not be clusters of their own"
                )


def _check_files(
    host: str,
    found: Mapping[Path, str | None],
    written: Path,
    content_here: Callable[[Path], str | None],
) -> None:
    """Refuses a computer that has others; what is written has to lie in the same folder, not in a copy."""
    for path, there in found.items():
        if there is None:
            raise ValueError(f"{host} of the cluster does not see {path}: mount it under that name")
        if path == written and there != SAME:
            raise ValueError(
                f"{host} of the cluster has a folder of its own at {path}, and what it writes would stay "
                "there: mount that of this computer under that name"
            )
        if there not in (SAME, content_here(path)):
            raise ValueError(
                f"{host} of the cluster would give other results: it has something else at {path} than this "
                "computer: mount the same there, or a copy of all of it"
            )


def looked_at(marks: Mapping[Path, Path | None]) -> tuple[dict[Path, str | None], dict[str, str]]:
    """What this computer has at the paths (`shared.seen`), and its `setting`."""
    return seen(marks), setting()


def setting() -> dict[str, str]:
    """Versions on this computer of what results depend on, and whether it multiplies in bfloat16."""
    import torch

    found = {"OSLN Label's sources": sources(), "python": platform.python_version()}
    for name in COMPUTING:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    # Networks compute in it where it is multiplied: the last digits differ from those of single precision.
    found[BFLOAT16] = "yes" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "no"
    return found


def sources() -> str:
    """Short checksum of the package's modules: a version number does not tell two checkouts apart."""
    folder = Path(osln.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _alive(ray: Any) -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _host(node: dict[str, Any]) -> str:
    return str(node["NodeManagerAddress"])
