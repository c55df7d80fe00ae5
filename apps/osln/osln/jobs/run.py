"""Has artifacts made by an engine, in the order of their needs.

Each leaves its files and is not made again if they are there, so that a stopped run goes on where it was.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

from osln.jobs.artifact import Artifact, Made, by_urgency, with_needs
from osln.jobs.bar import Bar
from osln.jobs.engine import Engine, LostError

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""How long nothing may run before it is told what is waited for; workers take seconds to start."""


class KilledError(RuntimeError):
    """A worker was killed, and what it made is not begun again."""


def run_jobs(
    wanted: Iterable[Artifact], engine: Engine, on_done: Callable[[str, Made], None] | None = None
) -> dict[str, Exception]:
    """Makes what is not there, with one bar and the time left; what the most work waits for comes first.

    Args:
        wanted: What they need is made too.
        engine: Makes them; entered only if something is to be made.
        on_done: Called with the name of each artifact that was made, and what came of it.

    Returns:
        What was raised by artifacts that use networks, by their names. What needs them was not started.

    Raises:
        KilledError: A worker was killed; says what to do.
        Exception: What another artifact raised; nothing further is started then.
    """
    artifacts = with_needs(wanted)
    waiting = {name: one for name, one in by_urgency(artifacts).items() if not one.is_made}
    if not waiting:
        return {}
    with engine, Bar({name: one.cost for name, one in waiting.items()}) as bar:
        run = _Run(engine, waiting, artifacts.keys() - waiting.keys())
        while run.waiting or run.running:
            for name in run.start():
                bar.finish(name)
            run.tell_of_waiting()
            if not run.running:
                time.sleep(0.1)
            finished, _ = wait(run.running, timeout=0.5, return_when=FIRST_COMPLETED)
            for told in engine.told():
                bar.hear(*told)
            for future in finished:
                if (one := run.finish(future)) is None:
                    continue
                bar.finish(one.name)
                if on_done is not None and one.name in run.done:
                    on_done(one.name, future.result())
    return run.failed


@dataclass
class _Run:
    """What waits in the order in which it is wanted, what runs, and what came of the others."""

    engine: Engine
    waiting: dict[str, Artifact]
    done: set[str]
    running: dict["Future[Made]", Artifact] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    failed: dict[str, Exception] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    idle_since: float | None = None
    told: bool = False

    def tell_of_waiting(self) -> None:
        """Says once in each pause that there is no place for what waits."""
        if self.running or not self.waiting:
            self.idle_since, self.told = None, False
            return
        now = time.monotonic()
        self.idle_since = now if self.idle_since is None else self.idle_since
        if not self.told and now - self.idle_since >= PATIENCE_SECONDS:
            self.told = True
            one = next(iter(self.waiting.values()))
            logger.warning(
                "nothing has run for %.0f s: no %s is free for %s, and %d others wait; it goes on as soon "
                "as one is: add a computer, or end this run",
                PATIENCE_SECONDS,
                self.engine.place(one).upper(),
                one.name,
                len(self.waiting) - 1,
            )

    def start(self) -> list[str]:
        """Starts what can be made; returns the names of what never can."""
        lost: list[str] = []
        started: list[str] = []
        room = dict(self.engine.room())
        for name, one in self.waiting.items():
            if not any(count > 0 for count in room.values()) and not self.given_up:
                # Those behind wait as well: a cohort of 100,000 is not looked through for each that is made.
                break
            needed = {other.name for other in one.needs}
            place = self.engine.place(one)
            if needed & self.given_up:
                lost.append(name)
                self.given_up.add(name)
            elif room.get(place, 0) > 0 and needed <= self.done:
                self.running[self.engine.submit(one)] = one
                started.append(name)
                room[place] -= 1
        for name in (*lost, *started):
            del self.waiting[name]
        return lost

    def finish(self, future: "Future[Made]") -> Artifact | None:
        """Takes in what was made or has failed, None if it waits once more; errors as in `run_jobs`."""
        one = self.running.pop(future)
        error = future.exception()
        if error is None:
            self.done.add(one.name)
        elif isinstance(error, LostError) and self.lost[one.name] < self.engine.tries:
            logger.warning("the worker of %s was lost, it is made again: %s", one.name, error)
            self.lost[one.name] += 1
            # What is begun again was urgent already.
            self.waiting = {one.name: one, **self.waiting}
            return None
        elif one.uses_network and isinstance(error, Exception) and not isinstance(error, LostError):
            logger.warning("%s failed, the rest goes on: %s", one.name, error, exc_info=error)
            self.failed[one.name] = error
            self.given_up.add(one.name)
        else:
            self.engine.cancel()
            if not isinstance(error, LostError):
                raise error
            raise KilledError(
                f"the process that worked on {one.name!r} was killed, perhaps for memory: run the same "
                "command again, it goes on where it was"
            ) from error
        return one
