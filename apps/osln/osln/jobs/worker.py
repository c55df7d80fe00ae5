"""The process that makes an artifact: where it computes, and how it tells how far it is."""

import os
import pickle
import time
from collections.abc import Callable
from typing import Any

import torch

from osln.jobs.artifact import Made
from osln.jobs.memory import few_heaps
from osln.learning.fit import Progress

Tell = Callable[[tuple[str, float, str]], Any]
"""Takes name of the artifact, share that is done and words to whoever runs the job."""

_tell: Tell | None = None
_device = "cpu"
_name = ""
"""What this worker makes."""


def device() -> str:
    """Where the worker that asks computes: "cpu" or "cuda:N"; "cpu" outside a worker."""
    return _device


def tell(share: float, words: str = "") -> None:
    """Called by what makes an artifact: this share of it is done; nothing happens outside a worker."""
    if _tell is not None:
        _tell((_name, share, words))


def tell_training(state: Progress) -> None:
    """`tell` of a training: what `fit` calls after each report."""
    tell(state.share, f"loss {state.loss:.3f}")


def start(teller: Tell, place: str, core: int | None) -> None:
    """Makes this process a worker: one thread and low priority, so that the computer stays usable.

    Args:
        teller: Where `tell` goes.
        place: What `device` says.
        core: The one that it keeps to; None leaves it all that the process may use.
    """
    global _tell, _device
    _tell, _device = teller, place
    torch.set_num_threads(1)
    os.nice(max(0, 5 - os.nice(0)))
    few_heaps()
    if core is not None:
        # Runtimes with thread pools of their own would otherwise fill all cores from every worker.
        os.sched_setaffinity(0, {core})


def make(name: str, work: Callable[[], Any]) -> Made:
    """Makes an artifact in this worker.

    Raises:
        Exception: What `work` raised; `RuntimeError` with its name and words if that could not be sent.
    """
    global _name
    _name = name
    began = time.monotonic()
    try:
        value = work()
    except Exception as error:
        if _can_be_sent(error):
            raise
        raise RuntimeError(f"{type(error).__name__}: {error}") from error
    return Made(time.monotonic() - began, value)


def _can_be_sent(error: Exception) -> bool:
    """Whether another process gets it: one that fails as it is unpacked there reads as a killed worker."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True
