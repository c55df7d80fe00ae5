"""Training of the lesion tagger (LesaNet), the same for DeepLesion and for phantoms.

The total loss is the authors' (Yan et al. 2019, LesaNet): weighted cross-entropy of both
score heads, reliable hard example mining of the first, and five times the triplet loss of the embedding.
On one thread of a CPU the result depends on seed and data alone, interrupted or not.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from osln.learning.run import StepProgress, StepRun, weight_groups
from osln.learning.state import cpu_threads
from osln.learning.tagging_losses import hard_example_loss, tag_weights, triplet_loss, weighted_cross_entropy
from osln.networks.lesanet import LesaNet
from osln.rows.tagger_recipe import TaggerRecipe
from osln.rows.tags import TAG_NAMES
from osln.tagging.lesion_set import LesionSet
from osln.tagging.sampling import augment, batch_indices
from osln.tagging.validation import mean_auc, tag_figures
from osln.weights.devices import bf16_is_fast

REPORT_STEPS = 50
"""Steps between two reports and two resume files."""
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
    on_progress: Callable[[StepProgress], None] | None = None,
) -> TrainedTagger:
    """Train a tagger from random first weights and choose a threshold for each tag.

    Args:
        recipe: Size and numbers.
        lesions: To learn from, at least one batch.
        validation: Gives thresholds and AUC of the tags; may be empty, then there are none.
        seed: Of first weights, order, augmentation and drawn cells.
        origin, trained_on: What the weights say of themselves, see `osln.tagging.tagger.save_tagger`.
        device: "cpu", "cuda" or "cuda:N".
        threads: CPU threads during the training; as they are if None.
        resume_path: File that holds the state after each report. If it belongs to exactly this training it
            is gone on from, with the same result; otherwise it is written over. It is left in place.
        on_progress: Called after each report.

    Raises:
        ValueError: Too few lesions, a damaged resume file, or a loss that is not a number.
    """
    if len(lesions) < recipe.batch:
        raise ValueError(
            f"{len(lesions)} lesions are too few to learn from in batches of {recipe.batch}: give more "
            "lesions or a smaller batch"
        )
    steps = max(1, round(recipe.epochs * len(lesions) / recipe.batch))
    key = _run_key(recipe, lesions, seed, steps, device)
    with cpu_threads(threads):
        run = _Run(recipe, lesions, steps, seed, device)
        run.finish(REPORT_STEPS, resume_path, key, on_progress)
        figures = tag_figures(tag_probabilities(run.network, validation, device), validation)
    metadata = {
        "origin": origin,
        "trained_on": trained_on,
        "recipe": asdict(recipe),
        "seed": seed,
        "steps": steps,
        "seconds": round(run.seconds, 1),
        "lesions": len(lesions),
        "validation_lesions": len(validation),
        "losses": run.losses,
        "mean_auc": mean_auc(figures),
        "tags": figures,
        "torch": str(torch.__version__),
    }
    return TrainedTagger(run.network.to("cpu", memory_format=torch.contiguous_format).eval(), metadata)


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


class _Run(StepRun):
    """Network, optimizer and position of a training."""

    def __init__(self, recipe: TaggerRecipe, lesions: LesionSet, steps: int, seed: int, device: str) -> None:
        self.recipe, self.lesions, self.seed = recipe, lesions, seed
        where = torch.device(device)
        self.bf16 = bf16_is_fast(where)
        self.layout = torch.channels_last if self.bf16 else torch.contiguous_format
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = LesaNet(recipe.width, recipe.embedding)
        network = network.to(where, memory_format=self.layout)
        optimizer = torch.optim.SGD(
            weight_groups(network, recipe.weight_decay), lr=recipe.learning_rate, momentum=recipe.momentum
        )
        super().__init__(network, optimizer, steps, where)
        labels, certain = torch.from_numpy(lesions.labels), torch.from_numpy(lesions.certain)
        self.tag_weights = tuple(weight.to(self.device) for weight in tag_weights(labels, certain))

    def one_step(self) -> dict[str, float]:
        recipe = self.recipe
        rate = recipe.learning_rate * (0.1 if self.step >= LATER * self.steps else 1.0)
        index = batch_indices(len(self.lesions), recipe.batch, self.step, self.seed)
        rng = np.random.default_rng([self.seed, 2, self.step])
        draws = torch.Generator().manual_seed(int(rng.integers(2**62)))
        images, boxes = augment(
            self.lesions.images[index].astype(np.float32), self.lesions.boxes[index], recipe, rng
        )
        labels, certain, reliable = (
            torch.from_numpy(getattr(self.lesions, name)[index]).to(self.device)
            for name in ("labels", "certain", "reliable")
        )
        x = torch.from_numpy(images).to(self.device, memory_format=self.layout)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            found = self.network(x, torch.from_numpy(boxes).to(self.device))
        tags = weighted_cross_entropy(found.logits, labels, certain, self.tag_weights)
        tags = tags + weighted_cross_entropy(found.propagated, labels, certain, self.tag_weights)
        hard = hard_example_loss(found.logits, labels, reliable, draws)
        triplet = triplet_loss(found.embedding, labels, draws)
        total = tags + hard + TRIPLET_WEIGHT * triplet
        self.descend(total, rate, largest_gradient=recipe.largest_gradient)
        return {
            "total": total.item(),
            "tags": tags.item(),
            "hard": hard.item(),
            "triplet": triplet.item(),
        }


def _run_key(recipe: TaggerRecipe, lesions: LesionSet, seed: int, steps: int, device: str) -> str:
    """Identity of a training: numbers, lesions and their tags."""
    record = (asdict(recipe), seed, steps, device.split(":")[0], str(torch.__version__), lesions.cases)
    digest = hashlib.sha256(repr(record).encode())
    for array in (lesions.boxes, lesions.labels, lesions.certain, lesions.reliable):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(lesions.images.reshape(len(lesions), -1).sum(1, dtype=np.float64).tobytes())
    return digest.hexdigest()
