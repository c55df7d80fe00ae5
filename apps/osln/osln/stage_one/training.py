"""Training of one stage-one network, the same from the server, the command line and the experiments.

The loss is batch Dice plus cross-entropy on the sigmoid, counted inside the network's zone only and, in a
patient who was reviewed in part, only where it is known what is there.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from osln.imaging.lung_column import LungColumn
from osln.imaging.transforms import Scaling
from osln.learning.cores import FEEDING_CORES, usable_cores
from osln.learning.feeding import Ahead
from osln.learning.fit import Lesson, Progress, weights_of
from osln.learning.losses import masked_loss
from osln.learning.state import fingerprint
from osln.learning.team import normalize_together
from osln.learning.together import fit_together
from osln.networks.build import segmenter_network
from osln.rows.experiments import Preset, Segmenter
from osln.stage_one.sampling import PatchSampler
from osln.stage_one.validation import evaluate
from osln.weights.checkpoint import Checkpoint
from osln.weights.devices import bf16_is_sound
from osln.weights.tensors import halved

EPOCH_STEPS = 50
"""Steps between two reports; a small cohort has no natural epoch."""
VALIDATIONS = 5
"""How often in a training the validation patients are looked at: a look costs as much as many steps."""


def train(
    segmenter: Segmenter,
    preset: Preset,
    train_columns: Sequence[LungColumn],
    validation_columns: Sequence[LungColumn] = (),
    *,
    iterations: int | None = None,
    seed: int = 0,
    initial: Checkpoint | None = None,
    scaling: Scaling | None = None,
    trained_on: str = "patients",
    device: str = "cpu",
    devices: Sequence[str] = (),
    threads: int | None = 1,
    validations: int = VALIDATIONS,
    resume_path: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Checkpoint:
    """Train a network, from scratch or from a checkpoint; the training's record is in its metadata.

    Args:
        segmenter: Which network: inputs and zone.
        preset: Size and recipe; that of `initial` if given, but for learning rate and steps.
        train_columns: Patients to learn from.
        validation_columns: Patients for the progress figures; nothing is chosen by them.
        iterations: Steps; the preset's number if omitted.
        seed: Of first weights and patches.
        initial: Checkpoint to go on from; its scaling is kept.
        scaling: Preprocessing numbers; fitted to the training patients if omitted.
        trained_on: What the weights may claim: "phantom" or "patients".
        device: "cpu", "cuda" or "cuda:N".
        devices: Of several processes that learn together, each from its part of every batch, the first of
            them on `device`.
        validations: How often the validation patients are looked at.
        threads, resume_path, on_progress: See `osln.learning.together.fit_together`.

    Raises:
        ValueError: No usable patient, another network's checkpoint, patients that were not resampled as the
            preset says, more devices than a batch has patches, or a loss that is not a number.
    """
    if other := [one.case for one in train_columns if one.prefiltered != preset.prefilter]:
        raise ValueError(
            f"{', '.join(other[:3])} ({len(other)} of {len(train_columns)} patients) were resampled with "
            f"prefilter {not preset.prefilter}, the training is for prefilter {preset.prefilter}: prepare "
            "them with its preset"
        )
    if len(devices) > preset.batch:
        raise ValueError(
            f"a batch of {preset.batch} patches (preset {preset.name}) is parted among at most so many "
            f"processes: expected up to {preset.batch} GPUs, got {len(devices)}"
        )
    if initial is not None:
        _check_initial(initial, segmenter, preset)
        scaling = initial.scaling
    scaling = replace(scaling or fit_scaling(segmenter, train_columns), prefilter=preset.prefilter)
    lesson = SegmenterLesson(
        steps=preset.iterations if iterations is None else iterations,
        epoch_steps=EPOCH_STEPS,
        seed=seed,
        device=torch.device(device),
        learning_rate=preset.learning_rate,
        sampler=PatchSampler(train_columns, segmenter, preset, scaling, seed),
        empty=Checkpoint(segmenter.name, preset.name, scaling, {}, trained_on),
        initial=initial,
        validation=(validation_columns, validations),
    )
    learned = fit_together(lesson, devices, threads=threads, resume_path=resume_path, on_progress=on_progress)
    losses = [(int(one["step"]), one["total"], one["dice"]) for one in learned.reports]
    record = learned.record | {"losses": losses, "validation": learned.validation}
    # What is measured and published from here on has the very weights that its file holds.
    return replace(lesson.empty, state_dict=halved(learned.weights), metadata=record)


@dataclass(kw_only=True)
class SegmenterLesson(Lesson[nn.Module]):
    """Patches of the network's zone.

    Attributes:
        sampler: Batches; names the network and its preset.
        empty: Checkpoint without weights.
        initial: First weights, if not random ones.
        validation: Patients, and how often they are looked at.
        bf16: Whether it learns in bfloat16; known once the network is made.
        batches: The sampler's as tensors, made ahead for a GPU.
    """

    sampler: PatchSampler
    empty: Checkpoint
    initial: Checkpoint | None
    validation: tuple[Sequence[LungColumn], int]
    bf16: bool = field(init=False)
    batches: Ahead[list[torch.Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.batches = Ahead(self._batch, self.steps, feeding_threads(self.device))

    def network(self) -> nn.Module:
        segmenter, preset = self.sampler.segmenter, self.sampler.preset
        network = segmenter_network(segmenter, preset)
        normalize_together(network, self.team)
        if self.initial is not None:
            network.load_state_dict(dict(self.initial.state_dict))
        # Without channels_last_3d a bf16 step takes 70 times as long on a CPU.
        network = network.to(self.device, memory_format=torch.channels_last_3d)
        empty = torch.zeros((1, len(segmenter.inputs), *preset.patch), device=self.device)
        empty = empty.to(memory_format=torch.channels_last_3d)
        self.bf16 = bf16_is_sound(self.device, network, lambda: network(empty))
        return network

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        preset = self.sampler.preset
        return torch.optim.RAdam(
            network.parameters(),
            lr=self.learning_rate,
            betas=preset.betas,
            weight_decay=preset.weight_decay,
            decoupled_weight_decay=True,
        )

    def loss(self, network: nn.Module, step: int) -> dict[str, torch.Tensor]:
        inputs, target, mask = (one.to(self.device, non_blocking=True) for one in self.batches(step))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = network(inputs.to(memory_format=torch.channels_last_3d))
        weight = self.sampler.preset.positive_weight
        total, dice = masked_loss(logits.float(), target, mask, weight, self.team)
        return {"total": total, "dice": dice}

    def _batch(self, step: int) -> list[torch.Tensor]:
        """The part of inputs, target and mask of a step; for a GPU in memory that it reads by itself."""
        part = self.team.part(self.sampler.preset.batch)
        tensors = [torch.from_numpy(array) for array in self.sampler.batch(step, part)]
        return [one.pin_memory() for one in tensors] if self.device.type == "cuda" else tensors

    def close(self) -> None:
        self.batches.close()

    def identity(self) -> tuple[dict[str, Any], Iterable[object]]:
        sampler = self.sampler
        started_from = None
        if self.initial is not None:
            weights = sorted(self.initial.state_dict.items())
            started_from = fingerprint(*chain.from_iterable(weights))[:16]
        record = {
            "segmenter": sampler.segmenter.name,
            "backbone": sampler.segmenter.backbone,
            "preset": sampler.preset.name,
            "iterations": self.steps,
            "learning_rate": self.learning_rate,
            "started_from": started_from,
            "train_cases": [column.case for column in sampler.columns],
            "validation_cases": [column.case for column in self.validation[0]],
        }
        patients = chain.from_iterable(column.learned_from for column in sampler.columns)
        return record, (asdict(sampler.preset), sampler.scaling, *patients)

    def look(self, network: nn.Module, step: int) -> dict[str, Any] | None:
        columns, times = self.validation
        if not (columns and times):
            return None
        every = max(1, round(-(-self.steps // self.epoch_steps) / times))
        if -(-step // self.epoch_steps) % every and step < self.steps:
            return None
        return evaluate(replace(self.empty, state_dict=weights_of(network)), columns, str(self.device))


def feeding_threads(device: torch.device) -> int:
    """Threads that make batches while the device learns."""
    return 0 if device.type == "cpu" else min(FEEDING_CORES, usable_cores())


def _check_initial(initial: Checkpoint, segmenter: Segmenter, preset: Preset) -> None:
    if initial.name != segmenter.name:
        raise ValueError(f"the first weights are of {initial.name}, not of {segmenter.name}")
    if initial.preset != preset.name:
        raise ValueError(
            f"the first weights have preset {initial.preset}, not {preset.name}: train from scratch instead"
        )
    initial.check_prefilter(preset)


def fit_scaling(segmenter: Segmenter, columns: Sequence[LungColumn]) -> Scaling:
    """Preprocessing numbers of a network: fitted to the training patients' PET if it sees PET."""
    pets = [column.pet_suv for column in columns if column.pet_suv is not None]
    return Scaling.fit(pets if segmenter.needs_pet else [])
