"""Makes what a lane needs and is not there, then its figures and its report."""

from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from osln.jobs.artifact import with_needs
from osln.jobs.engine import Engine
from osln.jobs.run import run_jobs
from osln.metrics.intervals import setting
from osln.simulation.cases import read_case
from osln.simulation.figures import Prices, lane_figures, stage_one_figure
from osln.simulation.lanes import FROZEN, FULL, Lane
from osln.simulation.report import write_report
from osln.simulation.runs import Files, read_points


def simulate(lane: Lane, files: Files, out: Path, prices: Prices, engine: Engine, command: str) -> Path:
    """Does what is not done yet and writes the report.

    Args:
        lane: What is run.
        files: Where everything lies.
        out: Folder of the report.
        prices: Seconds of an annotator.
        engine: Makes what is missing.
        command: As typed.

    Returns:
        The report.

    Raises:
        ValueError: Another run uses the same folder, or a run failed; says which.
    """
    wanted = files.runs(lane)
    files.work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(files.work / "lock", timeout=0):
            failures = run_jobs(wanted.values(), engine)
    except Timeout as error:
        raise ValueError(f"another run works in {files.work}: wait for it or give another --work") from error
    for name, failure in failures.items():
        raise ValueError(f"{name} failed ({failure}): the same command tries it again") from failure
    runs = {
        name: [read_points(wanted[name, seed].path) for seed in range(lane.seeds)]
        for name in (FULL.name, *(arm.name for arm in lane.arms))
    }
    if lane.stage_one is None:
        alone, frozen = _stage_one(lane, files), {"frozen": FROZEN, "precision": lane.precision}
    else:
        alone, frozen = [points[-1].alone for points in runs[FULL.name]], {"frozen": FROZEN}
    about: dict[str, Any] = setting(command, **frozen)
    return write_report(lane_figures(lane, runs, alone, prices), about, out)


def plan(lane: Lane, files: Files) -> str:
    """What is left to be made for a lane, in a sentence."""
    wanted = with_needs(files.runs(lane).values())
    left = [one for one in wanted.values() if not one.is_made]
    hours = sum(one.cost for one in left) / 3600
    return (
        f"{len(lane.arms)} arms and everything labeled, {lane.seeds} seeds, {lane.schedule.rounds} rounds of "
        f"{lane.schedule.budget} decisions; {len(left)} of {len(wanted)} files are to be made, about "
        f"{hours:.1f} hours of one core"
    )


def _stage_one(lane: Lane, files: Files) -> list[float]:
    cases = {case: read_case(files.case(lane, case)) for case in lane.cohort.cases}
    tests = (lane.cohort.dealt(seed)[1] for seed in range(lane.seeds))
    return [stage_one_figure([cases[one].scored(cases[one].stage_one) for one in test]) for test in tests]
