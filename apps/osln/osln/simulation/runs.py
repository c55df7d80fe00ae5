"""Runs as files that are made once: a stopped simulation goes on where it was."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from osln.cohorts.phantoms import PhantomCohort
from osln.files.arrays import write_arrays
from osln.files.code import code_key
from osln.imaging.column_file import load_column
from osln.jobs.artifact import Artifact
from osln.jobs.worker import tell
from osln.metrics.matching import Scored
from osln.simulation.arms import Arm
from osln.simulation.both import run_both
from osln.simulation.cases import DEMO, FORMAT, Case, StageOne, make_cases, read_case
from osln.simulation.code import RUN, RUN_OF_BOTH
from osln.simulation.cohorts import Site
from osln.simulation.cycle import Point, Schedule, run
from osln.simulation.lanes import FULL, Lane
from osln.simulation.learners import LEARNERS, Learner, Network, OnNumbers
from osln.simulation.retrained import Networks

CHUNK = 8
"""Patients of one artifact."""
STEP, LOOK = 0.7, 1.0
"""Seconds of a core for a training step of stage one and for its look at a patient."""
SECONDS = {"case": 4.5, "numbers": 2.0, "trees": 8.0, "network": 25.0}
"""About what one core takes for a patient, a run on numbers, a training of the network; for the bar alone."""
COUNTS = ("judged", "added", "opened", "cases", "nodes")


@dataclass(frozen=True)
class Files:
    """Where a simulation keeps what it makes.

    Attributes:
        work: Folder of everything.
        stage_one: Finds the candidates; None for lanes in which stage one learns, too.
    """

    work: Path
    stage_one: StageOne | None = None

    def case(self, lane: Lane, case: str) -> Path:
        """Candidates of a patient."""
        site = lane.cohort.by_case[case]
        assert self.stage_one is not None
        return self.stage_one.path(self.work, site.parameters, lane.precision, case)

    def candidates(self, lane: Lane) -> list[Artifact]:
        """Of all patients of a lane, in parts; made for every operating point at once."""
        assert self.stage_one is not None
        found = []
        cases = lane.cohort.cases
        for first in range(0, len(cases), CHUNK):
            part = {case: lane.cohort.by_case[case] for case in cases[first : first + CHUNK]}
            paths = tuple(self.case(lane, case) for case in part)
            make = partial(make_cases, part, self.stage_one, DEMO, self.work)
            name = f"candidates of {lane.cohort.name} at {lane.precision} from {next(iter(part))}"
            found.append(Artifact(name, paths, (), make, SECONDS["case"] * len(part)))
        return found

    def phantoms(self, site: Site) -> PhantomCohort:
        """Patients of a site with their images, for the lane in which stage one learns from these."""
        return PhantomCohort(self.work, DEMO, (site.parameters,))

    def columns(self, lane: Lane) -> list[Artifact]:
        """All patients of such a lane."""
        found = []
        for case, site in lane.cohort.by_case.items():
            phantoms = self.phantoms(site)
            make = partial(make_column, phantoms, case)
            name = f"patient {case} in {phantoms.path(case).parent.name}"
            found.append(Artifact(name, (phantoms.path(case),), (), make, phantoms.seconds))
        return found

    def run_of_both(self, lane: Lane, arm: Arm, seed: int, needs: Sequence[Artifact]) -> Artifact:
        """One run of an arm in which both stages learn."""
        schedule, recipe = lane.schedule_of(arm), lane.recipe_of(arm)
        pool, test = lane.cohort.dealt(seed)
        paths = tuple(one.path for one in needs)
        read = sorted(str(path.relative_to(self.work)) for path in paths)
        code = code_key(RUN_OF_BOTH)
        about = repr((FORMAT, code, arm, schedule, recipe, learner_key(lane), read, pool, test))
        key = hashlib.sha256(about.encode()).hexdigest()[:12]
        path = self.work / "runs" / lane.name / f"{arm.name}-seed{seed}-{key}.npz"
        networks = Networks(self.work / "networks", recipe, DEMO)
        make = partial(make_run_of_both, path, paths, pool, test, arm, lane.learner, networks, schedule, seed)
        # The first network of a seed is the same for all arms.
        steps = schedule.rounds * recipe.steps + (recipe.first if arm == FULL else 0)
        looks = schedule.rounds * len(pool) // 2 + (schedule.rounds + 1) * len(test)
        name = f"{lane.name} {arm.name} seed {seed}"
        return Artifact(name, (path,), tuple(needs), make, STEP * steps + LOOK * looks, True)

    def run(self, lane: Lane, arm: Arm, seed: int, needs: Sequence[Artifact]) -> Artifact:
        """One run of an arm."""
        schedule, learner = lane.schedule_of(arm), learner_of(lane)
        pool, test = lane.cohort.dealt(seed)
        paths = {case: self.case(lane, case) for case in (*pool, *test)}
        # However the folder was typed.
        read = sorted(str(path.relative_to(self.work)) for path in paths.values())
        about = repr((FORMAT, code_key(RUN), arm, schedule, learner_key(lane), read, pool, test))
        key = hashlib.sha256(about.encode()).hexdigest()[:12]
        path = self.work / "runs" / lane.name / f"{arm.name}-seed{seed}-{key}.npz"
        make = partial(make_run, path, tuple(paths.values()), pool, test, arm, learner, schedule, seed)
        trains = (schedule.rounds + 1) if lane.learner == "network" else 1
        name = f"{lane.name} {arm.name} seed {seed}"
        return Artifact(name, (path,), tuple(needs), make, SECONDS[lane.learner] * trains, True)

    def runs(self, lane: Lane) -> dict[tuple[str, int], Artifact]:
        """All runs of a lane by arm and seed, the ceiling's among them."""
        both = lane.stage_one is not None
        needs = self.columns(lane) if both else self.candidates(lane)
        make = self.run_of_both if both else self.run
        return {
            (arm.name, seed): make(lane, arm, seed, needs)
            for seed in range(lane.seeds)
            for arm in (FULL, *lane.arms)
        }


