"""Training of one stage-one network, the same from the server, the command line and the experiments.

The loss is batch Dice plus cross-entropy on the sigmoid, counted inside the network's zone only. The
budget is a number of steps, never a time, so that a result does not depend on the computer. On one
thread of a CPU the result depends on seed and data alone, interrupted or not.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from osln.column import Column
from osln.experiments import Preset, Segmenter
from osln.networks.build import segmenter_network
from osln.recipe import bf16_is_sound, learning_rate, masked_loss
from osln.sampling import PatchSampler
from osln.training_state import StateFile, cpu_threads
from osln.transforms import Scaling
from osln.validation import evaluate
from osln.weights import Checkpoint

EPOCH_STEPS = 50
"""Steps between two reports; a small cohort has no natural epoch."""
VALIDATIONS = 5
"""How often in a training the validation patients are looked at: a look costs as much as many steps."""


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


def train(
    segmenter: Segmenter,
    preset: Preset,
    train_columns: Sequence[Column],
    validation_columns: Sequence[Column] = (),
    *,
    iterations: int | None = None,
    seed: int = 0,
    initial: Checkpoint | None = None,
    scaling: Scaling | None = None,
    trained_on: str = "patients",
    device: str = "cpu",
    threads: int | None = 1,
    validations: int = VALIDATIONS,
    resume_path: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Checkpoint:
    """Train a network, from scratch or from a checkpoint.

    Args:
        segmenter: Which network: inputs and zone.
        preset: Size and recipe; must be the checkpoint's own when `initial` is given (its learning rate
            and steps may differ).
        train_columns: Patients to learn from.
        validation_columns: Patients for the progress figures; nothing is chosen by them.
        iterations: Steps; the preset's number if omitted.
        seed: Of first weights and patches.
        initial: Checkpoint to go on from; its scaling is kept.
        scaling: Preprocessing numbers; fitted to the training patients if omitted.
        trained_on: What the weights may claim: "phantom" or "patients".
        device: "cpu", "cuda" or "cuda:N".
        threads: CPU threads during the training; as they are if None.
        validations: How often the validation patients are looked at.
        resume_path: File that holds the state after each step (`StateFile`). If it is there and belongs to
            exactly this training it is gone on from, with the same result as without the interruption. It
            is left in place; whoever stores the checkpoint removes it.
        on_progress: Called after each epoch.

    Returns:
        Checkpoint with the training's record in its metadata.

    Raises:
        ValueError: No usable patient, another network's checkpoint, or a loss that is not a number.
    """
    steps = preset.iterations if iterations is None else int(iterations)
    if steps < 1:
        raise ValueError(f"iterations must be at least 1, not {steps}")
    if initial is not None:
        _check_initial(initial, segmenter, preset)
        scaling = initial.scaling
    elif scaling is None:
        scaling = fit_scaling(segmenter, train_columns)
    sampler = PatchSampler(train_columns, segmenter, preset, scaling, seed)
    record: dict[str, Any] = {
        "segmenter": segmenter.name,
        "backbone": segmenter.backbone,
        "preset": preset.name,
        "seed": seed,
        "iterations": steps,
        "learning_rate": preset.learning_rate,
        "started_from": None if initial is None else _fingerprint(initial),
        "train_cases": [case.case for case in train_columns],
        "validation_cases": [case.case for case in validation_columns],
        "device": device.split(":")[0],
        "torch": str(torch.__version__),
    }
    key = _run_key(record, preset, scaling, train_columns)
    with cpu_threads(threads):
        state = StateFile(None if resume_path is None else Path(resume_path), key)
        run = _Run(segmenter, preset, steps, seed, initial, device)
        run.resume(state)
        began, first = time.monotonic(), run.iteration
        epochs = -(-steps // EPOCH_STEPS)
        every = max(1, round(epochs / validations)) if validations and validation_columns else 0
        while run.iteration < steps:
            epoch = run.iteration // EPOCH_STEPS + 1
            loss, dice = run.epoch(sampler, min(epoch * EPOCH_STEPS, steps), state)
            if every and (epoch % every == 0 or epoch == epochs):
                run.validation = evaluate(run.checkpoint(segmenter, scaling), validation_columns, device)
            run.losses.append((run.iteration, loss, dice))
            run.steps_of_epoch = []
            state.save(run.content, at_once=True)
            if on_progress is not None:
                left = (time.monotonic() - began) / (run.iteration - first) * (steps - run.iteration)
                on_progress(Progress(epoch, epochs, run.iteration, steps, loss, dice, run.validation, left))
    record |= {"seconds": round(run.seconds, 1), "losses": run.losses, "validation": run.validation}
    return replace(run.checkpoint(segmenter, scaling), trained_on=trained_on, metadata=record)


class _Run:
    """Network, optimizer and position of a training."""

    def __init__(
        self,
        segmenter: Segmenter,
        preset: Preset,
        steps: int,
        seed: int,
        initial: Checkpoint | None,
        device: str,
    ) -> None:
        self.device = torch.device(device)
        self.preset, self.steps = preset, steps
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = segmenter_network(segmenter, preset)
        if initial is not None:
            network.load_state_dict(dict(initial.state_dict))
        # Without channels_last_3d a bf16 step takes 70 times as long on a CPU.
        self.network = network.to(self.device, memory_format=torch.channels_last_3d)
        self.optimizer = torch.optim.RAdam(
            self.network.parameters(),
            lr=preset.learning_rate,
            betas=preset.betas,
            weight_decay=preset.weight_decay,
            decoupled_weight_decay=True,
        )
        shape = (1, len(segmenter.inputs), *preset.patch)
        empty = torch.zeros(shape, device=self.device).to(memory_format=torch.channels_last_3d)
        self.bf16 = bf16_is_sound(self.device, self.network, lambda: self.network(empty))
        self.iteration = 0
        self.seconds = 0.0
        self.losses: list[tuple[int, float, float]] = []
        self.steps_of_epoch: list[tuple[float, float]] = []
        """Loss and Dice loss of each step of the epoch that is not over."""
        self.validation: dict[str, Any] | None = None

    def checkpoint(self, segmenter: Segmenter, scaling: Scaling) -> Checkpoint:
        """The network as it is now."""
        weights = {
            name: value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
            for name, value in self.network.state_dict().items()
        }
        return Checkpoint(segmenter.name, self.preset.name, scaling, weights, trained_on="")

    def epoch(self, sampler: PatchSampler, until: int, state: StateFile) -> tuple[float, float]:
        """Steps up to `until`; returns mean loss and mean Dice loss of the epoch."""
        self.network.train()
        while self.iteration < until:
            began = time.monotonic()
            rate = learning_rate(self.preset.learning_rate, self.iteration, self.steps)
            self.optimizer.param_groups[0]["lr"] = rate
            inputs, target, mask = (
                torch.from_numpy(array).to(self.device) for array in sampler.batch(self.iteration)
            )
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                logits = self.network(inputs.to(memory_format=torch.channels_last_3d))
            loss, dice = masked_loss(logits.float(), target, mask, self.preset.positive_weight)
            if not torch.isfinite(loss):
                raise ValueError(
                    f"the loss is not a number at step {self.iteration + 1}: lower the learning rate "
                    f"(now {rate:.2g}) or look for broken voxels in the training images"
                )
            loss.backward()
            self.optimizer.step()
            self.iteration += 1
            self.steps_of_epoch.append((loss.item(), dice.item()))
            self.seconds += time.monotonic() - began
            if self.iteration < until:
                # After the last one the epoch's own figures belong to the state; `train` saves it.
                state.save(self.content)
        losses, dices = zip(*self.steps_of_epoch, strict=True)
        return sum(losses) / len(losses), sum(dices) / len(dices)

    def content(self) -> dict[str, Any]:
        """All that the training goes on from."""
        return {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "losses": self.losses,
            "steps_of_epoch": self.steps_of_epoch,
            "validation": self.validation,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def resume(self, file: StateFile) -> None:
        """Go on from the file if it belongs to this training, not if it is of other data."""
        state = file.load(self.device)
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.iteration, self.seconds = state["iteration"], state["seconds"]
        self.losses = [tuple(entry) for entry in state["losses"]]
        self.steps_of_epoch = [tuple(entry) for entry in state["steps_of_epoch"]]
        self.validation = state["validation"]


def _check_initial(initial: Checkpoint, segmenter: Segmenter, preset: Preset) -> None:
    if initial.name != segmenter.name:
        raise ValueError(f"the first weights are of {initial.name}, not of {segmenter.name}")
    if initial.preset != preset.name:
        raise ValueError(
            f"the first weights have preset {initial.preset}, not {preset.name}: train from scratch instead"
        )


def fit_scaling(segmenter: Segmenter, columns: Sequence[Column]) -> Scaling:
    """Preprocessing numbers of a network: fitted to the training patients' PET if it sees PET."""
    pets = [column.pet_suv for column in columns if column.pet_suv is not None]
    return Scaling.fit(pets if segmenter.needs_pet else [])


def _fingerprint(checkpoint: Checkpoint) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(checkpoint.state_dict.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _run_key(record: dict[str, Any], preset: Preset, scaling: Scaling, cases: Sequence[Column]) -> str:
    """Identity of a training: settings, first weights and labels."""
    digest = hashlib.sha256(repr((sorted(record.items()), asdict(preset), scaling.to_dict())).encode())
    for case in cases:
        digest.update(np.ascontiguousarray(case.nodes).tobytes())
    return digest.hexdigest()
