"""Stage two for a young cohort: logistic regression on the numbers of candidates, solved exactly.

A network that sees patches learns from hundreds of patients; from the few that a hospital begins with it is
worse than stage one alone (docs/results-active-learning.md). This one has 40 parameters and takes
a second for 50 patients.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit

from osln.imaging.transforms import Scaling
from osln.learning.fit import Progress
from osln.networks.numbers import STRONGEST_SD, NumbersNet
from osln.rows.experiments import NUMBER_INPUTS, Classifier, Preset
from osln.stage_two.candidate_sets import LEFT_OUT, CandidateSet
from osln.stage_two.numbers import RADII_MM, candidate_numbers
from osln.stage_two.sampling import check_pet, check_truth
from osln.stage_two.validation import evaluate_classifier
from osln.weights.checkpoint import Checkpoint

WEIGHT_OF_DATA = 0.05
"""Of the summed cross-entropy beside half of the squared weights: chosen on phantoms before the patients that
docs/results-active-learning.md reports on were generated."""
LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class Regression:
    """A solved regression on K numbers.

    Attributes:
        mean, spread: (K,) of the candidates it was learned from.
        weights: (K,) of the standardized numbers.
        offset: Of the log odds.
        loss: Mean cross-entropy, nodes and false candidates weighing alike.
    """

    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    offset: float
    loss: float

    def probabilities(self, numbers: np.ndarray) -> np.ndarray:
        """(n,) of candidates with these numbers, (n, K)."""
        return expit(_standardized(numbers, self.mean, self.spread) @ self.weights + self.offset)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Weights of a `NumbersNet`."""
        network = NumbersNet(len(self.mean))
        with torch.no_grad():
            network.mean.copy_(torch.from_numpy(self.mean))
            network.spread.copy_(torch.from_numpy(self.spread))
            network.score.weight.copy_(torch.from_numpy(self.weights[None]))
            network.score.bias.fill_(self.offset)
        return dict(network.state_dict())


def solve(numbers: np.ndarray, truth: np.ndarray) -> Regression:
    """The regression with the least loss: cross-entropy in which both classes weigh alike, and a ridge.

    Args:
        numbers: (n, K) of candidates.
        truth: (n,) 1 for a node, 0 for none; both occur.
    """
    numbers = numbers.astype(np.float64)
    mean, spread = numbers.mean(axis=0), np.maximum(numbers.std(axis=0), LEAST_SPREAD)
    x = _standardized(numbers, mean, spread)
    is_node = truth == 1
    share = np.where(is_node, 0.5 / is_node.sum(), 0.5 / (~is_node).sum())

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, offset = parameters[:-1], parameters[-1]
        logits = x @ weights + offset
        entropy = share @ np.where(is_node, np.logaddexp(0, -logits), np.logaddexp(0, logits))
        pull = share * (expit(logits) - is_node)
        # The shares sum to 1; the ridge is that of the summed cross-entropy.
        ridge = weights / (WEIGHT_OF_DATA * len(x))
        gradient = np.append(pull @ x + ridge, pull.sum())
        return float(entropy + ridge @ weights / 2), gradient

    close = {"gtol": 1e-9, "ftol": 1e-14, "maxiter": 2000}
    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options=close)
    weights, offset = found.x[:-1], float(found.x[-1])
    ridge = float(weights @ weights) / (2 * WEIGHT_OF_DATA * len(x))
    return Regression(mean, spread, weights, offset, float(found.fun) - ridge)


def train_regression(
    classifier: Classifier,
    preset: Preset,
    sets: Sequence[CandidateSet],
    validation: Sequence[CandidateSet] = (),
    *,
    trained_on: str,
    on_progress: Callable[[Progress], None] | None = None,
) -> Checkpoint:
    """Learn from the candidates of stage one that are a node or none; added nodes have no score of stage one.

    Args:
        classifier: Row of `CLASSIFIERS` whose network is "numbers".
        preset: Its grid gives sizes in mm.
        sets: Candidates of the training patients, with PET.
        validation: Those of the patients whose figures are told.
        trained_on: What the weights may claim.
        on_progress: Called once, at the end.

    Raises:
        ValueError: There is no node, no false candidate or no PET to learn from.
    """
    began = time.monotonic()
    check_pet(classifier, sets)
    numbers, truth = decided_numbers(sets, preset)
    nodes, false = (int((truth == value).sum()) for value in (1, 0))
    check_truth(classifier, len(sets), nodes, false)
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"{classifier.name} cannot learn from images with NaN or infinity, or from patches smaller than "
            f"{2 * RADII_MM[-1]:.0f} mm: check CT and PET of {', '.join(one.case for one in sets[:3])}"
        )
    solved = solve(numbers, truth)
    record = {
        "preset": preset.name,
        "weight_of_data": WEIGHT_OF_DATA,
        "candidates": len(truth),
        "nodes": nodes,
        "train_cases": [one.case for one in sets],
        "validation_cases": [one.case for one in validation],
        "device": "cpu",
        "torch": str(torch.__version__),
        "losses": [solved.loss],
        "seconds": round(time.monotonic() - began, 1),
    }
    scaling = Scaling(prefilter=preset.prefilter)
    checkpoint = Checkpoint(classifier.name, preset.name, scaling, solved.state_dict(), trained_on, record)
    if on_progress is not None:
        figures = evaluate_classifier(checkpoint, validation) if validation else None
        on_progress(Progress(1, 1, 1, {"total": solved.loss}, figures, 0.0))
    return checkpoint


def decided_numbers(sets: Sequence[CandidateSet], preset: Preset) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (n, K) float32 and truth (n,) int8 of the candidates of stage one that are a node or none."""
    numbers = [np.zeros((0, NUMBER_INPUTS), dtype=np.float32)]
    truths = [np.zeros(0, dtype=np.int8)]
    for one in sets:
        truth = one.truth[: one.n_candidates]
        found = candidate_numbers(one.patches.first(one.n_candidates), preset.spacing_mm)
        numbers.append(found[truth != LEFT_OUT])
        truths.append(truth[truth != LEFT_OUT])
    return np.concatenate(numbers), np.concatenate(truths)


def _standardized(numbers: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.clip((numbers - mean) / spread, -STRONGEST_SD, STRONGEST_SD)
