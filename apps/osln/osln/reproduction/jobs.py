"""Work cut into jobs for worker processes, in the order of their needs.

Each job leaves its results in files and is not started if they are there, so that a stopped run goes on
where it was. Where there are GPUs, each has a worker of its own for the jobs that use one.
"""

import logging
import multiprocessing
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

logger = logging.getLogger(__name__)
_progress: Any = None
"""Queue to the main process, set in each worker."""
_device = "cpu"
"""Where this worker computes."""


@dataclass(frozen=True)
class Job:
    """Work for a worker process: called with the plan and the arguments when the needed jobs are done.

    Attributes:
        work: A function of a module, so that a process can be told its name.
        arguments: Behind the plan.
        needed: Names of the jobs whose files it reads.
        targets: Files that it leaves; if all are there it is not started.
        cost: About how many seconds one core takes; decides what is started first and how far the bar is.
        uses_network: Whether it trains or asks a network: on a GPU where there is one. If it fails, what does
            not need it is done all the same; a failure of another job is one of the cohort and ends all.
    """

    work: Callable[..., None]
    arguments: tuple[Any, ...]
    needed: tuple[str, ...] = ()
    targets: tuple[Path, ...] = ()
    cost: float = 1.0
    uses_network: bool = False

    @property
    def is_done(self) -> bool:
        return bool(self.targets) and all(path.is_file() for path in self.targets)


def device() -> str:
    """Where the worker that asks computes: "cpu" or "cuda:N"; "cpu" outside a worker."""
    return _device


def tell(name: str, share: float, words: str = "") -> None:
    """Called by a job: this share of it is done; nothing happens outside a worker."""
    if _progress is not None:
        _progress.put((name, share, words))


def available_gpus() -> tuple[str, ...]:
    """`cuda:N` of every GPU that this process may use."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return tuple(f"cuda:{index}" for index in range(count))


def run_jobs(
    jobs: Mapping[str, Job],
    plan: Any,
    processes: int,
    gpus: Sequence[str] = (),
    on_done: Callable[[str, float], None] | None = None,
) -> dict[str, Exception]:
    """Runs all jobs that are not done in worker processes of one thread each, with one bar and the time left.

    What the most work waits for is started first.

    Args:
        jobs: By name.
        plan: First argument of every job; the same in every process.
        processes: Worker processes on the CPU.
        gpus: Devices that get a worker of their own; without any everything runs on the CPU.
        on_done: Called with name and seconds of each job that has run.

    Returns:
        What jobs that use networks raised, by their names. Jobs that need one of them were not started.

    Raises:
        RuntimeError: A worker process was killed; says what to do.
        Exception: What another job raised; nothing further is started then.
    """
    waiting = {name: job for name, job in _by_urgency(jobs).items() if not job.is_done}
    done = set(jobs) - set(waiting)
    failed: dict[str, Exception] = {}
    given_up: set[str] = set()
    if not waiting:
        return failed
    context = multiprocessing.get_context("spawn")
    channel, places = context.Queue(), context.Queue()
    for place in gpus:
        places.put(place)
    running: dict[Future[float], str] = {}
    with (
        ProcessPoolExecutor(processes, context, _start_worker, (channel, None)) as on_cpu,
        ProcessPoolExecutor(max(len(gpus), 1), context, _start_worker, (channel, places)) as on_gpu,
        _Bar({name: job.cost for name, job in waiting.items()}) as bar,
    ):
        free = {on_cpu: processes, on_gpu: len(gpus)}
        lanes = {name: on_gpu if job.uses_network and gpus else on_cpu for name, job in waiting.items()}
        while waiting or running:
            for name, job in list(waiting.items()):
                if not given_up.isdisjoint(job.needed):
                    given_up.add(name)
                    del waiting[name]
                    bar.finish(name)
                    continue
                lane = lanes[name]
                if free[lane] and done.issuperset(job.needed):
                    running[lane.submit(_timed, job.work, plan, job.arguments)] = name
                    free[lane] -= 1
                    del waiting[name]
            finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            bar.listen(channel)
            for future in finished:
                name = running.pop(future)
                free[lanes[name]] += 1
                bar.finish(name)
                if error := _error(future, name, jobs[name], (on_cpu, on_gpu)):
                    failed[name] = error
                    given_up.add(name)
                    continue
                done.add(name)
                if on_done is not None:
                    on_done(name, future.result())
    return failed


def _error(future: "Future[float]", name: str, job: Job, pools: Sequence[Any]) -> Exception | None:
    """What a job that uses a network raised; an error of another one ends everything."""
    error = future.exception()
    if error is None:
        return None
    if job.uses_network and isinstance(error, Exception) and not isinstance(error, BrokenProcessPool):
        logger.warning("%s failed, the rest goes on: %s", name, error, exc_info=error)
        return error
    for pool in pools:
        pool.shutdown(wait=False, cancel_futures=True)
    if isinstance(error, BrokenProcessPool):
        raise RuntimeError(
            f"the process that worked on {name!r} was killed, perhaps for memory: run the same command "
            "again, it goes on where it was"
        ) from error
    raise error


def _by_urgency(jobs: Mapping[str, Job]) -> dict[str, Job]:
    """The jobs by falling cost of the longest chain of work that begins with them."""
    followers: dict[str, list[str]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        for needed in job.needed:
            followers[needed].append(name)
    chain: dict[str, float] = {}

    def length(name: str) -> float:
        if name not in chain:
            chain[name] = jobs[name].cost + max(map(length, followers[name]), default=0.0)
        return chain[name]

    return dict(sorted(jobs.items(), key=lambda item: -length(item[0])))


def _timed(work: Callable[..., None], plan: Any, arguments: tuple[Any, ...]) -> float:
    began = time.monotonic()
    work(plan, *arguments)
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
    """One bar for all jobs, in seconds of one core."""

    def __init__(self, costs: Mapping[str, float]) -> None:
        self.costs = costs
        self.shares = dict.fromkeys(costs, 0.0)
        form = "{percentage:3.0f}%|{bar:30}| {elapsed} run, {remaining} left{postfix}"
        # Rates of the kinds of jobs differ: only the mean of all tells the time left.
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
        """The job is done."""
        self._move(name, 1.0)

    def _move(self, name: str, share: float) -> None:
        share = min(max(share, self.shares[name]), 1.0)
        self.bar.update((share - self.shares[name]) * self.costs[name])
        self.shares[name] = share