def learner_of(lane: Lane) -> Learner:
    """What learns in a lane."""
    found = LEARNERS[lane.learner]
    if isinstance(found, Network) and lane.steps is not None:
        return replace(found, steps=lane.steps)
    return found


def learner_key(lane: Lane) -> str:
    """What a run depends on of it besides the code."""
    found = learner_of(lane)
    return repr(found) if isinstance(found, Network) else lane.learner


def make_run(path: Path, cases: tuple[Path, ...], *given: Any) -> None:
    """Do a run and keep its points; `given` as `cycle.run` takes it, from the pool on."""
    keep_points(path, list(run(_cases(cases), *given)))


def make_column(phantoms: PhantomCohort, case: str) -> None:
    """Generate a patient and keep it."""
    phantoms.column(case)


def make_run_of_both(
    path: Path,
    columns: tuple[Path, ...],
    pool: Sequence[str],
    test: Sequence[str],
    arm: Arm,
    learner: str,
    networks: Networks,
    schedule: Schedule,
    seed: int,
) -> None:
    """Do a run in which both stages learn and keep its points; the others as `both.run_both` takes them."""
    found = LEARNERS[learner]
    assert isinstance(found, OnNumbers)
    by_case = {column.case: column for column, _ in map(load_column, columns)}
    points = []
    for point in run_both(by_case, pool, test, arm, found, networks, schedule, seed):
        points.append(point)
        tell(len(points) / (schedule.rounds + 1), f"round {len(points) - 1} of {schedule.rounds} is done")
    keep_points(path, points)


@lru_cache(maxsize=2)
def _cases(paths: tuple[Path, ...]) -> dict[str, Case]:
    # In the order of the paths' names, so that runs of several seeds share them.
    return {one.name: one for one in map(read_case, sorted(paths))}


def keep_points(path: Path, points: Sequence[Point]) -> None:
    """Write the points of a run."""
    arrays: dict[str, Any] = {name: [getattr(one, name) for one in points] for name in COUNTS}
    arrays |= {name: [getattr(one, name) for one in points] for name in ("mfroc", "alone")}
    for number, one in enumerate(points):
        arrays[f"scores{number}"] = np.concatenate([each.scores for each in one.test])
        arrays[f"hits{number}"] = np.concatenate([each.hits for each in one.test])
        arrays[f"sizes{number}"] = [len(each.scores) for each in one.test]
        arrays[f"nodes{number}"] = [each.n_nodes for each in one.test]
    write_arrays(path, arrays)


def read_points(path: Path) -> list[Point]:
    """The points of `keep_points`."""
    with np.load(path) as stored:
        arrays = dict(stored)
    found = []
    for number, mfroc in enumerate(arrays["mfroc"]):
        cuts = np.cumsum(arrays[f"sizes{number}"])[:-1]
        parts = zip(
            np.split(arrays[f"scores{number}"], cuts),
            np.split(arrays[f"hits{number}"], cuts),
            arrays[f"nodes{number}"].tolist(),
            strict=True,
        )
        counts = {name: int(arrays[name][number]) for name in COUNTS}
        # Files of former versions do not tell what stage one has alone.
        alone = float(arrays["alone"][number]) if "alone" in arrays else math.nan
        test = [Scored(*part) for part in parts]
        found.append(Point(**counts, mfroc=float(mfroc), test=test, alone=alone))
    return found
