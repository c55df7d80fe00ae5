"""An experiment cut into jobs for worker processes.

Each job leaves its result in a file and does nothing if the file is there, so that a stopped experiment
goes on where it was.
"""

import multiprocessing
import os
import queue
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

_progress: Any = None
"""Queue to the main process, set in each worker."""


@dataclass(frozen=True)
class Job:
    """Work for a worker process: called with the plan and the arguments when the needed jobs are done."""

    work: Callable[..., None]
    arguments: tuple[Any, ...]
    needed: tuple[str, ...]


def tell(name: str, steps: int, loss: float | None) -> None:
    """Called by a job: so many steps are done; nothing happens outside a worker."""
    if _progress is not None:
        _progress.put((name, steps, loss))


def run_jobs(jobs: Mapping[str, Job], plan: Any, processes: int, steps: int) -> None:
    """Runs all jobs in worker processes of one thread each, the first possible one first, with one bar.

    Args:
        jobs: By name, the most wanted first.
        plan: First argument of every job; the same in every process.
        processes: Worker processes.
        steps: How many steps the jobs will tell in all.

    Raises:
        Exception: What a job raised; nothing further is started then.
    """
    context = multiprocessing.get_context("spawn")
    channel = context.Queue()
    done: set[str] = set()
    running: dict[Future[None], str] = {}
    with (
        ProcessPoolExecutor(processes, context, _start_worker, (channel,)) as pool,
        tqdm(total=steps, unit="step", smoothing=0.05) as bar,
    ):
        while len(done) < len(jobs):
            for name, job in jobs.items():
                free = len(running) < processes and name not in done and name not in running.values()
                if free and done.issuperset(job.needed):
                    running[pool.submit(job.work, plan, *job.arguments)] = name
            finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            _show(bar, channel, running.values())
            for future in finished:
                done.add(running.pop(future))
                if future.exception() is not None:
                    pool.shutdown(cancel_futures=True)
                    future.result()


def _start_worker(channel: Any) -> None:
    """One thread and low priority, so that the computer stays usable."""
    global _progress
    _progress = channel
    torch.set_num_threads(1)
    os.nice(5)
    if hasattr(os, "sched_setaffinity"):
        # Runtimes with thread pools of their own would otherwise fill all cores from every worker.
        number = (multiprocessing.current_process()._identity or (0,))[0]
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[number % len(allowed)]})


def _show(bar: Any, channel: Any, running: Any) -> None:
    """Move the bar by what the workers have sent."""
    while True:
        try:
            name, steps, loss = channel.get_nowait()
        except queue.Empty:
            break
        bar.update(steps)
        if loss is not None:
            bar.set_postfix_str(f"{name} loss {loss:.3f}")
    kinds = {name.split(" ")[0] for name in running}
    if len(kinds) == 1 and not bar.n:
        bar.set_postfix_str(f"making {kinds.pop()}")
