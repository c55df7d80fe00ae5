"""Makes artifacts in worker processes, in the order of their needs.

Each leaves its files and is not made again if they are there, so that a stopped run goes on where it was.
Where there are GPUs, each has a worker of its own for what uses one.
"""

import logging
import multiprocessing
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from osln.learning.fit import Progress

logger = logging.getLogger(__name__)
_progress: Any = None
"""Queue to the main process, set in each worker."""
_device = "cpu"
"""Where this worker computes."""
_name = ""
"""What this worker makes."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """Files that a run makes and keeps, what they are made from, and how.

    Attributes:
        name: In the progress bar and in the record of the run; no other of the run has it.
        paths: The files; if all are there it is not made again.
        needs: What is read to make it.
        make: Makes the files: a function of a module with all its arguments, so that a process can be told.
        cost: About how many seconds one core takes; decides what is made first and how far the bar is.
        uses_network: Whether a network is trained or asked: on a GPU where there is one. If it fails, what
            does not need it is made all the same; another failure is one of the cohort and ends all.
    """

    name: str
    paths: tuple[Path, ...]
    needs: tuple["Artifact", ...]
    make: Callable[[], None]
    cost: float = 1.0
    uses_network: bool = False

    @property
    def path(self) -> Path:
        """The file of an artifact that has one."""
        (path,) = self.paths
        return path

    @property
    def is_made(self) -> bool:
        return bool(self.paths) and all(path.is_file() for path in self.paths)


def with_needs(wanted: Iterable[Artifact]) -> dict[str, Artifact]:
    """These artifacts and all that they are made from by name, each behind what it needs."""
    found: dict[str, Artifact] = {}

    def add(one: Artifact) -> None:
        if one.name not in found:
            for needed in one.needs:
                add(needed)
            found[one.name] = one

    for one in wanted:
        add(one)
    return found


def device() -> str:
    """Where the worker that asks computes: "cpu" or "cuda:N"; "cpu" outside a worker."""
    return _device


def tell(share: float, words: str = "") -> None:
    """Called by what makes an artifact: this share of it is done; nothing happens outside a worker."""
    if _progress is not None:
        _progress.put((_name, share, words))


def tell_training(state: Progress) -> None:
    """`tell` of a training: what `fit` calls after each report."""
    tell(state.share, f"loss {state.loss:.3f}")


def available_gpus() -> tuple[str, ...]:
    """`cuda:N` of every GPU that this process may use."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return tuple(f"cuda:{index}" for index in range(count))


def run_jobs(
    wanted: Iterable[Artifact],
    processes: int,
    gpus: Sequence[str] = (),
    on_done: Callable[[str, float], None] | None = None,
) -> dict[str, Exception]:
    """Makes what is not there in worker processes of one thread each, with one bar and the time left.

    What the most work waits for is started first.

    Args:
        wanted: What they need is made too.
        processes: Worker processes on the CPU.
        gpus: Devices that get a worker of their own; without any everything runs on the CPU.
        on_done: Called with name and seconds of each artifact that was made.

    Returns:
        What was raised by artifacts that use networks, by their names. What needs them was not started.

    Raises:
        RuntimeError: A worker process was killed; says what to do.
        Exception: What another artifact raised; nothing further is started then.
    """
    artifacts = with_needs(wanted)
    waiting = {name: one for name, one in _by_urgency(artifacts).items() if not one.is_made}
    if not waiting:
        return {}
    context = multiprocessing.get_context("spawn")
    channel, places = context.Queue(), context.Queue()
    for place in gpus:
        places.put(place)
    with (
        ProcessPoolExecutor(processes, context, _start_worker, (channel, None)) as on_cpu,
        ProcessPoolExecutor(max(len(gpus), 1), context, _start_worker, (channel, places)) as on_gpu,
        _Bar({name: one.cost for name, one in waiting.items()}) as bar,
    ):
        run = _Run(waiting, artifacts.keys() - waiting.keys(), {on_cpu: processes, on_gpu: len(gpus)})
        while run.waiting or run.running:
            for name in run.start(on_gpu if gpus else on_cpu, on_cpu):
                bar.finish(name)
            finished, _ = wait(run.running, timeout=0.5, return_when=FIRST_COMPLETED)
            bar.listen(channel)
            for future in finished:
                one = run.finish(future)
                bar.finish(one.name)
                if on_done is not None and one.name in run.done:
                    on_done(one.name, future.result())
    return run.failed


