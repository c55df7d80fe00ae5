"""Training of one stage-two network, the same from the server, the command line and the experiments."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from osln.candidate_sampling import CandidateSampler
from osln.candidate_sets import CandidateSet
from osln.checkpoint import Checkpoint
from osln.classification import CandidateScorer
from osln.experiments import Classifier, Preset
from osln.matching import Scored
from osln.metrics import MFROC_FALSE_POSITIVES, best_f1, froc
from osln.networks.build import classifier_network, on_device
from osln.recipe import bf16_is_fast, candidate_loss, learning_rate
from osln.training import Progress
from osln.training_state import cpu_threads, load_state, save_state
from osln.transforms import Scaling
from osln.turning import mean_scores

VIEWS_HU = (-100.0, 200.0)
"""Window of the random views (Roth et al. 2016, published code)."""
SHOWN_FALSE_POSITIVES = 3.0
"""Per patient, where a training shows what it finds."""


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
        resume_path: File that holds the state after each epoch; see `training.train`.
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
        if resume_path is not None:
            run.resume(Path(resume_path), key)
        began, first = time.monotonic(), run.epoch
        while run.epoch < passes:
            run.losses.append(run.train_epoch())
            if resume_path is not None:
                run.save(Path(resume_path), key)
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


def evaluate_classifier(
    checkpoint: Checkpoint,
    sets: Sequence[CandidateSet],
    tags: Sequence[np.ndarray] | None = None,
    *,
    device: str = "cpu",
    precision: str | None = None,
) -> dict[str, Any]:
    """Figures of a stage-two network on patients whose nodes are known.

    Returns:
        JSON values. "metric" is mFROC, the figure that publishing is decided by (None without any node);
        "recall" at 3 false positives per patient, "f1" the best one, "stage_one" mFROC of the same
        candidates under their stage-one scores; "cases" has nodes, found and false candidates of each
        patient at the score that gives at most 3 false positives per patient.
    """
    patients = scored_patients(checkpoint, sets, tags, device=device, precision=precision)
    if not sum(patient.n_nodes for patient in patients):
        return {"metric": None, "recall": None, "f1": None, "stage_one": None, "patients": len(sets)}
    curve = froc(patients)
    least = curve.thresholds[curve.false_positives <= SHOWN_FALSE_POSITIVES][-1]
    return {
        "metric": curve.mean(),
        "recall": float(curve.at([SHOWN_FALSE_POSITIVES])[0]),
        "false_positives": SHOWN_FALSE_POSITIVES,
        "sensitivity": dict(
            zip(map(str, MFROC_FALSE_POSITIVES), curve.at(MFROC_FALSE_POSITIVES), strict=True)
        ),
        "f1": best_f1(patients).f1,
        "stage_one": froc([one.scored() for one in sets]).mean(),
        "patients": len(sets),
        "cases": {
            one.case: {
                "nodes": patient.n_nodes,
                "found": int((patient.hits & (patient.scores >= least)).sum()),
                "false": int((~patient.hits & (patient.scores >= least)).sum()),
            }
            for one, patient in zip(sets, patients, strict=True)
        },
    }


def scored_patients(
    checkpoint: Checkpoint,
    sets: Sequence[CandidateSet],
    tags: Sequence[np.ndarray] | None = None,
    *,
    device: str = "cpu",
    precision: str | None = None,
    turns: int = 1,
) -> list[Scored]:
    """The (score, hit) pairs of each patient's stage-one candidates under a stage-two network's scores.

    With `turns` the scores are means over that many turned views of the patches.
    """
    scorer = CandidateScorer(checkpoint, device, precision)
    given = [None] * len(sets) if tags is None else tags
    patients = []
    for one, told in zip(sets, given, strict=True):
        count = one.n_candidates
        scores = mean_scores(scorer, one.patches.first(count), None if told is None else told[:count], turns)
        patients.append(one.scored(scores))
    return patients


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
        self.half = bf16_is_fast(self.device)
        self.epoch = 0
        self.seconds = 0.0
        self.losses: list[float] = []

    def checkpoint(self, scaling: Scaling, record: Mapping[str, Any]) -> Checkpoint:
        """The network as it is now."""
        weights = {
            name: value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
            for name, value in self.network.state_dict().items()
        }
        return Checkpoint(self.classifier.name, self.preset.name, scaling, weights, "", dict(record))

    def train_epoch(self) -> float:
        """One pass through the candidates; returns the mean loss."""
        began = time.monotonic()
        self.network.train()
        weight = torch.tensor(self.sampler.positive_weight, device=self.device)
        total = 0.0
        with torch.random.fork_rng(devices=[]):
            # Dropout draws from torch's own source, which must not depend on what ran before.
            torch.manual_seed(self.seed * 100_003 + self.epoch)
            for step in range(self.sampler.epoch_steps):
                number = self.epoch * self.sampler.epoch_steps + step
                rate = learning_rate(self.preset.stage_two.learning_rate, number, self.steps)
                self.optimizer.param_groups[0]["lr"] = rate
                arrays = self.sampler.batch(number)
                patches, boxes, known, truth = (
                    None if array is None else torch.from_numpy(array).to(self.device) for array in arrays
                )
                if patches is not None:
                    patches = patches.contiguous(memory_format=torch.channels_last_3d)
                self.optimizer.zero_grad(set_to_none=True)
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                    logits = self.network(patches, boxes, known)
                loss = candidate_loss(logits, truth, weight)
                if not torch.isfinite(loss):
                    raise ValueError(
                        f"the loss is not a number in epoch {self.epoch + 1}: lower the learning rate (now "
                        f"{rate:.2g}) or look for broken voxels in the training images"
                    )
                loss.backward()
                self.optimizer.step()
                total += loss.item()
        self.epoch += 1
        self.seconds += time.monotonic() - began
        return total / self.sampler.epoch_steps

    def save(self, path: Path, key: str) -> None:
        """Write the state, whole or not at all."""
        parts = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        save_state(path, key, {"epoch": self.epoch, "seconds": self.seconds, "losses": self.losses, **parts})

    def resume(self, path: Path, key: str) -> None:
        """Go on from the file if it belongs to this training."""
        state = load_state(path, key, self.device)
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.seconds, self.losses = state["epoch"], state["seconds"], list(state["losses"])


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
