"""Training of one stage-two network, the same from the server, the command line and the experiments."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from osln.candidate_sampling import Batch, CandidateSampler
from osln.candidate_sets import CandidateSet
from osln.checkpoint import Checkpoint
from osln.classifier_validation import evaluate_classifier
from osln.experiments import Classifier, Preset
from osln.networks.build import classifier_network, on_device
from osln.recipe import bf16_is_sound, candidate_loss, learning_rate
from osln.training import Progress
from osln.training_state import StateFile, cpu_threads
from osln.transforms import Scaling

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
    with cpu_threads(threads):
        run = _Run(classifier, preset, sampler, passes, seed, initial, device)
        key = _run_key(record, preset, scaling, sampler, run)
        state = StateFile(None if resume_path is None else Path(resume_path), key)
        run.resume(state)
        began, first = time.monotonic(), run.epoch
        while run.epoch < passes:
            run.train_epoch(state)
            state.save(run.content, at_once=True)
            figures = None
            if on_progress is not None:
                if validation[0]:
                    figures = evaluate_classifier(run.checkpoint(scaling, record), *validation, device=device)
                left = (time.monotonic() - began) / (run.epoch - first) * (passes - run.epoch)
                steps = sampler.epoch_steps
                on_progress(
                    Progress(
                        run.epoch,
                        passes,
                        run.epoch * steps,
                        passes * steps,
                        run.losses[-1],
                        0.0,
                        figures,
                        left,
                    )
                )
    record |= {"seconds": round(run.seconds, 1), "losses": run.losses}
    return replace(run.checkpoint(scaling, record), trained_on=trained_on)


def fit_scaling(classifier: Classifier, sets: Sequence[CandidateSet]) -> Scaling:
    """Preprocessing numbers: fitted to the PET around the training candidates if the network sees PET."""
    pets = [one.patches.pet_suv for one in sets if one.patches.pet_suv is not None]
    scaling = Scaling.fit(pets if classifier.needs_pet else [])
    return replace(scaling, ct_window_hu=VIEWS_HU) if classifier.network == "random-views" else scaling


class _Run:
    """Network, optimizer and position of a training."""

    def __init__(
        self,
        classifier: Classifier,
        preset: Preset,
        sampler: CandidateSampler,
        epochs: int,
        seed: int,
        initial: Checkpoint | None,
        device: str,
    ) -> None:
        self.classifier, self.preset, self.sampler = classifier, preset, sampler
        self.steps = epochs * sampler.epoch_steps
        self.seed, self.device = seed, torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = classifier_network(classifier, preset)
        if initial is not None:
            network.load_state_dict(dict(initial.state_dict))
        self.network = on_device(network, self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=preset.stage_two.learning_rate)
        patches, boxes, tags, _ = self._on_device(sampler.batch(0))
        self.half = bf16_is_sound(self.device, self.network, lambda: self.network(patches, boxes, tags))
        self.epoch = 0
        self.seconds = 0.0
        self.losses: list[float] = []
        self.steps_of_epoch: list[float] = []
        """Loss of each step of the epoch that is not over."""

    def checkpoint(self, scaling: Scaling, record: Mapping[str, Any]) -> Checkpoint:
        """The network as it is now."""
        weights = {
            name: value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
            for name, value in self.network.state_dict().items()
        }
        return Checkpoint(self.classifier.name, self.preset.name, scaling, weights, "", dict(record))

    def train_epoch(self, state: StateFile) -> None:
        """One pass through the candidates, or the rest of it after an interruption."""
        self.network.train()
        weight = torch.tensor(self.sampler.positive_weight, device=self.device)
        steps = self.sampler.epoch_steps
        while (step := len(self.steps_of_epoch)) < steps:
            began = time.monotonic()
            self.steps_of_epoch.append(self._step(self.epoch * steps + step, weight))
            self.seconds += time.monotonic() - began
            if step + 1 < steps:
                # After the last one the epoch's mean belongs to the state; `train_classifier` saves it.
                state.save(self.content)
        self.losses.append(sum(self.steps_of_epoch) / steps)
        self.steps_of_epoch = []
        self.epoch += 1

    def _step(self, number: int, weight: torch.Tensor) -> float:
        """One training step; returns its loss."""
        rate = learning_rate(self.preset.stage_two.learning_rate, number, self.steps)
        self.optimizer.param_groups[0]["lr"] = rate
        patches, boxes, tags, truth = self._on_device(self.sampler.batch(number))
        self.optimizer.zero_grad(set_to_none=True)
        with torch.random.fork_rng(devices=[]):
            # Dropout draws from torch's own source, which must not depend on what ran before.
            torch.manual_seed(self.seed * 1_000_003 + number)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                logits = self.network(patches, boxes, tags)
        loss = candidate_loss(logits, truth, weight)
        if not torch.isfinite(loss):
            raise ValueError(
                f"the loss is not a number in epoch {self.epoch + 1}: lower the learning rate (now "
                f"{rate:.2g}) or look for broken voxels in the training images"
            )
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def _on_device(self, arrays: Batch) -> list[Any]:
        """A batch as tensors where the network is."""
        moved: list[Any] = [
            None if array is None else torch.from_numpy(array).to(self.device) for array in arrays
        ]
        if moved[0] is not None:
            moved[0] = moved[0].contiguous(memory_format=torch.channels_last_3d)
        return moved

    def content(self) -> dict[str, Any]:
        """All that the training goes on from."""
        parts = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        figures = {"losses": self.losses, "steps_of_epoch": self.steps_of_epoch, "seconds": self.seconds}
        return {"epoch": self.epoch, **figures, **parts}

    def resume(self, file: StateFile) -> None:
        """Go on from the file if it belongs to this training."""
        state = file.load(self.device)
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.seconds = state["epoch"], state["seconds"]
            self.losses, self.steps_of_epoch = list(state["losses"]), list(state["steps_of_epoch"])


def _run_key(
    record: Mapping[str, Any], preset: Preset, scaling: Scaling, sampler: CandidateSampler, run: _Run
) -> str:
    """Identity of a training: settings, first weights, candidates and what is known of them."""
    digest = hashlib.sha256(repr((sorted(record.items()), asdict(preset), scaling.to_dict())).encode())
    digest.update(sampler.truth.tobytes())
    for array in (*sampler.images.values(), sampler.known):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    for _, value in sorted(run.network.state_dict().items()):
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
