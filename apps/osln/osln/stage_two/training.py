"""Training of one stage-two network, the same from the server, the command line and the experiments."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from osln.imaging.transforms import Scaling
from osln.learning.fit import Lesson, Progress, fit, weights_of
from osln.learning.losses import candidate_loss
from osln.networks.build import classifier_network, on_device
from osln.rows.experiments import Classifier, Preset
from osln.stage_two.candidate_sets import CandidateSet
from osln.stage_two.regression import train_regression
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

    Cross-entropy in which nodes and false candidates weigh alike, and that of the overlap where it is
    predicted, Adam; the preset's epochs are passes through all candidates.

    Args:
        classifier: Which network.
        preset: Size and recipe.
        sets: Candidates of the training patients, true nodes added; with `iou` for a network that
            predicts it.
        tags: (n, 171) of each set; only for a network that reads tags.
        validation: Sets and tags of the patients for the progress figures; nothing is chosen by them.
        epochs: The preset's number if omitted.
        seed: Of first weights and batches.
        initial: Checkpoint to go on from; its scaling is kept.
        tagger: What the tags come from; kept with the weights.
        trained_on: What the weights may claim.
        device: "cpu", "cuda" or "cuda:N".
        threads, resume_path, on_progress: See `osln.learning.fit.fit`.

    Raises:
        ValueError: Nothing to learn from, another network's checkpoint, or a loss that is not a number.
    """
    if initial is not None:
        _check_initial(initial, classifier, preset)
    if classifier.network == "numbers":
        # It is solved: where it began does not matter, and there are no steps.
        return train_regression(
            classifier, preset, sets, validation[0], trained_on=trained_on, on_progress=on_progress
        )
    scaling = fit_scaling(classifier, sets) if initial is None else initial.scaling
    scaling = replace(scaling, prefilter=preset.prefilter)
    sampler = CandidateSampler(sets, tags, classifier, preset.stage_two, scaling, seed)
    lesson = ClassifierLesson(
        steps=(preset.stage_two.epochs if epochs is None else epochs) * sampler.epoch_steps,
        epoch_steps=sampler.epoch_steps,
        seed=seed,
        device=torch.device(device),
        learning_rate=preset.stage_two.learning_rate,
        preset=preset,
        sampler=sampler,
        cases=[one.case for one in sets],
        tagger=dict(tagger) if tagger and classifier.tags else None,
        empty=Checkpoint(classifier.name, preset.name, scaling, {}, trained_on),
        initial=initial,
        validation=validation,
        watched=on_progress is not None,
    )
    learned = fit(lesson, threads=threads, resume_path=resume_path, on_progress=on_progress)
    record = learned.record | {"losses": [report["total"] for report in learned.reports]}
    return replace(lesson.empty, state_dict=learned.weights, metadata=record)


@dataclass(kw_only=True)
class ClassifierLesson(Lesson[nn.Module]):
    """Candidates and what is known of them.

    Attributes:
        preset: Of the network.
        sampler: Batches; names the network.
        cases: Patients that the candidates are of.
        tagger: What their tags come from.
        empty: Checkpoint without weights.
        initial: First weights, if not random ones.
        validation: Candidates and tags of the validation patients.
        watched: Whether anybody is told the figures of these.
    """

    preset: Preset
    sampler: CandidateSampler
    cases: Sequence[str]
    tagger: Mapping[str, Any] | None
    empty: Checkpoint
    initial: Checkpoint | None
    validation: tuple[Sequence[CandidateSet], Sequence[np.ndarray] | None]
    watched: bool
    bf16: bool = field(init=False)

    def network(self) -> nn.Module:
        network = classifier_network(self.sampler.classifier, self.preset)
        if self.initial is not None:
            network.load_state_dict(dict(self.initial.state_dict))
        network = on_device(network, self.device)
        patches, boxes, tags, _ = self._on_device(self.sampler.batch(0))
        self.bf16 = bf16_is_sound(self.device, network, lambda: network(patches, boxes, tags))
        return network

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), lr=self.learning_rate)

    def loss(self, network: nn.Module, step: int) -> dict[str, torch.Tensor]:
        patches, boxes, tags, truth = self._on_device(self.sampler.batch(step))
        with torch.random.fork_rng(devices=[]):
            # Dropout draws from torch's own source, which must not depend on what ran before.
            torch.manual_seed(self.seed * 1_000_003 + step)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                logits = self.logits(network, patches, boxes, tags)
        positive_weight = torch.tensor(self.sampler.positive_weight, device=self.device)
        return {"total": candidate_loss(logits, truth, positive_weight)}

    def logits(self, network: nn.Module, patches: Any, boxes: Any, known: Any) -> torch.Tensor:
        """(N,) what a network in training says of a batch; arguments as of `GLNet.forward`."""
        return network(patches, boxes, known)

    def identity(self) -> tuple[dict[str, Any], Iterable[object]]:
        sampler = self.sampler
        record = {
            "preset": self.preset.name,
            "epochs": self.steps // self.epoch_steps,
            "learning_rate": self.learning_rate,
            "candidates": len(sampler.truth),
            "nodes": sampler.nodes,
            "train_cases": self.cases,
            "validation_cases": [one.case for one in self.validation[0]],
            "tagger": self.tagger,
        }
        boxes = sampler.boxes if sampler.images else None
        arrays = (sampler.target, *sampler.images.values(), boxes, sampler.known)
        return record, (asdict(self.preset), sampler.scaling, *arrays)

    def look(self, network: nn.Module, step: int) -> dict[str, Any] | None:
        if not (self.watched and self.validation[0]):
            return None
        checkpoint = replace(self.empty, state_dict=weights_of(network))
        return evaluate_classifier(checkpoint, *self.validation, device=str(self.device))

    def _on_device(self, arrays: Batch) -> list[Any]:
        """A batch as tensors where the network is."""
        moved: list[Any] = [
            None if array is None else torch.from_numpy(array).to(self.device) for array in arrays
        ]
        if moved[0] is not None:
            moved[0] = moved[0].contiguous(memory_format=torch.channels_last_3d)
        return moved


def _check_initial(initial: Checkpoint, classifier: Classifier, preset: Preset) -> None:
    if (initial.name, initial.preset) != (classifier.name, preset.name):
        raise ValueError(
            f"the first weights are of {initial.name} ({initial.preset}), not of {classifier.name} "
            f"({preset.name}): train from scratch instead"
        )
    initial.check_prefilter(preset)


def fit_scaling(classifier: Classifier, sets: Sequence[CandidateSet]) -> Scaling:
    """Preprocessing numbers: fitted to the PET around the training candidates if the network sees PET."""
    pets = [one.patches.pet_suv for one in sets if one.patches.pet_suv is not None]
    scaling = Scaling.fit(pets if classifier.needs_pet else [])
    return replace(scaling, ct_window_hu=VIEWS_HU) if classifier.network == "random-views" else scaling
