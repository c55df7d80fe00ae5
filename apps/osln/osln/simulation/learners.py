"""What learns from decisions, each time from scratch: the product's own ways, and trees beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from osln.rows.experiments import CLASSIFIERS
from osln.simulation.cases import DEMO, Case
from osln.stage_two.candidate_sets import LEFT_OUT, CandidateSet, load_set
from osln.stage_two.regression import solve
from osln.stage_two.scoring import CandidateScorer
from osln.stage_two.training import train_classifier

Decided = Mapping[str, frozenset[int]]
"""By case, the indices of the candidates that the annotator has judged."""
Scorer = Callable[[Sequence[Case]], list[np.ndarray]]
"""(m,) probabilities of the candidates of each case."""


class Learner(Protocol):
    """Learns from what is decided and from nothing else."""

    def learn(self, cases: Mapping[str, Case], decided: Decided, seed: int) -> Scorer:
        """A scorer that was taught from scratch; stage one's own where nodes or others are lacking."""


def taught(cases: Mapping[str, Case], decided: Decided) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (n, 39) and truth (n,) of what is decided and is a node or none."""
    numbers, truth = [np.zeros((0, 39), dtype=np.float32)], [np.zeros(0, dtype=np.int8)]
    for name, indices in sorted(decided.items()):
        one, chosen = cases[name], sorted(indices)
        chosen = [index for index in chosen if one.truth[index] != LEFT_OUT]
        numbers.append(one.numbers[chosen])
        truth.append(one.truth[chosen])
    return np.concatenate(numbers), np.concatenate(truth)


def by_stage_one(cases: Sequence[Case]) -> list[np.ndarray]:
    """The scorer where nothing can be learned."""
    return [case.stage_one for case in cases]


@dataclass(frozen=True)
class OnNumbers:
    """A learner on the numbers of candidates.

    Attributes:
        fit: From numbers (n, 39), truth (n,) of both kinds and a seed to what gives (k,) probabilities of
            other numbers (k, 39). Nodes and others must weigh alike.
    """

    fit: Callable[[np.ndarray, np.ndarray, int], Callable[[np.ndarray], np.ndarray]]

    def learn(self, cases: Mapping[str, Case], decided: Decided, seed: int) -> Scorer:
        """As `Learner.learn`."""
        return self.fitted(*taught(cases, decided), seed)

    def fitted(self, numbers: np.ndarray, truth: np.ndarray, seed: int) -> Scorer:
        """The same from numbers (n, 39) and truth (n,) of candidates, 1 for a node and 0 for none."""
        if len(np.unique(truth)) < 2:
            return by_stage_one
        probabilities = self.fit(numbers, truth, seed)

        def score(asked: Sequence[Case]) -> list[np.ndarray]:
            joined = np.concatenate([case.numbers for case in asked])
            found = probabilities(joined) if len(joined) else np.zeros(0)
            return np.split(found, np.cumsum([len(case.numbers) for case in asked])[:-1])

        return score


def _solved(numbers: np.ndarray, truth: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    # Chance has no part in it.
    return solve(numbers, truth).probabilities


def _trees(numbers: np.ndarray, truth: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    from sklearn.ensemble import ExtraTreesClassifier

    trees = ExtraTreesClassifier(100, min_samples_leaf=3, class_weight="balanced", random_state=seed)
    trees.fit(numbers, truth)
    return lambda others: trees.predict_proba(others)[:, 1]


@dataclass(frozen=True)
class Network:
    """The product's own stage two on patches, taught for equally many steps each time.

    Attributes:
        classifier: Name in `CLASSIFIERS`; one that reads no tags.
        steps: Of a training, about.
    """

    classifier: str
    steps: int

    def learn(self, cases: Mapping[str, Case], decided: Decided, seed: int) -> Scorer:
        """As `Learner.learn`."""
        _, truth = taught(cases, decided)
        if len(np.unique(truth)) < 2:
            return by_stage_one
        sets = [known_part(_read(cases[name].path), indices) for name, indices in sorted(decided.items())]
        classifier = CLASSIFIERS[self.classifier]
        together = classifier.network == "set-glnet"
        epoch_steps = len(sets) if together else max(1, len(truth) // DEMO.stage_two.batch)
        epochs = max(1, round(self.steps / epoch_steps))
        checkpoint = train_classifier(
            classifier, DEMO, sets, epochs=epochs, seed=seed, trained_on="phantom", threads=1
        )
        scorer = CandidateScorer(checkpoint, number_format="f32")
        return lambda asked: [
            scorer.scores(_read(case.path).patches.first(len(case.truth))) for case in asked
        ]


def known_part(content: CandidateSet, decided: frozenset[int]) -> CandidateSet:
    """A case of which only these candidates were judged: the others are seen, and neither node nor none."""
    truth = np.full_like(content.truth, LEFT_OUT)
    chosen = sorted(decided)
    truth[chosen] = content.truth[chosen]
    return replace(content, truth=truth)


@lru_cache(maxsize=256)
def _read(path: Path) -> CandidateSet:
    return load_set(path)


LEARNERS: dict[str, Learner] = {
    "numbers": OnNumbers(_solved),
    "trees": OnNumbers(_trees),
    "network": Network("set-glnet", 120),
}
"""By name; `numbers` and `network` are what the server offers as the rows osln-numbers and osln-set-glnet."""
