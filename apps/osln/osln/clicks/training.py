"""Training of the click network on phantoms."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from osln.clicks.annotator import next_clicks
from osln.clicks.network import WIDTHS, empty_network
from osln.clicks.patch import click_channels, image_channels
from osln.clicks.phantom_cases import ClickCase
from osln.clicks.sampling import Example, ExampleSampler
from osln.learning.fit import Learned, Lesson, Progress, fit
from osln.learning.losses import masked_loss
from osln.networks.unet3d import UNet3D
from osln.weights.devices import bf16_is_sound

EPOCH_STEPS = 50
BATCH = 4
STEPS = 640
LEARNING_RATE = 3e-3
POSITIVE_WEIGHT = 1.0
CORRECTED = 0.5
"""Share of the steps in which the clicks answer to what the network itself got wrong."""
LOOK_STEPS = 200
"""Steps between two looks at the validation patients."""
VALIDATED = 48
"""Patches of the validation patients that are looked at."""


def train(
    cases: Sequence[ClickCase],
    validation: Sequence[ClickCase],
    *,
    steps: int = STEPS,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = 1,
    resume_path: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Learned[UNet3D]:
    """Trains a click network from random first weights.

    Args:
        cases: To learn from, with nodes and PET.
        validation: Looked at now and then, and at the end; may be empty.
        steps: In all.
        seed: Of first weights, patches, clicks and what is changed of them.
        device: "cpu", "cuda" or "cuda:N".
        threads, resume_path, on_progress: See `osln.learning.fit.fit`.

    Raises:
        ValueError: No node to learn from, or a loss that is not a number.
    """
    lesson = _ClickLesson(
        steps=steps,
        epoch_steps=EPOCH_STEPS,
        seed=seed,
        device=torch.device(device),
        learning_rate=LEARNING_RATE,
        largest_gradient=5.0,
        sampler=ExampleSampler(cases, seed),
        judged=ExampleSampler(validation, seed + 1) if validation else None,
    )
    return fit(lesson, threads=threads, resume_path=resume_path, on_progress=on_progress)


@dataclass(kw_only=True)
class _ClickLesson(Lesson[UNet3D]):
    """Nodes with clicks.

    Attributes:
        sampler: Patches to learn from.
        judged: Patches of the validation patients.
    """

    sampler: ExampleSampler
    judged: ExampleSampler | None
    bf16: bool = field(init=False, default=False)

    def network(self) -> UNet3D:
        network = empty_network().to(self.device, memory_format=torch.channels_last_3d)
        inputs = _inputs(self.sampler.batch(0, 1))
        self.bf16 = bf16_is_sound(self.device, network, lambda: network(self._on_device(inputs)))
        return network

    def optimizer(self, network: UNet3D) -> torch.optim.Optimizer:
        return torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=1e-2)

    def loss(self, network: UNet3D, step: int) -> dict[str, torch.Tensor]:
        examples = self.sampler.batch(step, BATCH)
        rng = np.random.default_rng([self.seed, step, BATCH])
        if rng.random() < CORRECTED:
            examples = self._corrected(network, examples)
        target = torch.from_numpy(np.stack([one.node[None] for one in examples]).astype(np.float32))
        target = target.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = network(self._on_device(_inputs(examples)))
        # One by one: in a batch's Dice a large node would leave nothing to a small one.
        whole = torch.ones_like(target[:1])
        pairs = [
            masked_loss(own.float(), truth, whole, POSITIVE_WEIGHT)
            for own, truth in zip(logits.split(1), target.split(1), strict=True)
        ]
        total, dice = (torch.stack(part).mean() for part in zip(*pairs, strict=True))
        return {"total": total, "dice": dice}

    def identity(self) -> tuple[dict[str, Any], Iterable[object]]:
        cases = [case.case for case in self.sampler.cases]
        record = {
            "widths": WIDTHS,
            "steps": self.steps,
            "batch": BATCH,
            "learning_rate": self.learning_rate,
            "train_cases": cases,
            "validation_cases": [case.case for case in self.judged.cases] if self.judged else [],
        }
        patients = (
            part
            for case in self.sampler.cases
            for part in (case.ct.array, case.pet and case.pet.array, case.nodes)
        )
        return record, (CORRECTED, POSITIVE_WEIGHT, *patients)

    def look(self, network: UNet3D, step: int) -> dict[str, Any] | None:
        if self.judged is None or (step % LOOK_STEPS and step < self.steps):
            return None
        dices = []
        for number in range(VALIDATED):
            (one,) = self.judged.batch(number, 1)
            answer = self._answers(network, [one])[0]
            dices.append(2 * (answer & one.node).sum() / max(answer.sum() + one.node.sum(), 1))
        return {"patches": VALIDATED, "mean_dice": round(float(np.mean(dices)), 4)}

    def _corrected(self, network: nn.Module, examples: Sequence[Example]) -> list[Example]:
        """The examples with one more click each, where the network is wrong."""
        answers = self._answers(network, examples)
        return [
            replace(one, clicks=next_clicks(one.clicks, answer, one.node, one.grid))
            for one, answer in zip(examples, answers, strict=True)
        ]

    def _answers(self, network: nn.Module, examples: Sequence[Example]) -> np.ndarray:
        """(B, x, y, z) bool in evaluation mode."""
        training = network.training
        network.eval()
        with torch.inference_mode():
            logits = network(self._on_device(_inputs(examples)))
        network.train(training)
        return (logits[:, 0] > 0).cpu().numpy()

    def _on_device(self, inputs: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(inputs).to(self.device, memory_format=torch.channels_last_3d)


def _inputs(examples: Sequence[Example]) -> np.ndarray:
    """(B, `CHANNELS`, x, y, z) float32."""
    return np.stack(
        [
            np.concatenate([image_channels(one.ct_hu, one.pet_suv), click_channels(one.clicks, one.grid)])
            for one in examples
        ]
    )
