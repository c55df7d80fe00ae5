"""The engine of one computer: worker processes, and one of its own for each GPU."""

import multiprocessing
import os
import queue
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch

from osln.jobs import worker
from osln.jobs.artifact import Artifact, Made
from osln.jobs.cores import core_to_keep
from osln.jobs.engine import CPU, GPU, LostError


def available_gpus() -> tuple[str, ...]:
    """`cuda:N` of every GPU that this process may use."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return tuple(f"cuda:{index}" for index in range(count))


class Processes:
    """Processes of one thread each; an `Engine`. A killed process takes the others with it.

    Args:
        processes: Workers on the CPU.
        gpus: Devices that get a worker of their own; without any everything runs on the CPU.
    """

    tries = 0

    def __init__(self, processes: int, gpus: Sequence[str] = ()) -> None:
        self._sizes = {CPU: processes, GPU: len(gpus)}
        self._gpus = gpus
        self._running: list[tuple[Future[Made], str]] = []
        self._pools: dict[str, ProcessPoolExecutor] = {}
        self._channel: Any = None

    def __enter__(self) -> "Processes":
        context = multiprocessing.get_context("spawn")
        self._channel, devices = context.Queue(), context.Queue()
        for name in self._gpus:
            devices.put(name)
        for place, size in self._sizes.items():
            given = (self._channel, devices if place == GPU else None)
            self._pools[place] = ProcessPoolExecutor(max(size, 1), context, _start, given)
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools.values():
            pool.shutdown()

    def place(self, one: Artifact) -> str:
        return GPU if one.uses_network and self._gpus else CPU

    def room(self) -> Mapping[str, int]:
        busy = Counter(place for future, place in self._running if not future.done())
        return {place: size - busy[place] for place, size in self._sizes.items()}

    def submit(self, one: Artifact) -> "Future[Made]":
        place = self.place(one)
        asked = self._pools[place].submit(worker.make, one.name, one.make)
        self._running = [*(pair for pair in self._running if not pair[0].done()), (asked, place)]
        return told_lost(asked, BrokenProcessPool)

    def told(self) -> Iterator[tuple[str, float, str]]:
        while True:
            try:
                yield self._channel.get_nowait()
            except queue.Empty:
                return

    def cancel(self) -> None:
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)


def told_lost(asked: "Future[Made]", *lost: type[BaseException]) -> "Future[Made]":
    """The same answer, with `LostError` for the errors that an engine raises where a worker was lost."""
    answer: Future[Made] = Future()
    # Never cancelled: who waits gets what came of it.
    answer.set_running_or_notify_cancel()

    def pass_on(done: "Future[Made]") -> None:
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or isinstance(error, lost):
            found = LostError(str(error))
            found.__cause__ = error
            answer.set_exception(found)
        elif error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(done.result())

    asked.add_done_callback(pass_on)
    return answer


def _start(channel: Any, devices: Any) -> None:
    """Makes the process a worker that ends with the main process."""
    if devices is None:
        worker.start(channel.put, "cpu", core_to_keep())
    else:
        # Not kept to one core: threads of its own make batches while the GPU learns.
        worker.start(channel.put, devices.get(), None)
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    """A worker whose main process was killed would go on beside the next run and write the same files."""
    parent.join()
    os._exit(1)
