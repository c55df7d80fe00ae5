"""What strategies choose from, and what they answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from osln.active.chance import beta, drawn, lot, noised
from osln.active.evidence import CandidateEvidence, CaseEvidence


@dataclass(frozen=True)
class Waiting:
    """A case that may be asked about.

    Attributes:
        case: Its id.
        evidence: What a prediction left behind; None before the first.
        decided: Numbers of the candidates that are decided already.
        seen: Indices of the windows that were looked at already.
        descriptor: What `diverse` compares cases by; None if it is not known.
        to_complete: Decided in part, and of use only when all is decided (validation, test).
    """

    case: str
    evidence: CaseEvidence | None = None
    decided: frozenset[int] = frozenset()
    seen: frozenset[int] = frozenset()
    descriptor: tuple[float, ...] | None = None
    to_complete: bool = False

    @property
    def open(self) -> list[CandidateEvidence]:
        """Candidates that nobody has decided, in the order of the prediction."""
        found = self.evidence.candidates if self.evidence else ()
        return [one for one in found if one.candidate not in self.decided]

    @property
    def unseen(self) -> list[int]:
        """Windows that nobody has looked at."""
        found = self.evidence.windows if self.evidence else ()
        return [index for index in range(len(found)) if index not in self.seen]


@dataclass(frozen=True)
class Pool:
    """All that a strategy knows.

    Attributes:
        waiting: The cases to choose from, in any order, each once.
        labeled: Descriptors of the cases that are labeled, by case; for `diverse`.
    """

    waiting: Sequence[Waiting]
    labeled: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [one.case for one in self.waiting]
        if len(set(names)) != len(names):
            raise ValueError("the pool names a case twice: give each case once")


@dataclass(frozen=True)
class Query:
    """A case to be opened, and what to ask in it.

    Attributes:
        case: Its id.
        candidates: Numbers of the candidates, in the order to be asked; empty if nothing is known of any.
        windows: Indices of the windows to look at, in this order.
        value: What the case was chosen by; each strategy says what it means.
        why: In a sentence, for the annotator.
    """

    case: str
    candidates: tuple[int, ...]
    windows: tuple[int, ...]
    value: float
    why: str


@dataclass(frozen=True)
class Asked:
    """What a strategy is asked; see `osln.active.strategies.propose`.

    Attributes:
        waiting: Cases to choose from, by name.
        pool: All that is known.
        seed, round, rounds, count, k: As `propose`.
    """

    waiting: list[Waiting]
    pool: Pool
    seed: int
    round: int
    rounds: int
    count: int
    k: int

    def chance(self, one: Waiting) -> np.random.Generator:
        """That of one case in this round."""
        return drawn(self.seed, self.round, one.case)

    @property
    def by_chance(self) -> list[Waiting]:
        """All cases by chance; one that leaves the pool changes nothing in the order of the others."""
        return sorted(self.waiting, key=lambda one: lot(self.seed, self.round, one.case))

    def noised(self, one: Waiting, values: list[float]) -> list[float]:
        """Logarithms of values of a case with this round's noise."""
        return noised(values, beta(self.round, self.rounds), self.chance(one))
