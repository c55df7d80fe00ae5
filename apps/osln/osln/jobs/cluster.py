"""The engine of many computers: a Ray cluster. It needs the package ray: requirements-cluster.txt.

Artifacts pass paths, never images: the folders lie on a file system that every computer sees under the same
name. A worker that was lost, or its computer, costs what ran there; that is made again elsewhere.
"""

import contextlib
import importlib.util
import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osln.jobs import worker
from osln.jobs.artifact import Artifact, Made
from osln.jobs.cores import core_to_keep
from osln.jobs.engine import CPU, GPU, LostError
from osln.jobs.nodes import check_nodes, check_token, is_loopback
from osln.jobs.processes import told_lost
from osln.jobs.told import Told

LOCAL = "local"
"""Instead of an address: a cluster of this computer alone, for as long as the command runs."""
TRIES = 3
"""How often an artifact is begun again whose worker was lost, and a worker that does not start."""
OBJECT_STORE_BYTES = 100 * 2**20
"""Of a cluster of this computer alone. Paths and figures pass through it, no images."""


class Cluster:
    """A Ray cluster; an `Engine`.

    Args:
        address: "local", or HOST:PORT of the head of a cluster to which this computer belongs.
        processes: Places on the CPU of "local".
        shared: Folders and files that every computer of the cluster has to see; the first is a folder that
            can be written.

    Raises:
        ValueError: Ray is not installed, or the address is none.
    """

    tries = TRIES

    def __init__(self, address: str, processes: int, shared: Sequence[Path]) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ValueError(
                "--cluster needs the package ray: install requirements-cluster.txt on every computer of the "
                "cluster (.venv/bin/python -m pip install -r requirements-cluster.txt)"
            )
        host, _, port = address.rpartition(":")
        if address != LOCAL and not (host and port.isdecimal() and "/" not in host):
            raise ValueError(
                f"--cluster takes the address of a cluster's head as HOST:PORT, or {LOCAL}, not {address}"
            )
        self._address, self._processes, self._shared = address, processes, shared
        self._ray: Any = None
        self._told: Any = None
        self._gpus = False
        self._workers: list[_Worker] = []
        self._refused = 0

    def __enter__(self) -> "Cluster":
        # Read when ray is imported: it tells its makers nothing, and has no web page.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if self._address == LOCAL or is_loopback(self._address.rpartition(":")[0]):
            # Else Ray takes the computer's outer address instead of the loopback one.
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        if self._address == LOCAL:
            # Other people of this computer could run programs in the name of whoever started it.
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        import ray

        self._ray = ray
        with _only_this_context(self):
            ray.init(**self._how(), log_to_driver=False, logging_level=logging.ERROR)
            check_token(ray, self._address)
            check_nodes(ray, self._shared)
            here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                ray.get_runtime_context().get_node_id(), soft=False
            )
            # Beside this process, which must not lose it with another computer.
            self._told = ray.remote(Told).options(num_cpus=0, scheduling_strategy=here).remote()
            there = self._there()
            if not any(there.values()):
                raise ValueError(
                    f"the cluster at {self._address} has no CPU and no GPU to work on: start its computers "
                    "with --num-cpus above 0, or add one"
                )
            self._gpus = there[GPU] > 0
        return self

    def __exit__(self, *_: object) -> None:
        self._workers = []
        self._ray.shutdown()

    def _how(self) -> dict[str, Any]:
        host = self._address.rpartition(":")[0]
        if self._address != LOCAL:
            return {"address": self._address} | ({"_node_ip_address": host} if is_loopback(host) else {})
        return {
            "address": LOCAL,
            "num_cpus": self._processes,
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }

    def place(self, one: Artifact) -> str:
        return GPU if one.uses_network and self._gpus else CPU

    def room(self) -> Mapping[str, int]:
        """Only workers that have started count; lost ones are replaced where the cluster has room."""
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        self._workers = [one for one in self._workers if not self._is_lost(one, alive)]
        for place, count in self._there().items():
            for _ in range(count - sum(one.place == place for one in self._workers)):
                self._workers.append(self._new(place))
        return Counter(one.place for one in self._workers if one.is_free)

    def _there(self) -> dict[str, int]:
        there = self._ray.cluster_resources()
        return {CPU: int(there.get("CPU", 0)), GPU: int(there.get("GPU", 0))}

    def _is_lost(self, one: "_Worker", alive: Set[str]) -> bool:
        if one.node.done() and one.node.exception() is not None:
            self._refused += 1
            if self._refused > TRIES * (len(self._workers) + 1):
                raise RuntimeError(f"the cluster starts no worker: {one.node.exception()}")
            return True
        ended = one.asked is not None and one.asked.done() and isinstance(one.asked.exception(), LostError)
        if ended:
            # It may live on behind a broken connection.
            self._ray.kill(one.actor)
        return ended or (one.is_free and one.node.result() not in alive)

    def _new(self, place: str) -> "_Worker":
        needs = {"num_cpus": 0, "num_gpus": 1} if place == GPU else {"num_cpus": 1}
        actor = self._ray.remote(_Actor).options(**needs).remote(self._told, place)
        return _Worker(place, actor, actor.node.remote().future())

    def submit(self, one: Artifact) -> "Future[Made]":
        place = self.place(one)
        chosen = next(each for each in self._workers if each.is_free and each.place == place)
        answer = _raised_there(chosen.actor.make.remote(one.name, one.make).future())
        errors = self._ray.exceptions
        lost = (
            errors.RayActorError,
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,
        )
        chosen.asked = told_lost(answer, *lost)
        return chosen.asked

    def told(self) -> Iterator[tuple[str, float, str]]:
        yield from self._ray.get(self._told.take.remote())

    def cancel(self) -> None:
        """Leaving the context ends what runs."""


@contextlib.contextmanager
def _only_this_context(cluster: Cluster) -> Iterator[None]:
    """Leaves no half-entered cluster behind."""
    try:
        yield
    except BaseException as error:
        cluster.__exit__()
        if isinstance(error, ConnectionError):
            raise ValueError(
                f"no cluster answers at {cluster._address}, or this computer does not belong to it: run "
                f"`ray start --address {cluster._address}` here first ({error})"
            ) from error
        raise


def _raised_there(asked: "Future[Made]") -> "Future[Made]":
    """The same answer with the error that the work raised, which Ray gives as a cause of its own."""
    answer: Future[Made] = Future()
    answer.set_running_or_notify_cancel()

    def pass_on(done: "Future[Made]") -> None:
        if (error := done.exception()) is None:
            answer.set_result(done.result())
        else:
            answer.set_exception(getattr(error, "cause", None) or error)

    asked.add_done_callback(pass_on)
    return answer


class _Actor:
    """A process of the cluster that keeps what it has loaded for the next artifact; an actor.

    Args:
        told: The actor that takes what it tells.
        place: Kind of place.
    """

    def __init__(self, told: Any, place: str) -> None:
        # Ray shows a worker no GPU but its own.
        worker.start(told.add.remote, "cuda:0" if place == GPU else "cpu", core_to_keep())

    def node(self) -> str:
        """On which computer it runs."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def make(self, name: str, work: Callable[[], Any]) -> Made:
        return worker.make(name, work)


@dataclass
class _Worker:
    """A worker as the engine knows it.

    Attributes:
        place: Kind of place.
        actor: The process.
        node: Its computer, known once it has started.
        asked: What it was given last.
    """

    place: str
    actor: Any
    node: "Future[str]"
    asked: "Future[Made] | None" = None

    @property
    def is_free(self) -> bool:
        started = self.node.done() and self.node.exception() is None
        return started and (self.asked is None or self.asked.done())
