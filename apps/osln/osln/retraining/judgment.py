"""Is a new network worse than what is in use? Both on the same patients, which neither has learned from.

With few patients a difference of two figures says little. What decides is the probability that the new
network is worse, from the spread of the paired difference over patients, and the verdict says how many
patients and nodes it rests on.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from osln.metrics.bootstrap import candidate_distributions, distribution, resamples
from osln.metrics.definitions import Counts, mean_recall
from osln.metrics.matching import Scored
from osln.metrics.sweep import Sweep

HIGHEST_RISK = 0.2
"""Probability of being worse below which a network is published, unless told otherwise."""
ROUNDING = 1e-9
MOST_PATIENTS = 1000
"""Where the search ends for how many patients would tell."""

Found = Sequence[Sweep] | Sequence[Scored]
"""What a network finds, case by case: sweeps of stage one, scored candidates of stage two."""


@dataclass(frozen=True)
class Judgment:
    """A new network beside its rival.

    Attributes:
        patients: How many both were judged on.
        nodes: Of these patients.
        difference: Of the figure that decides, new minus rival; None if there is nothing to judge on.
        low, high: Its 95 % interval over patients; None with fewer than two patients with nodes.
        risk: Probability that the new network is the worse one; None as the interval is.
        patients_to_tell: How many patients of the same kind would bring the risk below the limit; None if
            the new network is not better on these, or more than `MOST_PATIENTS` would be needed.
    """

    patients: int
    nodes: int
    difference: float | None
    low: float | None = None
    high: float | None = None
    risk: float | None = None
    patients_to_tell: int | None = None

    def passes(self, highest_risk: float) -> bool:
        """Whether the new network may take the place of the other."""
        return self.risk is not None and self.risk < highest_risk


def patients_with_nodes(nodes: Iterable[int], patients: Iterable[Hashable] | None = None) -> int:
    """How many patients have a node: so many say something about a network.

    Args:
        nodes: Of each case.
        patients: The patient of each case; None if each is of another one.
    """
    if patients is None:
        return sum(number > 0 for number in nodes)
    return len({patient for number, patient in zip(nodes, patients, strict=True) if number > 0})


def judge(
    new: Found, rival: Found, patients: Sequence[Hashable] | None = None, highest_risk: float = HIGHEST_RISK
) -> Judgment:
    """Compares two networks on the same cases in the same order.

    The spread is that of the paired difference over resamples of the patients. Resamples of n patients vary
    too little by the factor of sqrt((n - 1) / n), which weighs with few; it is made good, and the
    probability is that of Student's t with n - 1 degrees of freedom, n being the patients with nodes.

    Args:
        new: Of the new network.
        rival: Of what is in use.
        patients: The patient of each case; None if each is of another one.
        highest_risk: For `patients_to_tell`.

    Returns:
        The judgment. Two networks that find the same in every case have a risk of .5: nothing tells
        them apart.

    Raises:
        ValueError: The lists differ in length.
    """
    if len(new) != len(rival):
        raise ValueError(f"{len(new)} cases beside {len(rival)}: compare two networks on the same ones")
    cases = range(len(new)) if patients is None else patients
    number, nodes = len(set(cases)), sum(one.n_nodes for one in new)
    if not nodes:
        return Judgment(number, 0, None)
    weights, count = resamples(cases), patients_with_nodes((one.n_nodes for one in new), cases)
    (value, draws), (other_value, other_draws) = _figure(new, weights), _figure(rival, weights)
    difference = value - other_value
    if count < 2:
        return Judgment(number, nodes, difference)
    spread = float(np.nanstd(draws - other_draws) * np.sqrt(count / (count - 1)))
    if spread < ROUNDING:
        spread = 0.0
    half = float(stdtrit(count - 1, 0.975)) * spread
    return Judgment(
        number,
        nodes,
        difference,
        difference - half,
        difference + half,
        _risk(difference, spread, count),
        _patients_to_tell(difference, spread, count, number, highest_risk),
    )


def _figure(found: Found, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """mRecall of sweeps, mFROC of scored candidates: on all patients, and on each resample."""
    sweeps = [one for one in found if isinstance(one, Sweep)]
    if sweeps:
        made = distribution([Counts.of(sweeps)], mean_recall, weights)
    else:
        scored = [one for one in found if isinstance(one, Scored)]
        made = candidate_distributions([scored], [float("nan")], weights)["mfroc"]
    return made.value, made.draws


def _risk(difference: float, spread: float, count: int) -> float:
    if spread == 0:
        return 0.5 if abs(difference) < ROUNDING else float(difference < 0)
    return float(stdtr(count - 1, -difference / spread))


def _patients_to_tell(
    difference: float, spread: float, count: int, patients: int, highest_risk: float
) -> int | None:
    if difference <= 0 or _risk(difference, spread, count) < highest_risk:
        return None
    for more in range(count + 1, MOST_PATIENTS):
        if _risk(difference, spread * np.sqrt(count / more), more) < highest_risk:
            return int(np.ceil(more * patients / count))
    return None
