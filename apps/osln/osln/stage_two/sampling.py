"""Training batches of candidates for stage two."""

from collections.abc import Sequence

import numpy as np

from osln.imaging.transforms import Scaling, network_input
from osln.imaging.turns import Turn
from osln.learning.errors import NothingToLearnError
from osln.rows.experiments import Classifier, StageTwo
from osln.stage_two.candidate_sets import LEFT_OUT, CandidateSet
from osln.stage_two.context import known_numbers
from osln.stage_two.patches import jittered

Batch = tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None, np.ndarray]
"""Patches (N, C, x, y, z), boxes (N, 3, 2), what is known (N, K), each None if not asked for; truth (N,), or
(N, 2) with the overlap for a network that predicts it."""


class CandidateSampler:
    """Endless, repeatable supply of batches: every epoch passes once through all candidates in another order.

    A batch of a network that judges the candidates of a patient together is a patient, as at inference:
    without the added nodes, but with the candidates that are neither a node nor none, whose truth is
    `LEFT_OUT`. Added nodes have no score of stage one, so a network that reads it learns without them too.

    Each patch is turned and mirrored with its box, and the faces of the box are moved (paper, section 4.2).

    Args:
        sets: Candidates of the training patients; those that are neither a node nor none are left out.
        tags: (n, 171) of each set, or None for a classifier that reads none.
        classifier: What is asked for.
        stage_two: Gives batch and jitter.
        scaling: Preprocessing numbers.
        seed: Any integer.

    Raises:
        ValueError: If there is no candidate, no node, or a set lacks the PET or the overlaps that are
            asked for.
    """

    def __init__(
        self,
        sets: Sequence[CandidateSet],
        tags: Sequence[np.ndarray] | None,
        classifier: Classifier,
        stage_two: StageTwo,
        scaling: Scaling,
        seed: int = 0,
    ) -> None:
        self.classifier, self.stage_two, self.scaling, self.seed = classifier, stage_two, scaling, seed
        check_pet(classifier, sets)
        if lacking := [one.case for one in sets if classifier.needs_overlap and one.iou is None]:
            raise ValueError(f"{classifier.name} cannot learn from case {lacking[0]}: no overlaps with nodes")
        together = classifier.network == "set-glnet"
        used = [_used(one, classifier.context, together) for one in sets]
        self.truth = _joined([one.truth[keep] for one, keep in zip(sets, used, strict=True)]).astype(
            np.float32
        )
        self.target = self.truth
        if classifier.needs_overlap:
            iou = _joined([one.iou[keep] for one, keep in zip(sets, used, strict=True)])  # type: ignore[index]
            self.target = np.stack([self.truth, iou.astype(np.float32)], axis=1)
        sizes = [int(keep.sum()) for keep in used]
        patients = np.split(np.arange(len(self.truth)), np.cumsum(sizes)[:-1]) if together else []
        self.patients = [one for one in patients if len(one)]
        self.nodes, self.false = (int((self.truth == value).sum()) for value in (1, 0))
        check_truth(classifier, len(sets), self.nodes, self.false)
        self.images: dict[str, np.ndarray | None] = {}
        if classifier.inputs:
            self.boxes = _joined([one.patches.boxes[keep] for one, keep in zip(sets, used, strict=True)])
            cts = [one.patches.ct_hu[keep] for one, keep in zip(sets, used, strict=True)]
            self.images["ct"] = _joined(cts)
        if classifier.needs_pet:
            pets = [one.patches.pet_suv[keep] for one, keep in zip(sets, used, strict=True)]  # type: ignore[index]
            self.images["pet"] = _joined(pets)
        told: Sequence[np.ndarray | None] = [None] * len(sets) if tags is None else tags
        known = [
            known_numbers(
                classifier,
                None if one is None else one[keep],
                None if content.patches.context is None else content.patches.context[keep],
            )
            for one, content, keep in zip(told, sets, used, strict=True)
        ]
        self.known = _joined(known) if classifier.tags or classifier.context else None  # type: ignore[arg-type]

    @property
    def epoch_steps(self) -> int:
        """Batches of an epoch; the last incomplete one is left out unless it is the only one."""
        if self.patients:
            return len(self.patients)
        return max(1, len(self.truth) // self.stage_two.batch)

    @property
    def positive_weight(self) -> float:
        """Weight of a node in the loss, so that nodes and false candidates count alike."""
        return self.false / self.nodes

    def batch(self, number: int) -> Batch:
        """Batch of a training step, from 0; it depends on the seed and its number only."""
        epoch, step = divmod(number, self.epoch_steps)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.patients or self.truth))
        if self.patients:
            chosen = self.patients[order[step]]
        else:
            chosen = order[step * self.stage_two.batch :][: self.stage_two.batch]
        rng = np.random.default_rng([self.seed, epoch, step])
        known = None if self.known is None else self.known[chosen]
        if not self.classifier.inputs:
            return None, None, known, self.target[chosen]
        patches, boxes = zip(*(self._augmented(index, rng) for index in chosen), strict=True)
        moved = jittered(np.stack(boxes), self.stage_two.jitter, self.stage_two.patch, rng)
        return np.stack(patches), moved, known, self.target[chosen]

    def _augmented(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        one = {name: None if image is None else image[index] for name, image in self.images.items()}
        patch = network_input(one, self.classifier.inputs, self.scaling)
        turn = Turn.drawn(rng, patch.shape[1:])
        return turn.of_patch(patch), turn.of_box(self.boxes[index], patch.shape[1:])


def check_pet(classifier: Classifier, sets: Sequence[CandidateSet]) -> None:
    """Raises ValueError if a set lacks the PET that a classifier learns from."""
    if lacking := [one.case for one in sets if classifier.needs_pet and one.patches.pet_suv is None]:
        raise ValueError(f"{classifier.name} cannot learn from case {lacking[0]}: no PET")


def check_truth(classifier: Classifier, patients: int, nodes: int, false: int) -> None:
    """Raises NothingToLearnError if there are no nodes or no false candidates to learn from."""
    if not nodes or not false:
        raise NothingToLearnError(
            f"{classifier.name} needs nodes and false candidates to learn from; {patients} training "
            f"patients have {nodes} nodes and {false} false candidates: approve further cases"
        )


def _used(one: CandidateSet, context: bool, together: bool) -> np.ndarray:
    """(n,) bool: which candidates of a set are learned from, or seen by those that are."""
    found = np.arange(len(one.truth)) < one.n_candidates
    return (found if context or together else True) & ((one.truth != LEFT_OUT) | together)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
