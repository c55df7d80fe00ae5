"""The trainings of `./benchmarks/run set_gain`, all on the same candidates, and how their networks are asked.

Equal for all of them: the training candidates (of stage one, without the true nodes that are added
elsewhere), the number of steps, the learning rate's course, and the mean number of candidates of a step. The
networks over the set learn a patient at a step, the others as many candidates as a patient has on average, of
any patients.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from osln.files.arrays import write_json
from osln.jobs.worker import device, tell_training
from osln.learning.fit import fit
from osln.networks.set_glnet import SetGLNet
from osln.rows.experiments import CLASSIFIERS, CONTEXT, Preset
from osln.stage_two.candidate_sets import CandidateSet, load_set
from osln.stage_two.context import known_numbers
from osln.stage_two.numbers import candidate_numbers
from osln.stage_two.patches import Patches
from osln.stage_two.regression import decided_numbers, solve
from osln.stage_two.sampling import CandidateSampler
from osln.stage_two.scoring import CandidateScorer
from osln.stage_two.training import ClassifierLesson, fit_scaling
from osln.weights.checkpoint import Checkpoint, load_checkpoint

WHOLE, ALONE, OTHERS, DISTANCE, PLACE = "whole", "alone", "others", "distance", "place"
"""Ways of asking a network: as it learned; each candidate in a set of its own; each among the candidates of
another patient; with distance and zone, or with these and the place, of other candidates."""
DISTANCES = (CONTEXT.index("distance_mm"),)
PLACES = tuple(CONTEXT.index(name) for name in ("distance_mm", "x_mm", "y_mm", "z_mm"))

Scores = dict[str, list[float]]
"""Of the candidates of each case."""


@dataclass(frozen=True)
class Training:
    """A network of the comparison.

    Attributes:
        name: Key in `TRAININGS`.
        classifier: Name in `CLASSIFIERS`.
        alone: It learns with the attention of every candidate over itself alone.
        asked: Ways in which the trained network is asked.
    """

    name: str
    classifier: str
    alone: bool = False
    asked: tuple[str, ...] = (WHOLE,)


TRAININGS = {
    one.name: one
    for one in (
        Training("set", "set-glnet", asked=(WHOLE, ALONE, OTHERS, DISTANCE, PLACE)),
        Training("set-of-one", "set-glnet", alone=True, asked=(ALONE,)),
        Training("local-context", "local-context"),
        Training("local-ct-pet", "local-ct-pet"),
    )
}


class AloneLesson(ClassifierLesson):
    """The same batches, for a network whose candidates do not see each other."""

    def logits(self, network: nn.Module, patches: Any, boxes: Any, known: Any) -> torch.Tensor:
        """As `ClassifierLesson.logits`."""
        return judged_among(network, network.features(patches, boxes, known))  # type: ignore[arg-type,operator]

    def identity(self) -> tuple[dict[str, Any], Iterable[object]]:
        """As `ClassifierLesson.identity`; a state of the other training is not gone on from."""
        record, parts = super().identity()
        return record | {"alone": True}, parts


def judged_among(
    network: SetGLNet, features: torch.Tensor, others: torch.Tensor | None = None
) -> torch.Tensor:
    """(N,) logits of N candidates, each judged in a set of its own: itself and the others.

    Args:
        network: Over the set.
        features: (N, F) of the candidates.
        others: (M, F) of the candidates that each of them is judged among; nobody if omitted.
    """
    tokens = network.token(features)[:, None]
    if others is not None:
        tokens = torch.cat([tokens, network.token(others).expand(len(tokens), -1, -1)], dim=1)
    related = network.attention(tokens)[:, 0]
    return network.glnet.judge(features) + network.relation(related).float()[:, 0]


def found_only(one: CandidateSet) -> CandidateSet:
    """The set without the true nodes that are added for training."""
    count = one.n_candidates
    return replace(
        one, patches=one.patches.first(count), lesions=one.lesions[:count], truth=one.truth[:count]
    )


def train_matched(
    training: Training, preset: Preset, candidates: Sequence[Path], steps: int, **given: Any
) -> Checkpoint:
    """Train a network of the comparison.

    Args:
        training: Which one.
        preset: Size and recipe.
        candidates: Files of the training patients' sets.
        steps: In all, whatever the number of candidates.
        given: As by `keep_training`: seed, trained_on, device, resume_path.
    """
    sets = [found_only(load_set(path)) for path in candidates]
    classifier, scaling = (
        CLASSIFIERS[training.classifier],
        fit_scaling(CLASSIFIERS[training.classifier], sets),
    )
    recipe = replace(preset.stage_two, batch=mean_candidates(sets))
    sampler = CandidateSampler(sets, None, classifier, recipe, scaling, given["seed"])
    lesson = (AloneLesson if training.alone else ClassifierLesson)(
        steps=steps,
        epoch_steps=sampler.epoch_steps,
        seed=given["seed"],
        device=torch.device(given["device"]),
        learning_rate=recipe.learning_rate,
        preset=preset,
        sampler=sampler,
        cases=[one.case for one in sets],
        tagger=None,
        empty=Checkpoint(classifier.name, preset.name, scaling, {}, given["trained_on"]),
        initial=None,
        validation=((), None),
        watched=False,
    )
    learned = fit(lesson, resume_path=given["resume_path"], on_progress=tell_training)
    seen = len(sampler.truth) / len(sampler.patients) if sampler.patients else recipe.batch
    record = learned.record | {
        "steps": steps,
        "candidates_per_step": seen,
        "losses": [report["total"] for report in learned.reports],
    }
    return replace(lesson.empty, state_dict=learned.weights, metadata=record)


def mean_candidates(sets: Sequence[CandidateSet]) -> int:
    """Candidates of a patient who has any, on average, to the whole number."""
    counts = [one.n_candidates for one in sets if one.n_candidates]
    return max(1, round(sum(counts) / max(len(counts), 1)))


def ask(training: Training, weights: Path, candidates: Sequence[Path], seed: int, path: Path) -> None:
    """Keep what a network says of the test patients' candidates, by way of asking and case.

    Args:
        training: Which one.
        weights: Of the trained network.
        candidates: Files of the test patients' sets.
        seed: Of what is permuted.
        path: File of the scores.
    """
    scorer = CandidateScorer(load_checkpoint(weights), device(), number_format="f32")
    sets = [load_set(one) for one in candidates]
    write_json(path, {way: ASKING[way](scorer, sets, seed) for way in training.asked})


def ask_whole(scorer: CandidateScorer, sets: Sequence[CandidateSet], seed: int) -> Scores:
    """As it learned."""
    return {one.case: listed(scorer.scores(one.patches)) for one in sets}


def ask_alone(scorer: CandidateScorer, sets: Sequence[CandidateSet], seed: int) -> Scores:
    """Each candidate without the others."""
    return {case: judged(scorer, own, None) for case, own in _features(scorer, sets).items()}


def ask_among_others(scorer: CandidateScorer, sets: Sequence[CandidateSet], seed: int) -> Scores:
    """Each candidate among those of the next patient who has any."""
    features = _features(scorer, sets)
    with_any = [case for case, own in features.items() if len(own)]
    following = dict(zip(with_any, with_any[1:] + with_any[:1], strict=True))
    return {case: judged(scorer, own, features.get(following.get(case))) for case, own in features.items()}


def ask_permuted(columns: Sequence[int]) -> Callable[[CandidateScorer, Sequence[CandidateSet], int], Scores]:
    """Whole, with these columns of the context permuted among the candidates of all patients."""

    def ask_them(scorer: CandidateScorer, sets: Sequence[CandidateSet], seed: int) -> Scores:
        permuted = permuted_context(sets, columns, seed)
        return {one.case: listed(scorer.scores(patches)) for one, patches in zip(sets, permuted, strict=True)}

    return ask_them


ASKING: Mapping[str, Callable[[CandidateScorer, Sequence[CandidateSet], int], Scores]] = {
    WHOLE: ask_whole,
    ALONE: ask_alone,
    OTHERS: ask_among_others,
    DISTANCE: ask_permuted(DISTANCES),
    PLACE: ask_permuted(PLACES),
}


def permuted_context(sets: Sequence[CandidateSet], columns: Sequence[int], seed: int) -> list[Patches]:
    """Patches of every set; rows of these columns of the context change places, together, among all sets."""
    told = np.concatenate([context_of(one) for one in sets])
    moved = np.random.default_rng(seed).permutation(len(told))
    told[:, columns] = told[moved][:, columns]
    parts = np.split(told, np.cumsum([one.n_candidates for one in sets])[:-1])
    return [replace(one.patches, context=part) for one, part in zip(sets, parts, strict=True)]


def regression_scores(taught: Sequence[CandidateSet], asked: Sequence[CandidateSet]) -> Scores:
    """Of a regression on the numbers of the context, nodes and false candidates weighing alike."""
    known, truth = [], []
    for one in taught:
        learned_from = one.truth[: one.n_candidates] >= 0
        known.append(_numbers(one)[learned_from])
        truth.append(one.truth[: one.n_candidates][learned_from])
    solved = solve(np.concatenate(known), np.concatenate(truth))
    return {one.case: listed(solved.probabilities(_numbers(one))) for one in asked}


def numbers_scores(taught: Sequence[CandidateSet], asked: Sequence[CandidateSet], preset: Preset) -> Scores:
    """Of the row osln-numbers: a regression on the context and on the image in numbers."""
    solved = solve(*decided_numbers(taught, preset))
    return {
        one.case: listed(solved.probabilities(candidate_numbers(one.patches, preset.spacing_mm)))
        for one in asked
    }


def context_of(one: CandidateSet) -> np.ndarray:
    """(m, 6) context of the candidates that stage one found."""
    return np.array(one.patches.context)[: one.n_candidates]


def judged(scorer: CandidateScorer, own: np.ndarray, others: np.ndarray | None) -> list[float]:
    """Probabilities of `judged_among` for features; nothing for no candidate."""
    if not len(own):
        return []
    network = scorer.checkpoint.network()
    with torch.inference_mode():
        told = None if others is None else torch.from_numpy(others)
        return listed(torch.sigmoid(judged_among(network, torch.from_numpy(own), told)).numpy())  # type: ignore[arg-type]


def listed(scores: np.ndarray) -> list[float]:
    """As JSON values."""
    return scores.astype(float).tolist()  # type: ignore[no-any-return]


def _features(scorer: CandidateScorer, sets: Sequence[CandidateSet]) -> dict[str, np.ndarray]:
    return {one.case: scorer.judged(one.patches)[1] for one in sets}


def _numbers(one: CandidateSet) -> np.ndarray:
    return known_numbers(CLASSIFIERS["local-context"], None, context_of(one))  # type: ignore[return-value]
