"""Training of MULAN, the same on phantoms, whose nodes have tags, and on patients, whose nodes have none."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from osln.imaging.lung_column import LungColumn
from osln.imaging.transforms import Scaling
from osln.learning.fit import Lesson, Progress, fit
from osln.learning.schedule import weight_groups
from osln.learning.tagging_losses import tag_weights
from osln.mulan.canvas import canvas_size
from osln.mulan.sampling import NodeTags, SliceSampler
from osln.networks.mulan import Mulan, SliceTarget, TagLoss, build_mulan
from osln.rows.detectors import DETECTOR_RECIPES, Detector, DetectorRecipe
from osln.rows.experiments import Preset
from osln.rows.tags import TAG_NAMES
from osln.weights.checkpoint import Checkpoint
from osln.weights.devices import bf16_is_fast

REPORT_STEPS = 20
"""Steps between two reports."""


def train_detector(
    detector: Detector,
    preset: Preset,
    columns: Sequence[LungColumn],
    tags: Sequence[NodeTags] | None = None,
    *,
    recipe: DetectorRecipe | None = None,
    iterations: int | None = None,
    seed: int = 0,
    trained_on: str = "patients",
    device: str = "cpu",
    threads: int | None = 1,
    resume_path: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Checkpoint:
    """Train a detector from random first weights; the training's record is in its metadata.

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
        threads, resume_path, on_progress: See `osln.learning.fit.fit`.

    Raises:
        ValueError: No usable patient, or a loss that is not a number.
    """
    recipe = recipe or DETECTOR_RECIPES[preset.name]
    known: Sequence[NodeTags] = [{}] * len(columns) if tags is None else tags
    if len(known) != len(columns):
        raise ValueError(f"tags of {len(known)} patients for {len(columns)}: give those of each, or none")
    pets = [column.pet_suv for column in columns if column.pet_suv is not None]
    scaling = replace(Scaling.fit(pets if detector.needs_pet else []), prefilter=preset.prefilter)
    size = canvas_size(preset.window, preset.spacing_mm, recipe.pixel_mm)
    lesson = _DetectorLesson(
        steps=recipe.iterations if iterations is None else iterations,
        epoch_steps=REPORT_STEPS,
        seed=seed,
        device=torch.device(device),
        learning_rate=recipe.learning_rate,
        largest_gradient=recipe.largest_gradient,
        sampler=SliceSampler(columns, known, detector, recipe, scaling, size, seed),
        preset=preset.name,
    )
    learned = fit(lesson, threads=threads, resume_path=resume_path, on_progress=on_progress)
    record = learned.record | {"losses": learned.losses}
    return Checkpoint(detector.name, preset.name, scaling, learned.weights, trained_on, record)


@dataclass(kw_only=True)
class _DetectorLesson(Lesson[Mulan]):
    """Slices with their nodes.

    Attributes:
        sampler: Batches; names the network and its recipe.
        preset: Its name.
    """

    sampler: SliceSampler
    preset: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bf16 = bf16_is_fast(self.device)
        rows = [tags for nodes in self.sampler.tags for tags in nodes.values()]
        labels = torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, len(TAG_NAMES)).bool()
        positive, negative = tag_weights(labels, torch.ones_like(labels))
        self.tag_weights = positive.to(self.device), negative.to(self.device)

    def network(self) -> Mulan:
        network = build_mulan(self.sampler.detector, self.sampler.recipe)
        return network.to(self.device, memory_format=torch.channels_last)

    def optimizer(self, network: Mulan) -> torch.optim.Optimizer:
        recipe = self.sampler.recipe
        groups = weight_groups(network, recipe.weight_decay)
        if recipe.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=self.learning_rate, momentum=recipe.momentum)
        return torch.optim.RAdam(
            groups, lr=self.learning_rate, betas=(0.9, 0.99), decoupled_weight_decay=True
        )

    def loss(self, network: Mulan, step: int) -> dict[str, torch.Tensor]:
        batch = self.sampler.batch(step)
        targets = [SliceTarget(*(part.to(self.device) for part in target)) for target in batch.targets]
        tagging = TagLoss(self.tag_weights, torch.Generator().manual_seed(step))
        # torchvision samples boxes from torch's own source of chance.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(int(np.random.default_rng([self.seed, 1, step]).integers(2**62)))
            images = batch.images.to(self.device, memory_format=torch.channels_last)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                maps = network.trunk(images, batch.triples.to(self.device))
            rows, columns = batch.images.shape[2:]
            losses = network.losses(maps.float(), (rows, columns), targets, tagging)
        return {"total": torch.stack(list(losses.values())).sum(), **losses}

    def identity(self) -> tuple[dict[str, Any], Iterable[object]]:
        sampler = self.sampler
        record = {
            "detector": sampler.detector.name,
            "preset": self.preset,
            "recipe": asdict(sampler.recipe),
            "iterations": self.steps,
            "train_cases": [column.case for column in sampler.columns],
            "tagged_nodes": sum(map(len, sampler.tags)),
        }
        tags = [[(label, known.tolist()) for label, known in sorted(nodes.items())] for nodes in sampler.tags]
        patients = chain.from_iterable(column.learned_from for column in sampler.columns)
        return record, (sampler.scaling, tags, *patients)
