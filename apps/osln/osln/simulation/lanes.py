"""What is simulated with what, and the settings that were frozen before the patients that prove them."""

from dataclasses import dataclass, field, replace

from osln.simulation.arms import ARMS, RANDOM, Arm
from osln.simulation.cohorts import COHORTS, SimulatedCohort
from osln.simulation.cycle import Schedule
from osln.simulation.retrained import StageOneRecipe

FULL = Arm("full", "everything labeled", "random")
"""No way of choosing: the ceiling."""
EVERYTHING = 10**6
"""Decisions; more than any pool takes."""
PATIENCE = 3
"""Whole random cases go on for so many times the rounds, to see when they arrive."""
FROZEN = "likeliest-10"
"""The arm whose gain is to be shown: named, with all its settings, before any figure of these cohorts was
looked at. It was the best one on other phantoms."""


@dataclass(frozen=True)
class Lane:
    """Runs that belong together: stage two learns, on cached candidates of the shipped stage one, or both do.

    Attributes:
        cohort: Whose patients.
        precision: Operating point of stage one, in words.
        learner: Name in `LEARNERS`.
        arms: What is compared; whole random cases among them.
        seeds: Runs of each arm; a seed deals pool, test and start anew.
        schedule: Of all runs.
        steps: Of a training of the network, about; None for its usual number, and for other learners.
        stage_one: How stage one learns; None where the shipped one stays as it is.
    """

    cohort: SimulatedCohort = COHORTS["alike"]
    precision: str = "0.10"
    learner: str = "numbers"
    arms: tuple[Arm, ...] = tuple(ARMS.values())
    seeds: int = 16
    schedule: Schedule = field(default_factory=Schedule)
    steps: int | None = None
    stage_one: StageOneRecipe | None = None

    def __post_init__(self) -> None:
        if RANDOM not in (arm.name for arm in self.arms):
            object.__setattr__(self, "arms", (ARMS[RANDOM], *self.arms))

    @property
    def name(self) -> str:
        """For files and reports."""
        if (recipe := self.stage_one) is not None:
            trained = f"{recipe.segmenter}-{recipe.first}-{recipe.steps}"
            return f"{self.cohort.name}-both-{trained}-{self.learner}-by-{self.schedule.budget}"
        steps = "" if self.steps is None else f"-{self.steps}"
        return f"{self.cohort.name}-at-{self.precision}-{self.learner}{steps}-by-{self.schedule.budget}"

    def schedule_of(self, arm: Arm) -> Schedule:
        """Of an arm: everything at once for the ceiling, more patience with whole random cases."""
        own = self.schedule
        if self.stage_one is not None:
            # Stage two learns from candidates of cases that stage one has not seen: there is a start.
            return Schedule(own.start, 1, EVERYTHING) if arm == FULL else own
        if arm == FULL:
            return Schedule(self.cohort.pool, 0, own.budget)
        if arm.strategy == "random" and self.learner != "network":
            return Schedule(own.start, PATIENCE * own.rounds, own.budget)
        return own

    def recipe_of(self, arm: Arm) -> StageOneRecipe:
        """How stage one learns in a run of an arm: as many steps in all for the ceiling as for the others."""
        assert self.stage_one is not None
        steps = self.stage_one.steps * (self.schedule.rounds if arm == FULL else 1)
        return replace(self.stage_one, steps=steps)
