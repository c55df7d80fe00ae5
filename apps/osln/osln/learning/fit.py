"""How any network learns: in steps that are counted, reported now and then, and gone on with after a stop.

What is particular to a network is its `Lesson`; `fit` does the rest, the same for all. A budget is a number
of steps, never a time, so that a result does not depend on the computer. On one thread of a CPU it depends
on the lesson alone, interrupted or not.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from osln.learning.schedule import learning_rate, set_rate
from osln.learning.state import StateFile, fingerprint
from osln.learning.team import ALONE, Team

N = TypeVar("N", bound=torch.nn.Module)


@dataclass(frozen=True)
class Progress:
    """State of a training at a report.

    Attributes:
        step, steps: So far and in all.
        epoch_steps: Steps from one report to the next.
        losses: Means since the last report by name; "total" is what is minimized.
        validation: Figures of the last look at the validation patients, or None.
        seconds_left: Estimate from the steps of this run.
    """

    step: int
    steps: int
    epoch_steps: int
    losses: Mapping[str, float]
    validation: Mapping[str, Any] | None
    seconds_left: float

    @property
    def share(self) -> float:
        """Part of the training that is done, 0 to 1."""
        return self.step / self.steps

    @property
    def loss(self) -> float:
        """Mean of what is minimized since the last report."""
        return self.losses["total"]

    @property
    def epoch(self) -> int:
        """Reports so far."""
        return -(-self.step // self.epoch_steps)

    @property
    def epochs(self) -> int:
        """Reports in all."""
        return -(-self.steps // self.epoch_steps)


@dataclass(kw_only=True)
class Lesson(ABC, Generic[N]):
    """What is particular to a training: its numbers, and the answers to five questions.

    Attributes:
        steps: In all.
        epoch_steps: Steps from one report to the next.
        seed: Of the first weights, and of what the lesson draws in its steps.
        device: Where the network learns.
        learning_rate: At its highest.
        largest_gradient: Norm that a longer gradient is shortened to; None leaves it.
        team: Processes that learn together; the loss of a lesson that may have others is that of all parts.
    """

    steps: int
    epoch_steps: int
    seed: int
    device: torch.device
    learning_rate: float
    largest_gradient: float | None = None
    team: Team = ALONE

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"iterations or epochs must be at least 1, not {self.steps}")

    @abstractmethod
    def network(self) -> N:
        """The network on the device; first weights are drawn from torch's own source of chance."""

    @abstractmethod
    def optimizer(self, network: N) -> torch.optim.Optimizer:
        """What changes the weights; `rate` says by how much."""

    @abstractmethod
    def loss(self, network: N, step: int) -> dict[str, torch.Tensor]:
        """Losses of a step by name; "total" is minimized. Chance depends on the seed and the step alone."""

    @abstractmethod
    def identity(self) -> tuple[dict[str, Any], Iterable[object]]:
        """Which training it is.

        Returns:
            Its record, JSON values that are kept with the weights; and the arrays and plain values that the
            result depends on besides the record and the first weights.
        """

    def look(self, network: N, step: int) -> dict[str, Any] | None:
        """Figures of the validation patients after so many steps, JSON values; None leaves the former."""
        return None

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        return learning_rate(self.learning_rate, step, self.steps)

    def close(self) -> None:
        """Ends what works for the lesson besides, at the end of the training and after an error."""


@dataclass(frozen=True)
class Learned(Generic[N]):
    """Outcome of a training.

    Attributes:
        network: On the device.
        record: The lesson's, with seed, device, version of torch and seconds.
        reports: Step and mean losses of each report.
        validation: Figures of the last look at the validation patients.
    """

    network: N
    record: dict[str, Any]
    reports: list[dict[str, float]]
    validation: dict[str, Any] | None

    @property
    def losses(self) -> list[dict[str, float]]:
        """The reports as a record shows them, to four decimals."""
        return [{name: round(value, 4) for name, value in report.items()} for report in self.reports]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """As `weights_of`."""
        return weights_of(self.network)