@dataclass
class _Run:
    """What waits in the order in which it is wanted, what runs in which pool, and what came of the others."""

    waiting: dict[str, Artifact]
    done: set[str]
    free: dict[Executor, int]
    running: dict["Future[float]", tuple[Artifact, Executor]] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)

    def start(self, for_networks: Executor, for_others: Executor) -> list[str]:
        """Starts what can be made; returns the names of what never can."""
        lost = []
        for name, one in list(self.waiting.items()):
            needed = {other.name for other in one.needs}
            pool = for_networks if one.uses_network else for_others
            if needed & self.given_up:
                lost.append(name)
                self.given_up.add(name)
            elif self.free[pool] and needed <= self.done:
                self.running[pool.submit(_timed, name, one.make)] = one, pool
                self.free[pool] -= 1
            else:
                continue
            del self.waiting[name]
        return lost

    def finish(self, future: "Future[float]") -> Artifact:
        """Takes in what was made or has failed; errors as in `run_jobs`."""
        one, pool = self.running.pop(future)
        self.free[pool] += 1
        error = future.exception()
        if error is None:
            self.done.add(one.name)
        elif one.uses_network and isinstance(error, Exception) and not isinstance(error, BrokenProcessPool):
            logger.warning("%s failed, the rest goes on: %s", one.name, error, exc_info=error)
            self.failed[one.name] = error
            self.given_up.add(one.name)
        else:
            for pool in self.free:
                pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, BrokenProcessPool):
                raise error
            raise RuntimeError(
                f"the process that worked on {one.name!r} was killed, perhaps for memory: run the same "
                "command again, it goes on where it was"
            ) from error
        return one


def _by_urgency(artifacts: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """The artifacts by falling cost of the longest chain of work that begins with them."""
    chain = {name: one.cost for name, one in artifacts.items()}
    # What needs an artifact stands behind it, so its own chain is known first.
    for name, one in reversed(list(artifacts.items())):
        for needed in one.needs:
            chain[needed.name] = max(chain[needed.name], needed.cost + chain[name])
    return dict(sorted(artifacts.items(), key=lambda item: -chain[item[0]]))


def _timed(name: str, make: Callable[[], None]) -> float:
    global _name
    _name = name
    began = time.monotonic()
    make()
    return time.monotonic() - began


def _start_worker(channel: Any, places: Any) -> None:
    """One thread and low priority, so that the computer stays usable; ends with the main process."""
    global _progress, _device
    _progress = channel
    _device = "cpu" if places is None else places.get()
    torch.set_num_threads(1)
    os.nice(5)
    if hasattr(os, "sched_setaffinity"):
        # Runtimes with thread pools of their own would otherwise fill all cores from every worker.
        number = (multiprocessing.current_process()._identity or (0,))[0]
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[number % len(allowed)]})
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    """A worker whose main process was killed would go on beside the next run and write the same files."""
    parent.join()
    os._exit(1)


class _Bar:
    """One bar for all artifacts, in seconds of one core."""

    def __init__(self, costs: Mapping[str, float]) -> None:
        self.costs = costs
        self.shares = dict.fromkeys(costs, 0.0)
        form = "{percentage:3.0f}%|{bar:30}| {elapsed} run, {remaining} left{postfix}"
        # Rates of the kinds of artifacts differ: only the mean of all tells the time left.
        every = 0.5 if sys.stderr.isatty() else 30.0
        total = sum(costs.values())
        self.bar = tqdm(total=total, smoothing=0, bar_format=form, mininterval=every, maxinterval=2 * every)

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def listen(self, channel: Any) -> None:
        """Move the bar by what the workers have sent."""
        while True:
            try:
                name, share, words = channel.get_nowait()
            except queue.Empty:
                return
            if name in self.shares:
                self._move(name, share)
                self.bar.set_postfix_str(f"{name} {words}".strip(), refresh=False)

    def finish(self, name: str) -> None:
        """The artifact is made or given up."""
        self._move(name, 1.0)

    def _move(self, name: str, share: float) -> None:
        share = min(max(share, self.shares[name]), 1.0)
        self.bar.update((share - self.shares[name]) * self.costs[name])
        self.shares[name] = share
