"""One training by several processes, a GPU each: of this computer, or of several where torchrun starts them.

The first process learns as it would alone, keeps the state and tells of progress; the others follow it step
by step. On one computer they are started for a training and end with it. torchrun (`joined`) starts one on
every GPU of every computer before the command is looked at, and ends all when one fails.
"""

import os
import pickle
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context, parent_process
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
from torch import distributed, multiprocessing

from osln.learning.fit import Learned, Lesson, Progress, cpu_threads, fit
from osln.learning.team import Team

N = TypeVar("N", bound=torch.nn.Module)
Listener = Callable[[Progress], None]

PATIENCE = timedelta(days=7)
"""How long a process waits for the others: the first one judges networks meanwhile. That one has ended is
seen by whoever started it, not by waiting."""
LOOK_SECONDS = 0.2
GRACE_SECONDS = 5.0
"""Between being asked to end and being ended."""


def fit_together(
    lesson: Lesson[N],
    devices: Sequence[str],
    *,
    threads: int | None = 1,
    resume_path: str | Path | None = None,
    on_progress: Listener | None = None,
) -> Learned[N]:
    """`fit` by a process for each device; the losses are those of one process up to rounding.

    Args:
        lesson: One whose loss and network ask its `team`.
        devices: Of the processes, "cuda:N" or "cpu"; with one alone, `fit`. Under torchrun only their number
            counts, since each process knows its own.
        threads: CPU threads of each process; with None they share the cores.
        resume_path, on_progress: As of `fit`; asked by the first process alone.

    Returns:
        As `fit`, the network on the CPU unless there is one device.

    Raises:
        ValueError: As of `fit`; or a process has ended, and which.
        ChildProcessError: The same under torchrun: nothing can follow, as the others stand anywhere.
    """
    options = {"threads": threads, "resume_path": resume_path, "on_progress": on_progress}
    if len(devices) < 2:
        return fit(lesson, **options)  # type: ignore[arg-type]
    if distributed.is_initialized():
        try:
            return _led(lesson, **options)  # type: ignore[arg-type]
        except ValueError as error:
            raise ChildProcessError(str(error)) from error
        except RuntimeError as error:
            raise ChildProcessError(
                f"the training cannot go on: {str(error).splitlines()[0]}. If another process has failed, "
                "torchrun says which; the same command goes on from the last state"
            ) from error
    if threads is None:
        threads = max(1, torch.get_num_threads() // len(devices))
    with tempfile.TemporaryDirectory() as folder:
        given = (lesson, threads, resume_path, on_progress is not None)
        (Path(folder) / "lesson").write_bytes(pickle.dumps(given))
        told: SimpleQueue[Any] = get_context("spawn").SimpleQueue()
        _watch(tuple(devices), folder, told, on_progress)
        return pickle.loads((Path(folder) / "learned").read_bytes())


def _watch(devices: Sequence[str], folder: str, told: "SimpleQueue[Any]", listener: Listener | None) -> None:
    """Starts the processes and waits for their end, handing on what the first one tells."""
    context = multiprocessing.start_processes(_take_part, (devices, folder, told), len(devices), join=False)
    failures: list[str] = []

    def listen() -> None:
        while not told.empty():
            message = told.get()
            if isinstance(message, str):
                failures.append(message)
            elif listener is not None:
                listener(message)

    try:
        while not context.join(LOOK_SECONDS, GRACE_SECONDS):
            listen()
        listen()
    except (multiprocessing.ProcessRaisedException, multiprocessing.ProcessExitedException) as error:
        listen()
        raise ValueError(_why(context.processes, failures or [str(error)])) from error
    finally:
        for process in context.processes:
            process.kill()
            process.join()


def _why(processes: Sequence[Any], failures: Sequence[str]) -> str:
    """What made the processes end: one that was killed, else what was told first: others fail after it."""
    for rank, process in enumerate(processes):
        if process.exitcode < 0 and process.exitcode != -signal.SIGTERM:
            name = signal.Signals(-process.exitcode).name
            return (
                f"process {rank + 1} of the {len(processes)} of the training was ended ({name}"
                f"{'; too little memory?' if name == 'SIGKILL' else ''}): the same command goes on from the "
                "last state"
            )
    return failures[0]


def _take_part(rank: int, devices: Sequence[str], folder: str, told: "SimpleQueue[Any]") -> None:
    """A process of a training on this computer."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if sys.platform == "linux":
        # Nobody else has to hear of it: what comes is believed.
        os.environ.update(GLOO_SOCKET_IFNAME="lo", NCCL_SOCKET_IFNAME="lo")
    place = Path(folder)
    try:
        _meet(devices[rank], f"file://{place / 'meeting'}", rank, len(devices))
        if rank:
            follow(devices[rank])
            _leave()
        lesson, threads, resume_path, listened = pickle.loads((place / "lesson").read_bytes())
        lesson = replace(lesson, device=torch.device(devices[0]))
        listener = told.put if listened else None
        learned = _led(lesson, threads=threads, resume_path=resume_path, on_progress=listener)
        dismiss()
        learned = replace(learned, network=learned.network.to("cpu"))
        (place / "learned").write_bytes(pickle.dumps(learned))
        _leave()
    except ValueError as error:
        told.put(str(error))
        raise
    except Exception as error:
        told.put(f"process {rank + 1} of the {len(devices)} of the training: {type(error).__name__}: {error}")
        raise


def _leave() -> NoReturn:
    """Ends this process at once: on a busy computer the threads of its group have aborted the usual end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        # A process that waits for another one's GPU hears nothing else.
        os._exit(1)


def _meet(device: str, where: str, rank: int = -1, size: int = -1) -> None:
    """Waits for the other processes of the training."""
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    # The lesson is handed out from the CPU, the rest is where the network is.
    backends = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    distributed.init_process_group(backends, init_method=where, rank=rank, world_size=size, timeout=PATIENCE)


def _team() -> Team:
    return Team(distributed.get_rank(), distributed.get_world_size())


def _led(lesson: Lesson[N], threads: int | None, **options: Any) -> Learned[N]:
    """`fit` in the first process, which the others follow."""
    team = _team()
    with cpu_threads(threads):
        team.handed((lesson, torch.get_num_threads()))
        return fit(replace(lesson, team=team), threads=None, **options)


def follow(device: str) -> None:
    """Learns with the first process whatever it learns, until it dismisses the others."""
    team = _team()
    while (given := team.handed(None)) is not None:
        lesson, threads = given
        fit(replace(lesson, team=team, device=torch.device(device)), threads=threads)


def dismiss() -> None:
    """Called by the first process: there is nothing more to learn."""
    _team().handed(None)


@contextmanager
def joined(device: str) -> Iterator[Team]:
    """Joins the other processes of torchrun for a while; if the first one fails, it does not dismiss them.

    Args:
        device: "cpu", or "cuda" for the GPU of the process' place on its computer.

    Yields:
        Team of this process. All but the first `follow`, and end with the context.
    """
    _meet(device, "env://")
    yield _team()
    if distributed.get_rank():
        _leave()
    dismiss()
    # Not after an error: that would wait for processes which wait for this one.
    distributed.destroy_process_group()
