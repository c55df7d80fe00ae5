"""Training of the lesion tagger (LesaNet), the same for DeepLesion and for phantoms.

The total loss is the authors' (Yan et al. 2019, LesaNet): weighted cross-entropy of both
score heads, reliable hard example mining of the first, and five times the triplet loss of the embedding.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from osln.learning.fit import Lesson, Progress, fit
from osln.learning.schedule import weight_groups
from osln.learning.tagging_losses import hard_example_loss, tag_weights, triplet_loss, weighted_cross_entropy
from osln.networks.lesanet import LesaNet
from osln.rows.tagger_recipe import TaggerRecipe
from osln.rows.tags import TAG_NAMES
from osln.tagging.lesion_set import LesionSet
from osln.tagging.sampling import augment, batch_indices
from osln.tagging.validation import mean_auc, tag_figures
from osln.weights.devices import bf16_is_fast

REPORT_STEPS = 50
"""Steps between two reports."""
TRIPLET_WEIGHT = 5.0
LATER = 2 / 3
"""Share of the steps after which the learning rate is a tenth."""


@dataclass(frozen=True)
class TrainedTagger:
    """Outcome of a training: the network and what is told about it in its file."""

    network: LesaNet
    metadata: dict[str, Any]


def train_tagger(
    recipe: TaggerRecipe,
    lesions: LesionSet,
    validation: LesionSet,
    *,
    seed: int = 0,
    origin: str = "trained here",
    trained_on: str,
    device: str = "cpu",
    threads: int | None = 1,
    resume_path: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainedTagger:
    """Train a tagger from random first weights and choose a threshold for each tag.

    Args:
        recipe: Size and numbers.
        lesions: To learn from, at least one batch.
        validation: Gives thresholds and AUC of the tags; may be empty, then there are none.
        seed: Of first weights, order, augmentation and drawn cells.
        origin, trained_on: What the weights say of themselves, see `osln.tagging.tagger.save_tagger`.
        device: "cpu", "cuda" or "cuda:N".
        threads, resume_path, on_progress: See `osln.learning.fit.fit`.

    Raises:
        ValueError: Too few lesions, or a loss that is not a number.
    """
    if len(lesions) < recipe.batch:
        raise ValueError(
            f"{len(lesions)} lesions are too few to learn from in batches of {recipe.batch}: give more "
            "lesions or a smaller batch"
        )
    lesson = _TaggerLesson(
        steps=max(1, round(recipe.epochs * len(lesions) / recipe.batch)),
        epoch_steps=REPORT_STEPS,
        seed=seed,
        device=torch.device(device),
        learning_rate=recipe.learning_rate,
        largest_gradient=recipe.largest_gradient,
        recipe=recipe,
        lesions=lesions,
        validation=validation,
    )
    learned = fit(lesson, threads=threads, resume_path=resume_path, on_progress=on_progress)
    figures = learned.validation or {}
    metadata = {
        "origin": origin,
        "trained_on": trained_on,
        **learned.record,
        "losses": learned.losses,
        "mean_auc": mean_auc(figures),
        "tags": figures,
    }
    return TrainedTagger(learned.network.to("cpu", memory_format=torch.contiguous_format).eval(), metadata)


@dataclass(kw_only=True)
class _TaggerLesson(Lesson[LesaNet]):
    """Lesions with their tags.

    Attributes:
        recipe: Size and numbers.
        lesions: To learn from.
        validation: Looked at once, at the end.
    """

    recipe: TaggerRecipe
    lesions: LesionSet
    validation: LesionSet

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bf16 = bf16_is_fast(self.device)
        self.layout = torch.channels_last if self.bf16 else torch.contiguous_format
        labels, certain = torch.from_numpy(self.lesions.labels), torch.from_numpy(self.lesions.certain)
        self.tag_weights = tuple(weight.to(self.device) for weight in tag_weights(labels, certain))

    def network(self) -> LesaNet:
        network = LesaNet(self.recipe.width, self.recipe.embedding)
        return network.to(self.device, memory_format=self.layout)

    def optimizer(self, network: LesaNet) -> torch.optim.Optimizer:
        groups = weight_groups(network, self.recipe.weight_decay)
        return torch.optim.SGD(groups, lr=self.learning_rate, momentum=self.recipe.momentum)

    def rate(self, step: int) -> float:
        return self.learning_rate * (0.1 if step >= LATER * self.steps else 1.0)

    def loss(self, network: LesaNet, step: int) -> dict[str, torch.Tensor]:
        index = batch_indices(len(self.lesions), self.recipe.batch, step, self.seed)
        rng = np.random.default_rng([self.seed, 2, step])
        draws = torch.Generator().manual_seed(int(rng.integers(2**62)))
        images, boxes = augment(
            self.lesions.images[index].astype(np.float32), self.lesions.boxes[index], self.recipe, rng
        )
        labels, certain, reliable = (
            torch.from_numpy(getattr(self.lesions, name)[index]).to(self.device)
            for name in ("labels", "certain", "reliable")
        )
        x = torch.from_numpy(images).to(self.device, memory_format=self.layout)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            found = network(x, torch.from_numpy(boxes).to(self.device))
        tags = weighted_cross_entropy(found.logits, labels, certain, self.tag_weights)
        tags = tags + weighted_cross_entropy(found.propagated, labels, certain, self.tag_weights)
        hard = hard_example_loss(found.logits, labels, reliable, draws)
        triplet = triplet_loss(found.embedding, labels, draws)
        total = tags + hard + TRIPLET_WEIGHT * triplet
        return {"total": total, "tags": tags, "hard": hard, "triplet": triplet}

    def identity(self) -> tuple[dict[str, Any], Iterable[object]]:
        record = {
            "recipe": asdict(self.recipe),
            "steps": self.steps,
            "lesions": len(self.lesions),
            "validation_lesions": len(self.validation),
        }
        return record, (*_identity(self.lesions), *_identity(self.validation))

    def look(self, network: LesaNet, step: int) -> dict[str, Any] | None:
        if step < self.steps:
            return None
        return tag_figures(tag_probabilities(network, self.validation, str(self.device)), self.validation)


def _identity(lesions: LesionSet) -> tuple[object, ...]:
    """What lesions are told from others by: their patients, boxes and tags, and the sum of each image."""
    sums = lesions.images.sum((1, 2, 3), dtype=np.float64)
    return lesions.cases, lesions.boxes, lesions.labels, lesions.certain, lesions.reliable, sums


def tag_probabilities(
    network: LesaNet, lesions: LesionSet, device: str = "cpu", batch: int = 64
) -> np.ndarray:
    """(N, 171) float32 of a network in evaluation mode, in 32-bit floats; (0, 171) for no lesions."""
    network.eval()
    found = [np.zeros((0, len(TAG_NAMES)), np.float32)]
    with torch.inference_mode():
        for i in range(0, len(lesions), batch):
            images = torch.from_numpy(lesions.images[i : i + batch]).to(device).float()
            boxes = torch.from_numpy(lesions.boxes[i : i + batch]).to(device)
            found.append(torch.sigmoid(network(images, boxes).propagated).cpu().numpy())
    return np.concatenate(found)
