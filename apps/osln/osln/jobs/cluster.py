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
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osln.jobs import worker
from osln.jobs.artifact import Artifact, Made
from osln.jobs.cores import core_to_keep
from osln.jobs.engine import CPU, GPU, LostError
from osln.jobs.nodes import check_nodes, check_token, is_loopback, why_not_joined
from osln.jobs.processes import told_lost
from osln.jobs.told import Told
from osln.learning.cores import FEEDING_CORES

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
            is written, the others may be copies of equal content.

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
            # Beside this process, which must not lose it with another computer.
            here = self._on(ray.get_runtime_context().get_node_id())
            self._told = ray.remote(Told).options(num_cpus=0, scheduling_strategy=here).remote()
            there = [places(resources) for resources in self._alive().values()]
            if not any(any(each.values()) for each in there):
                raise ValueError(
                    f"the cluster at {self._address} has no CPU and no GPU to work on: start its computers "
                    "with --num-cpus above 0, or add one"
                )
            self._gpus = any(each[GPU] for each in there)
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
        """Only workers that have started count; lost ones are replaced while their computer is there."""
        alive = self._alive()
        self._workers = [one for one in self._workers if not self._is_lost(one, alive)]
        there = Counter((one.node, one.place) for one in self._workers)
        for node, resources in alive.items():
            for place, count in places(resources).items():
                for _ in range(count - there[node, place]):
                    self._workers.append(self._new(node, place, feeding_cores(resources)))
        return Counter(one.place for one in self._workers if one.is_free)

    def _alive(self) -> dict[str, Mapping[str, float]]:
        """What each computer offers, by its name in Ray."""
        return {node["NodeID"]: node["Resources"] for node in self._ray.nodes() if node["Alive"]}

    def _is_lost(self, one: "_Worker", alive: Container[str]) -> bool:
        if one.is_idle and one.node not in alive:
            return True
        if one.started.done() and one.started.exception() is not None:
            self._refused += 1
            if self._refused > TRIES * (len(self._workers) + 1):
                raise RuntimeError(f"the cluster starts no worker: {one.started.exception()}")
            return True
        ended = one.asked is not None and one.asked.done() and isinstance(one.asked.exception(), LostError)
        if ended:
            # It may live on behind a broken connection.
            self._ray.kill(one.actor)
        return ended

    def _new(self, node: str, place: str, feeding: int) -> "_Worker":
        needs = {"num_cpus": feeding, "num_gpus": 1} if place == GPU else {"num_cpus": 1}
        kind = self._ray.remote(_Actor).options(**needs, scheduling_strategy=self._on(node))
        actor = kind.remote(self._told, place)
        return _Worker(place, node, actor, actor.start.remote().future())

    def _on(self, node: str) -> Any:
        """Has Ray start something on this computer and no other."""
        return self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)

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


def places(resources: Mapping[str, float]) -> dict[str, int]:
    """Workers of a computer of the cluster, by kind of place."""
    gpus = int(resources.get("GPU", 0))
    return {CPU: int(resources.get("CPU", 0)) - gpus * feeding_cores(resources), GPU: gpus}


def feeding_cores(resources: Mapping[str, float]) -> int:
    """CPUs of it that each worker with a GPU has for its batches; one is left for work without networks."""
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    return min(FEEDING_CORES, max(cpus - 1, 0) // gpus) if gpus else 0


@contextlib.contextmanager
def _only_this_context(cluster: Cluster) -> Iterator[None]:
    """Leaves no half-entered cluster behind."""
    try:
        yield
    except BaseException as error:
        cluster.__exit__()
        if isinstance(error, ConnectionError):
            raise ValueError(why_not_joined(cluster._address, error)) from error
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
        self._tell, self._place = told.add.remote, place

    def start(self) -> None:
        """Before it is given work; comes back when it is ready for it."""
        if self._place == GPU:
            # Ray shows a worker no GPU but its own. Threads make batches for it: they need more than a core.
            worker.start(self._tell, "cuda:0", None)
        else:
            worker.start(self._tell, "cpu", core_to_keep())

    def make(self, name: str, work: Callable[[], Any]) -> Made:
        return worker.make(name, work)


@dataclass
class _Worker:
    """A worker as the engine knows it.

    Attributes:
        place: Kind of place.
        node: Its computer.
        actor: The process.
        started: Done once it can be given work.
        asked: What it was given last.
    """

    place: str
    node: str
    actor: Any
    started: "Future[None]"
    asked: "Future[Made] | None" = None

    @property
    def is_idle(self) -> bool:
        return self.asked is None or self.asked.done()

    @property
    def is_free(self) -> bool:
        return self.is_idle and self.started.done() and self.started.exception() is None