def fit(
    lesson: Lesson[N],
    *,
    threads: int | None = 1,
    resume_path: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Learned[N]:
    """Teach a network its lesson.

    Args:
        lesson: What is learned, and how.
        threads: CPU threads during the training; as they are if None.
        resume_path: File of the state (`StateFile`). Gone on from if it belongs to exactly this training,
            with the same result as without the interruption; if not, that is told and it is written over.
            It is left in place: whoever stores the weights removes it. None keeps nothing.
        on_progress: Called after each report.

    Raises:
        ValueError: The resume file is damaged, or a loss is not a number.
    """
    with cpu_threads(threads), closing(lesson):
        run = _Run(lesson, resume_path)
        at, began, first = run.at, time.monotonic(), run.at.step
        while at.step < lesson.steps:
            losses = run.epoch()
            if on_progress is not None:
                left = (time.monotonic() - began) / (at.step - first) * (lesson.steps - at.step)
                on_progress(Progress(at.step, lesson.steps, lesson.epoch_steps, losses, at.validation, left))
    record = run.record | {"seconds": round(at.seconds, 1)}
    return Learned(run.network, record, at.reports, at.validation)


@dataclass
class _Position:
    """How far a training is: what its state holds besides network and optimizer."""

    step: int = 0
    seconds: float = 0.0
    reports: list[dict[str, float]] = field(default_factory=list)
    steps_of_report: list[dict[str, float]] = field(default_factory=list)
    """Losses of each step since the last report."""
    validation: dict[str, Any] | None = None


class _Run(Generic[N]):
    """A lesson with its network, optimizer and position, at the start or where it was interrupted."""

    def __init__(self, lesson: Lesson[N], resume_path: str | Path | None) -> None:
        self.lesson = lesson
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(lesson.seed)
            self.network = lesson.network()
        self.optimizer = lesson.optimizer(self.network)
        told, parts = lesson.identity()
        about: dict[str, Any] = {
            "seed": lesson.seed,
            "device": lesson.device.type,
            "torch": str(torch.__version__),
        }
        if lesson.team.size > 1:
            about["processes"] = lesson.team.size
        self.record = told | about
        first_weights = chain.from_iterable(self.network.state_dict().items())
        key = fingerprint(sorted(self.record.items()), *parts, *first_weights)
        path = None if resume_path is None or lesson.team.rank else Path(resume_path)
        count = lesson.team.size
        self.file = StateFile(path, key, f"{count} process{'es' if count > 1 else ''}")
        self.at = _Position()
        # The state of a former version of the software may hold other things: the training starts anew.
        state = lesson.team.handed(self.file.load(self._content()))
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.at = _Position(**{name: state[name] for name in vars(self.at)})

    def epoch(self) -> dict[str, float]:
        """Steps up to the next report; returns the mean losses since the last one."""
        lesson, at = self.lesson, self.at
        last = min((at.step // lesson.epoch_steps + 1) * lesson.epoch_steps, lesson.steps)
        self.network.train()
        while at.step < last:
            began = time.monotonic()
            at.steps_of_report.append(self._descend())
            at.step += 1
            at.seconds += time.monotonic() - began
            if at.step < last:
                # After the last one the report's own figures belong to the state.
                self.file.save(self._content)
        rows, at.steps_of_report = at.steps_of_report, []
        means = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        at.reports.append({"step": float(at.step), **means})
        figures = lesson.look(self.network, at.step) if lesson.team.rank == 0 else None
        at.validation = at.validation if figures is None else figures
        self.file.save(self._content, at_once=at.step == lesson.steps)
        return means

    def _descend(self) -> dict[str, float]:
        """One step along the gradient; returns its losses."""
        lesson, step = self.lesson, self.at.step
        losses, rate = lesson.loss(self.network, step), lesson.rate(step)
        if not torch.isfinite(losses["total"]):
            raise ValueError(
                f"the loss is not a number at step {step + 1}: lower the learning rate (now {rate:.2g}) or "
                "look for broken voxels in the training images"
            )
        set_rate(self.optimizer, rate)
        losses["total"].backward()
        lesson.team.mean_gradients(self.network.parameters())
        if lesson.largest_gradient is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), lesson.largest_gradient)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {name: value.item() for name, value in losses.items()}

    def _content(self) -> dict[str, Any]:
        """All that the training goes on from."""
        parts = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        return vars(self.at) | parts


def weights_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copy of the weights on the CPU, as a `Checkpoint` holds them."""
    return {
        name: value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        for name, value in network.state_dict().items()
    }


@contextmanager
def cpu_threads(threads: int | None) -> Iterator[None]:
    """CPU threads of torch for a while; None leaves them."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
