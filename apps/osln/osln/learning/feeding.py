"""Batches that are made while a GPU learns from earlier ones."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """The batches of a training in their order, the next ones made by threads of their own.

    A batch of the `paper` preset keeps a core busy for longer than a fast GPU learns from it. What a batch
    holds does not depend on when or where it is made. `close` ends the threads, which begin with the first
    batch.

    Args:
        make: The batch of a step, from the step alone; several threads call it at once.
        steps: Of the training; no batch is made beyond.
        threads: How many, and how many batches are made ahead; 0 makes each when it is asked for.
    """

    def __init__(self, make: Callable[[int], T], steps: int, threads: int) -> None:
        self._make = make
        self._steps = steps
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._coming: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        """The batch of a step, from 0; what `make` raises, this raises."""
        if not self._threads:
            return self._make(step)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="batches")
        wanted = range(step, min(step + self._threads + 1, self._steps))
        for later in wanted:
            if later not in self._coming:
                self._coming[later] = self._pool.submit(self._make, later)
        ready = self._coming.pop(step).result()
        self._coming = {later: self._coming[later] for later in wanted[1:]}
        return ready

    def close(self) -> None:
        """Ends the threads, when what they are making is made; batches that nobody asked for are dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool, self._coming = None, {}
