"""What is simulated with what, and the settings that were frozen before the patients that prove them."""

from dataclasses import dataclass, field

from osln.simulation.arms import ARMS, RANDOM, Arm
from osln.simulation.cohorts import COHORTS, SimulatedCohort
from osln.simulation.cycle import Schedule

FULL = Arm("full", "everything labeled", "random")
"""No way of choosing: the ceiling."""
PATIENCE = 3
"""Whole random cases go on for so many times the rounds, to see when they arrive."""
FROZEN = "likeliest-10"
"""The arm whose gain is to be shown: named, with all its settings, before any figure of these cohorts was
looked at. It was the best one on other phantoms."""


@dataclass(frozen=True)
class Lane:
    """Runs that belong together: stage two learns, on cached candidates of the shipped stage one.

    Attributes:
        cohort: Whose patients.
        precision: Operating point of stage one, in words.
        learner: Name in `LEARNERS`.
        arms: What is compared; whole random cases among them.
        seeds: Runs of each arm; a seed deals pool, test and start anew.
        schedule: Of all runs.
        steps: Of a training of the network, about; None for its usual number, and for other learners.
    """

    cohort: SimulatedCohort = COHORTS["alike"]
    precision: str = "0.10"
    learner: str = "logistic"
    arms: tuple[Arm, ...] = tuple(ARMS.values())
    seeds: int = 16
    schedule: Schedule = field(default_factory=Schedule)
    steps: int | None = None

    def __post_init__(self) -> None:
        if RANDOM not in (arm.name for arm in self.arms):
            object.__setattr__(self, "arms", (ARMS[RANDOM], *self.arms))

    @property
    def name(self) -> str:
        """For files and reports."""
        steps = "" if self.steps is None else f"-{self.steps}"
        return f"{self.cohort.name}-at-{self.precision}-{self.learner}{steps}-by-{self.schedule.budget}"

    def schedule_of(self, arm: Arm) -> Schedule:
        """Of an arm: everything at once for the ceiling, more patience with whole random cases."""
        own = self.schedule
        if arm == FULL:
            return Schedule(self.cohort.pool, 0, own.budget)
        if arm.strategy == "random" and self.learner != "network":
            return Schedule(own.start, PATIENCE * own.rounds, own.budget)
        return own
