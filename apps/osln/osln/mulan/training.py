"""Training of MULAN, the same on phantoms, whose nodes have tags, and on patients, whose nodes have none.

The budget is a number of steps, never a time, so that a result does not depend on the computer. On one
thread of a CPU it depends on seed and data alone, interrupted or not.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from osln.imaging.lung_column import Column
from osln.imaging.transforms import Scaling
from osln.learning.arithmetic import learning_rate
from osln.learning.run import StepProgress, StepRun, weight_groups
from osln.learning.state import cpu_threads
from osln.learning.tagging_losses import tag_weights
from osln.mulan.canvas import canvas_size
from osln.mulan.sampling import NodeTags, SliceSampler
from osln.networks.mulan import SliceTarget, TagLoss, build_mulan
from osln.rows.detectors import DETECTOR_RECIPES, Detector, DetectorRecipe
from osln.rows.experiments import Preset
from osln.rows.tags import TAG_NAMES
from osln.weights.checkpoint import Checkpoint
from osln.weights.devices import bf16_is_fast

REPORT_STEPS = 20
"""Steps between two reports and two resume files."""


def train_detector(
    detector: Detector,
    preset: Preset,
    columns: Sequence[Column],
    tags: Sequence[NodeTags] | None = None,
    *,
    recipe: DetectorRecipe | None = None,
    iterations: int | None = None,
    seed: int = 0,
    trained_on: str = "patients",
    device: str = "cpu",
    threads: int | None = 1,
    resume_path: str | Path | None = None,
    on_progress: Callable[[StepProgress], None] | None = None,
) -> Checkpoint:
    """Train a detector from random first weights.

    Args:
        detector: Row of `DETECTORS`: which images.
        preset: Gives the working grid of the columns and, by its name, the recipe.
        columns: Patients to learn from, with nodes as instances.
        tags: Tags of each patient's nodes, as `node_tags.node_tags` gives them; unknown if omitted, so that
            the losses of the tags weigh nothing.
        recipe: Size and numbers; those of the preset's name if omitted. The sizes must be its own.
        iterations: Steps; the recipe's number if omitted.
        seed: Of first weights, slices, augmentation and sampled boxes.
        trained_on: What the weights may claim: "phantom" or "patients".
        device: "cpu", "cuda" or "cuda:N".
        threads: CPU threads during the training; as they are if None.
        resume_path: File that holds the state after each report. If it is there and belongs to exactly this
            training it is gone on from, with the same result. It is left in place.
        on_progress: Called after each report.

    Returns:
        Checkpoint with the training's record in its metadata.

    Raises:
        ValueError: No usable patient, a damaged resume file, or a loss that is not a number.
    """
    recipe = recipe or DETECTOR_RECIPES[preset.name]
    steps = recipe.iterations if iterations is None else int(iterations)
    if steps < 1:
        raise ValueError(f"iterations must be at least 1, not {steps}")
    known: Sequence[NodeTags] = [{}] * len(columns) if tags is None else tags
    if len(known) != len(columns):
        raise ValueError(f"tags of {len(known)} patients for {len(columns)}: give those of each, or none")
    pets = [column.pet_suv for column in columns if column.pet_suv is not None]
    scaling = Scaling.fit(pets if detector.needs_pet else [])
    size = canvas_size(preset.window, preset.spacing_mm, recipe.pixel_mm)
    sampler = SliceSampler(columns, known, detector, recipe, scaling, size, seed)
    record: dict[str, Any] = {
        "detector": detector.name,
        "preset": preset.name,
        "recipe": asdict(recipe),
        "seed": seed,
        "iterations": steps,
        "train_cases": [column.case for column in columns],
        "tagged_nodes": sum(map(len, known)),
        "device": device.split(":")[0],
        "torch": str(torch.__version__),
    }
    key = _run_key(record, scaling, columns, known)
    with cpu_threads(threads):
        run = _Run(sampler, steps, device)
        run.finish(REPORT_STEPS, resume_path, key, on_progress)
    record |= {"seconds": round(run.seconds, 1), "losses": run.losses}
    return Checkpoint(detector.name, preset.name, scaling, run.weights(), trained_on, record)


class _Run(StepRun):
    """Network, optimizer and position of a training."""

    def __init__(self, sampler: SliceSampler, steps: int, device: str) -> None:
        self.sampler, self.recipe = sampler, sampler.recipe
        where = torch.device(device)
        self.bf16 = bf16_is_fast(where)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sampler.seed)
            self.mulan = build_mulan(sampler.detector, self.recipe)
        self.mulan = self.mulan.to(where, memory_format=torch.channels_last)
        super().__init__(self.mulan, _optimizer(self.mulan, self.recipe), steps, where)
        self.tag_weights = self._tag_weights()

    def _tag_weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights by tag over all training nodes whose tags are known."""
        rows = [tags for nodes in self.sampler.tags for tags in nodes.values()]
        labels = (
            torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, len(TAG_NAMES), dtype=torch.bool)
        )
        positive, negative = tag_weights(labels, torch.ones_like(labels))
        return positive.to(self.device), negative.to(self.device)

    def one_step(self) -> dict[str, float]:
        rate = learning_rate(self.recipe.learning_rate, self.step, self.steps)
        batch = self.sampler.batch(self.step)
        rows, columns = batch.images.shape[2:]
        targets = [SliceTarget(*(part.to(self.device) for part in target)) for target in batch.targets]
        draws = torch.Generator().manual_seed(self.step)
        tagging = TagLoss(self.tag_weights, draws)
        # torchvision samples boxes from torch's own source of chance.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(int(np.random.default_rng([self.sampler.seed, 1, self.step]).integers(2**62)))
            images = batch.images.to(self.device, memory_format=torch.channels_last)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                maps = self.mulan.trunk(images, batch.triples.to(self.device))
            losses = self.mulan.losses(maps.float(), (rows, columns), targets, tagging)
        total = torch.stack(list(losses.values())).sum()
        self.descend(total, rate, largest_gradient=self.recipe.largest_gradient)
        return {"total": total.item(), **{name: value.item() for name, value in losses.items()}}


def _optimizer(network: torch.nn.Module, recipe: DetectorRecipe) -> torch.optim.Optimizer:
    """The recipe's; biases do not decay and move twice as fast."""
    groups = weight_groups(network, recipe.weight_decay)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    return torch.optim.RAdam(groups, lr=recipe.learning_rate, betas=(0.9, 0.99), decoupled_weight_decay=True)


def _run_key(
    record: dict[str, Any], scaling: Scaling, columns: Sequence[Column], tags: Sequence[NodeTags]
) -> str:
    """Identity of a training: settings, labels and tags."""
    digest = hashlib.sha256(repr((sorted(record.items()), scaling.to_dict())).encode())
    for column, nodes in zip(columns, tags, strict=True):
        digest.update(np.ascontiguousarray(column.nodes).tobytes())
        for label, known in sorted(nodes.items()):
            digest.update(repr((label, known.tolist())).encode())
    return digest.hexdigest()
