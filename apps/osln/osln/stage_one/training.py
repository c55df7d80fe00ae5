"""Training of one stage-one network, the same from the server, the command line and the experiments.

The loss is batch Dice plus cross-entropy on the sigmoid, counted inside the network's zone only. The
budget is a number of steps, never a time, so that a result does not depend on the computer. On one
thread of a CPU the result depends on seed and data alone, interrupted or not.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from osln.imaging.lung_column import Column
from osln.imaging.transforms import Scaling
from osln.learning.arithmetic import learning_rate
from osln.learning.losses import masked_loss
from osln.learning.run import Progress, StepRun, by_epochs
from osln.learning.state import cpu_threads
from osln.networks.build import segmenter_network
from osln.rows.experiments import Preset, Segmenter
from osln.stage_one.sampling import PatchSampler
from osln.stage_one.validation import evaluate
from osln.weights.checkpoint import Checkpoint
from osln.weights.devices import bf16_is_sound

EPOCH_STEPS = 50
"""Steps between two reports; a small cohort has no natural epoch."""
VALIDATIONS = 5
"""How often in a training the validation patients are looked at: a look costs as much as many steps."""


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
    empty = Checkpoint(segmenter.name, preset.name, scaling, {}, trained_on, record)
    epochs = -(-steps // EPOCH_STEPS)
    every = max(1, round(epochs / validations)) if validations and validation_columns else 0

    def look() -> dict[str, Any] | None:
        if every and (-(-run.step // EPOCH_STEPS) % every == 0 or run.step == steps):
            return evaluate(replace(empty, state_dict=run.weights()), validation_columns, device)
        return run.validation

    with cpu_threads(threads):
        run = _Run(sampler, steps, initial, device)
        run.finish(EPOCH_STEPS, resume_path, key, by_epochs(on_progress, run, EPOCH_STEPS), look)
    losses = [(int(one["step"]), one["total"], one["dice"]) for one in run.reports]
    record |= {"seconds": round(run.seconds, 1), "losses": losses, "validation": run.validation}
    return replace(empty, state_dict=run.weights(), metadata=record)


class _Run(StepRun):
    """Network, optimizer and position of a training."""

    def __init__(self, sampler: PatchSampler, steps: int, initial: Checkpoint | None, device: str) -> None:
        self.sampler, self.preset = sampler, sampler.preset
        where = torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sampler.seed)
            network = segmenter_network(sampler.segmenter, self.preset)
        if initial is not None:
            network.load_state_dict(dict(initial.state_dict))
        # Without channels_last_3d a bf16 step takes 70 times as long on a CPU.
        network = network.to(where, memory_format=torch.channels_last_3d)
        optimizer = torch.optim.RAdam(
            network.parameters(),
            lr=self.preset.learning_rate,
            betas=self.preset.betas,
            weight_decay=self.preset.weight_decay,
            decoupled_weight_decay=True,
        )
        super().__init__(network, optimizer, steps, where)
        shape = (1, len(sampler.segmenter.inputs), *self.preset.patch)
        empty = torch.zeros(shape, device=where).to(memory_format=torch.channels_last_3d)
        self.bf16 = bf16_is_sound(where, network, lambda: network(empty))

    def one_step(self) -> dict[str, float]:
        inputs, target, mask = (
            torch.from_numpy(array).to(self.device) for array in self.sampler.batch(self.step)
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.network(inputs.to(memory_format=torch.channels_last_3d))
        loss, dice = masked_loss(logits.float(), target, mask, self.preset.positive_weight)
        self.descend(loss, learning_rate(self.preset.learning_rate, self.step, self.steps))
        return {"total": loss.item(), "dice": dice.item()}


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
