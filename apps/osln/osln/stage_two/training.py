"""Training of one stage-two network, the same from the server, the command line and the experiments."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from osln.imaging.transforms import Scaling
from osln.learning.arithmetic import learning_rate
from osln.learning.losses import candidate_loss
from osln.learning.run import Progress, StepRun, by_epochs
from osln.learning.state import cpu_threads
from osln.networks.build import classifier_network, on_device
from osln.rows.experiments import Classifier, Preset
from osln.stage_two.candidate_sets import CandidateSet
from osln.stage_two.sampling import Batch, CandidateSampler
from osln.stage_two.validation import evaluate_classifier
from osln.weights.checkpoint import Checkpoint
from osln.weights.devices import bf16_is_sound

VIEWS_HU = (-100.0, 200.0)
"""Window of the random views (Roth et al. 2016, published code)."""


def train_classifier(
    classifier: Classifier,
    preset: Preset,
    sets: Sequence[CandidateSet],
    tags: Sequence[np.ndarray] | None = None,
    validation: tuple[Sequence[CandidateSet], Sequence[np.ndarray] | None] = ((), None),
    *,
    epochs: int | None = None,
    seed: int = 0,
    initial: Checkpoint | None = None,
    tagger: Mapping[str, Any] | None = None,
    trained_on: str = "patients",
    device: str = "cpu",
    threads: int | None = 1,
    resume_path: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Checkpoint:
    """Train a network of stage two, from scratch or from a checkpoint (paper, section 4.2).

    Cross-entropy in which nodes and false candidates weigh alike, Adam; the preset's epochs are passes
    through all candidates.

    Args:
        classifier: Which network.
        preset: Size and recipe.
        sets: Candidates of the training patients, true nodes added.
        tags: (n, 171) of each set; only for a network that reads tags.
        validation: Sets and tags of the patients for the progress figures; nothing is chosen by them.
        epochs: The preset's number if omitted.
        seed: Of first weights and batches.
        initial: Checkpoint to go on from; its scaling is kept.
        tagger: What the tags come from; kept with the weights.
        trained_on: What the weights may claim.
        device: "cpu", "cuda" or "cuda:N".
        threads: CPU threads during the training; as they are if None.
        resume_path: File that holds the state after each step; see `training.train`.
        on_progress: Called after each epoch.

    Raises:
        ValueError: Nothing to learn from, another network's checkpoint, or a loss that is not a number.
    """
    recipe = preset.stage_two
    passes = recipe.epochs if epochs is None else int(epochs)
    if passes < 1:
        raise ValueError(f"epochs must be at least 1, not {passes}")
    if initial is not None and (initial.name, initial.preset) != (classifier.name, preset.name):
        raise ValueError(
            f"the first weights are of {initial.name} ({initial.preset}), not of {classifier.name} "
            f"({preset.name}): train from scratch instead"
        )
    scaling = fit_scaling(classifier, sets) if initial is None else initial.scaling
    sampler = CandidateSampler(sets, tags, classifier, recipe, scaling, seed)
    record: dict[str, Any] = {
        "preset": preset.name,
        "seed": seed,
        "epochs": passes,
        "learning_rate": recipe.learning_rate,
        "candidates": len(sampler.truth),
        "nodes": int((sampler.truth == 1).sum()),
        "train_cases": [one.case for one in sets],
        "validation_cases": [one.case for one in validation[0]],
        "tagger": dict(tagger) if tagger and classifier.tags else None,
        "device": device.split(":")[0],
        "torch": str(torch.__version__),
    }
    empty = Checkpoint(classifier.name, preset.name, scaling, {}, trained_on, record)

    def look() -> dict[str, Any]:
        return evaluate_classifier(replace(empty, state_dict=run.weights()), *validation, device=device)

    with cpu_threads(threads):
        run = _Run(sampler, preset, passes, initial, device)
        key = _run_key(record, preset, scaling, sampler, run.network)
        shown = by_epochs(on_progress, run, sampler.epoch_steps)
        run.finish(sampler.epoch_steps, resume_path, key, shown, look if shown and validation[0] else None)
    record |= {"seconds": round(run.seconds, 1), "losses": [one["total"] for one in run.reports]}
    return replace(empty, state_dict=run.weights(), metadata=record)


def fit_scaling(classifier: Classifier, sets: Sequence[CandidateSet]) -> Scaling:
    """Preprocessing numbers: fitted to the PET around the training candidates if the network sees PET."""
    pets = [one.patches.pet_suv for one in sets if one.patches.pet_suv is not None]
    scaling = Scaling.fit(pets if classifier.needs_pet else [])
    return replace(scaling, ct_window_hu=VIEWS_HU) if classifier.network == "random-views" else scaling


class _Run(StepRun):
    """Network, optimizer and position of a training."""

    def __init__(
        self,
        sampler: CandidateSampler,
        preset: Preset,
        epochs: int,
        initial: Checkpoint | None,
        device: str,
    ) -> None:
        self.sampler, self.rate = sampler, sampler.stage_two.learning_rate
        where = torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sampler.seed)
            network = classifier_network(sampler.classifier, preset)
        if initial is not None:
            network.load_state_dict(dict(initial.state_dict))
        network = on_device(network, where)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.rate)
        super().__init__(network, optimizer, epochs * sampler.epoch_steps, where)
        self.positive_weight = torch.tensor(sampler.positive_weight, device=where)
        patches, boxes, tags, _ = self._on_device(sampler.batch(0))
        self.bf16 = bf16_is_sound(where, network, lambda: network(patches, boxes, tags))

    def one_step(self) -> dict[str, float]:
        patches, boxes, tags, truth = self._on_device(self.sampler.batch(self.step))
        with torch.random.fork_rng(devices=[]):
            # Dropout draws from torch's own source, which must not depend on what ran before.
            torch.manual_seed(self.sampler.seed * 1_000_003 + self.step)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                logits = self.network(patches, boxes, tags)
        loss = candidate_loss(logits, truth, self.positive_weight)
        rate = learning_rate(self.rate, self.step, self.steps)
        self.descend(loss, rate, place=f"in epoch {self.step // self.sampler.epoch_steps + 1}")
        return {"total": loss.item()}

    def _on_device(self, arrays: Batch) -> list[Any]:
        """A batch as tensors where the network is."""
        moved: list[Any] = [
            None if array is None else torch.from_numpy(array).to(self.device) for array in arrays
        ]
        if moved[0] is not None:
            moved[0] = moved[0].contiguous(memory_format=torch.channels_last_3d)
        return moved


def _run_key(
    record: Mapping[str, Any],
    preset: Preset,
    scaling: Scaling,
    sampler: CandidateSampler,
    network: torch.nn.Module,
) -> str:
    """Identity of a training: settings, first weights, candidates and what is known of them."""
    digest = hashlib.sha256(repr((sorted(record.items()), asdict(preset), scaling.to_dict())).encode())
    digest.update(sampler.truth.tobytes())
    for array in (*sampler.images.values(), sampler.known):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    for _, value in sorted(network.state_dict().items()):
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
