"""A training that is counted in steps, reported now and then, and gone on from where it was interrupted."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from osln.learning.state import StateFile


@dataclass(frozen=True)
class StepProgress:
    """State of a training at a report.

    Attributes:
        step, steps: So far and in all.
        losses: Means since the last report by name; "total" is what is minimized.
        seconds_left: Estimate from the steps of this run.
    """

    step: int
    steps: int
    losses: dict[str, float]
    seconds_left: float


class StepRun(ABC):
    """Network, optimizer and position of a training.

    Args:
        network: On the device.
        optimizer: Of the network.
        steps: In all.
        device: That of the network.
    """

    def __init__(
        self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int, device: torch.device
    ) -> None:
        self.network, self.optimizer, self.steps, self.device = network, optimizer, steps, device
        self.step = 0
        self.seconds = 0.0
        self.reports: list[dict[str, float]] = []
        """Step and mean losses of each report."""
        self.steps_of_report: list[dict[str, float]] = []
        """Losses of each step since the last report."""
        self.validation: dict[str, Any] | None = None
        """Figures of the last look at the validation patients."""

    @abstractmethod
    def one_step(self) -> dict[str, float]:
        """Do step number `step`, which alone decides what chance does in it; returns its losses."""

    def descend(
        self, loss: torch.Tensor, rate: float, *, largest_gradient: float | None = None, place: str = ""
    ) -> None:
        """Change the weights by the gradient of a loss.

        Args:
            loss: Scalar.
            rate: Learning rate.
            largest_gradient: Norm that a longer gradient is shortened to.
            place: Where the training is, for the error; "at step N" if omitted.

        Raises:
            ValueError: The loss is not a number.
        """
        if not torch.isfinite(loss):
            raise ValueError(
                f"the loss is not a number {place or f'at step {self.step + 1}'}: lower the learning rate "
                f"(now {rate:.2g}) or look for broken voxels in the training images"
            )
        set_rate(self.optimizer, rate)
        loss.backward()
        if largest_gradient is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), largest_gradient)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def weights(self) -> dict[str, torch.Tensor]:
        """Copy of the weights on the CPU, as a `Checkpoint` holds them."""
        return {
            name: value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
            for name, value in self.network.state_dict().items()
        }

    @property
    def losses(self) -> list[dict[str, float]]:
        """The reports as a record shows them, to four decimals."""
        return [{name: round(value, 4) for name, value in report.items()} for report in self.reports]

    def finish(
        self,
        report_steps: int,
        resume_path: str | Path | None,
        key: str,
        on_progress: Callable[[StepProgress], None] | None,
        look: Callable[[], dict[str, Any] | None] | None = None,
    ) -> None:
        """Do the steps that are left.

        Args:
            report_steps: Steps between two reports.
            resume_path: File of the state after each step (`StateFile`); gone on from if it belongs to the
                training that `key` identifies, written over if not, left in place at the end. None keeps
                nothing.
            key: Identity of the training.
            on_progress: Called after each report.
            look: Gives the figures of the validation patients at each report; there are none if omitted.
        """
        state = StateFile(None if resume_path is None else Path(resume_path), key)
        self._resume(state)
        began, first = time.monotonic(), self.step
        while self.step < self.steps:
            losses = self._until(min((self.step // report_steps + 1) * report_steps, self.steps), state)
            if look is not None:
                self.validation = look()
            state.save(self._content, at_once=True)
            if on_progress is not None:
                left = (time.monotonic() - began) / (self.step - first) * (self.steps - self.step)
                on_progress(StepProgress(self.step, self.steps, losses, left))

    def _until(self, last: int, state: StateFile) -> dict[str, float]:
        """Steps up to `last`; returns the mean losses since the last report."""
        self.network.train()
        while self.step < last:
            began = time.monotonic()
            self.steps_of_report.append(self.one_step())
            self.step += 1
            self.seconds += time.monotonic() - began
            if self.step < last:
                # After the last one the report's own figures belong to the state; `finish` saves it.
                state.save(self._content)
        rows, self.steps_of_report = self.steps_of_report, []
        means = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        self.reports.append({"step": float(self.step), **means})
        return means

    def _content(self) -> dict[str, Any]:
        """All that the training goes on from."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "reports": self.reports,
            "steps_of_report": self.steps_of_report,
            "validation": self.validation,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def _resume(self, file: StateFile) -> None:
        """Go on from the file if it belongs to this training and holds what this class writes."""
        state = file.load(self.device)
        if state is None or not self._content().keys() <= state.keys():
            return
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.reports = state["step"], state["seconds"], state["reports"]
        self.steps_of_report, self.validation = state["steps_of_report"], state["validation"]


def weight_groups(network: torch.nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Parameter groups of an optimizer: biases do not decay; their rate is "times" 2 that of the weights."""
    named = list(network.named_parameters())
    return [
        {
            "params": [value for name, value in named if name.endswith("bias") == is_bias],
            "weight_decay": decay,
            "times": times,
        }
        for is_bias, decay, times in ((False, weight_decay, 1.0), (True, 0.0, 2.0))
    ]


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate; that of a group of `weight_groups` is so many "times" it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("times", 1.0)


@dataclass(frozen=True)
class Progress:
    """State of a training after an epoch.

    Attributes:
        epoch, epochs: Reports so far and in all.
        iteration, iterations: Steps so far and in all.
        loss: Mean loss of the epoch.
        dice_loss: Its Dice part.
        validation: Figures of `validation.evaluate` from the last look at the validation patients, or None.
        seconds_left: Estimate from the steps of this run.
    """

    epoch: int
    epochs: int
    iteration: int
    iterations: int
    loss: float
    dice_loss: float
    validation: dict[str, Any] | None
    seconds_left: float


def by_epochs(
    on_progress: Callable[[Progress], None] | None, run: StepRun, epoch_steps: int
) -> Callable[[StepProgress], None] | None:
    """What `run.finish` calls where the caller asked for a `Progress`; None if nobody asked."""
    if on_progress is None:
        return None
    return lambda at: on_progress(
        Progress(
            epoch=-(-at.step // epoch_steps),
            epochs=-(-at.steps // epoch_steps),
            iteration=at.step,
            iterations=at.steps,
            loss=at.losses["total"],
            dice_loss=at.losses.get("dice", 0.0),
            validation=run.validation,
            seconds_left=at.seconds_left,
        )
    )
