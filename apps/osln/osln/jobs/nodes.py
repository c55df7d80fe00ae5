"""What has to hold of every computer of a cluster before it is given work."""

import hashlib
import importlib.metadata
import ipaddress
import logging
import os
import platform
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import osln

logger = logging.getLogger(__name__)

COMPUTING = ("numpy", "torch", "openvino", "scipy", "numba", "scikit-learn")
"""Packages whose versions decide what comes out."""
BFLOAT16 = "a processor that multiplies in bfloat16:"
PATIENCE_SECONDS = 120
"""A first worker of a computer imports torch."""


def check_token(ray: Any, address: str) -> None:
    """Refuses a cluster that others can reach and that asks nobody for a token.

    Raises:
        ValueError: Says what to do.
    """
    if os.environ.get("RAY_AUTH_MODE") == "token":
        return
    open_to_others = [node["NodeManagerAddress"] for node in _alive(ray) if not is_loopback(_host(node))]
    if open_to_others:
        raise ValueError(
            f"the cluster at {address} asks for no token, and whoever reaches {open_to_others[0]} can run "
            "programs there: stop it, set RAY_AUTH_MODE=token and the same token on every computer, and "
            "start it and this command again (docs/scaling.md)"
        )


def is_loopback(host: str) -> bool:
    """Whether an address means this computer alone."""
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
    mark = shared[0] / f".seen-{uuid.uuid4().hex}"
    mark.touch()
    try:
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        look = ray.remote(looked_at)
        asked = {
            _host(node): look.options(
                num_cpus=0, scheduling_strategy=strategy(node["NodeID"], soft=False)
            ).remote([mark, *shared])
            for node in _alive(ray)
        }
        here = setting()
        for host, answer in asked.items():
            try:
                unseen, there = ray.get(answer, timeout=PATIENCE_SECONDS)
            except ray.exceptions.TaskUnschedulableError:
                # It asks for no room, so it can only be gone; what it would have been given goes elsewhere.
                logger.warning("%s has left the cluster", host)
                continue
            except ray.exceptions.RayError as error:
                raise ValueError(
                    f"{host} of the cluster could not be asked: install the same OSLN Label there ({error})"
                ) from error
            if unseen:
                raise ValueError(f"{host} of the cluster does not see {unseen[0]}: mount it under that name")
            if other := [
                f"{name} {there[name]}, not {here[name]}" for name in here if there[name] != here[name]
            ]:
                raise ValueError(
                    f"{host} of the cluster would give other results: it has {'; '.join(other)}: install the "
                    "same versions there, and let processors that do and that do not be clusters of their own"
                )
    finally:
        mark.unlink(missing_ok=True)


def looked_at(paths: Sequence[Path]) -> tuple[list[str], dict[str, str]]:
    """Those of the paths that this computer does not see, and its `setting`."""
    return [str(path) for path in paths if not path.exists()], setting()


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
