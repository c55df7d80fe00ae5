"""From the runs of a lane to its figures, as JSON values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from osln.metrics.bootstrap import resamples
from osln.metrics.froc import Ranked, froc
from osln.metrics.matching import Scored
from osln.metrics.resampling import resampled_figures
from osln.simulation.arms import RANDOM
from osln.simulation.cycle import Point
from osln.simulation.lanes import FULL, Lane
from osln.simulation.statistics import (
    SHARES,
    Curve,
    arrivals,
    by_seed_and_patient,
    holm,
    mean_over_rounds,
    p_value,
    paired,
    ratio,
)

PATIENT_DRAWS = 300
STEP = 5
"""Decisions between the points of a curve at which runs are averaged."""

Runs = Mapping[str, Sequence[Sequence[Point]]]
"""Points by arm, of each seed."""


@dataclass(frozen=True)
class Prices:
    """Seconds of an annotator."""

    candidate: float = 5.0
    added: float = 20.0
    opened: float = 30.0

    def of(self, point: Point) -> float:
        return self.candidate * point.judged + self.added * point.added + self.opened * point.opened


def lane_figures(lane: Lane, runs: Runs, stage_one: Sequence[float], prices: Prices) -> dict[str, Any]:
    """All figures of a lane.

    Args:
        lane: What was run.
        runs: Points of each arm, and of the ceiling.
        stage_one: mFROC of stage one alone on the test patients of each seed.
        prices: Of what an annotator does.
    """
    full = np.array([points[-1].mfroc for points in runs[FULL.name]])
    arms = {arm.name: arm for arm in lane.arms}
    means = {name: _means(lane, runs[name]) for name in arms}
    differences = {name: means[name] - means[RANDOM] for name in arms if name != RANDOM}
    by_patient = _by_patient(lane, runs, differences)
    adjusted = holm({name: p_value(each.tolist()) for name, each in differences.items()})
    found = {}
    for name, arm in arms.items():
        entry = {"title": arm.title, **_of_arm(lane, runs[name], means[name])}
        entry["arrivals"] = {f"{share:g}": _arrival(lane, runs[name], full, share) for share in SHARES}
        if name != RANDOM:
            entry["difference"] = asdict(paired(differences[name].tolist()))
            entry["difference_by_patient"] = by_patient[name]
            entry["p_holm"] = adjusted[name]
            entry["better_seeds"] = int((differences[name] > 0).sum())
            entry["end_difference"] = asdict(paired(_ends(lane, runs[name]) - _ends(lane, runs[RANDOM])))
            entry["ratios"] = {
                f"{share:g}": _ratio(lane, runs[name], runs[RANDOM], full, share, None) for share in SHARES
            }
            entry["ratios_of_seconds"] = {
                f"{share:g}": _ratio(lane, runs[name], runs[RANDOM], full, share, prices) for share in SHARES
            }
        found[name] = entry
    return {
        "lane": lane.name,
        "cohort": lane.cohort.title,
        "pool": lane.cohort.pool,
        "test": lane.cohort.test,
        "seeds": lane.seeds,
        "learner": lane.learner,
        "schedule": asdict(lane.schedule),
        "stage_one_recipe": None if lane.stage_one is None else asdict(lane.stage_one),
        "prices": asdict(prices),
        "stage_one": asdict(paired(stage_one)),
        "start": asdict(paired([points[0].mfroc for points in runs[RANDOM]])),
        "start_decisions": float(np.mean([points[0].decisions for points in runs[RANDOM]])),
        "full": asdict(paired(full.tolist())),
        "full_decisions": float(np.mean([points[-1].decisions for points in runs[FULL.name]])),
        "arms": found,
    }


def stage_one_figure(test: Sequence[Scored]) -> float:
    """mFROC of patients under stage one's scores."""
    return froc(test).mean()


def curve_of(points: Sequence[Point], prices: Prices | None = None) -> Curve:
    """mFROC over decisions, or over seconds."""
    costs = [float(one.decisions) if prices is None else prices.of(one) for one in points]
    return Curve(np.array(costs), np.array([one.mfroc for one in points]))


def _means(lane: Lane, runs: Sequence[Sequence[Point]]) -> np.ndarray:
    schedule = lane.schedule
    return np.array([mean_over_rounds(curve_of(one), schedule.budget, schedule.rounds) for one in runs])


def _ends(lane: Lane, runs: Sequence[Sequence[Point]]) -> np.ndarray:
    """mFROC after all decisions of the schedule."""
    spent = lane.schedule.budget * lane.schedule.rounds
    return np.array([float(curve_of(one).at(np.array(one[0].decisions + spent))) for one in runs])


def _of_arm(lane: Lane, runs: Sequence[Sequence[Point]], means: np.ndarray) -> dict[str, Any]:
    # Whole random cases go on for longer: what is told is where the others end.
    last = [one[min(lane.schedule.rounds, len(one) - 1)] for one in runs]
    return {
        "mean": asdict(paired(means.tolist())),
        "per_seed": means.round(4).tolist(),
        "end": asdict(paired(_ends(lane, runs).tolist())),
        "decisions": float(np.mean([one.decisions for one in last])),
        "cases": float(np.mean([one.cases for one in last])),
        "openings": float(np.mean([one.opened for one in last])),
        "nodes": float(np.mean([one.nodes for one in last])),
        **({} if lane.stage_one is None else _of_stage_one(lane, runs)),
        "nodes_per_decision": float(np.mean([one.nodes / max(one.decisions, 1) for one in last])),
        "curve": [
            {
                "decisions": float(np.mean([one[n].decisions for one in runs])),
                **asdict(paired([one[n].mfroc for one in runs])),
            }
            for n in range(min(map(len, runs)))
        ],
    }


def _of_stage_one(lane: Lane, runs: Sequence[Sequence[Point]]) -> dict[str, Any]:
    """What stage one, which learns too, has by itself after each round, as far as all runs have one."""
    rounds = min(min(map(len, runs)), lane.schedule.rounds + 1)
    return {
        name: [asdict(paired([getattr(one[n], name) for one in runs])) for n in range(rounds)]
        for name in ("alone", "recall")
    }


def _on_grid(runs: Sequence[Sequence[Point]], prices: Prices | None) -> tuple[np.ndarray, np.ndarray]:
    """Costs from the earliest start to the earliest end, and the values of each seed at them."""
    curves = [curve_of(one, prices) for one in runs]
    step = STEP if prices is None else STEP * prices.candidate
    first = float(np.mean([one.costs[0] for one in curves]))
    last = float(np.mean([one.costs[-1] for one in curves]))
    grid = np.arange(first, last + step, step)
    # Starts differ in size: each run is moved to the mean start, so that means are taken at equal decisions.
    return grid, np.stack([one.at(grid - first + one.costs[0]) for one in curves])


def _arrival(lane: Lane, runs: Sequence[Sequence[Point]], full: np.ndarray, share: float) -> dict[str, Any]:
    grid, values = _on_grid(runs, None)
    return asdict(arrivals(grid, values, full, share)) | {"watched": float(grid[-1])}


def _ratio(
    lane: Lane,
    runs: Sequence[Sequence[Point]],
    than: Sequence[Sequence[Point]],
    full: np.ndarray,
    share: float,
    prices: Prices | None,
) -> dict[str, Any]:
    return asdict(ratio(*_on_grid(runs, prices), *_on_grid(than, prices), full, share))


def _by_patient(lane: Lane, runs: Runs, differences: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Intervals of the differences over seeds and phantoms.

    A phantom is in the test of several seeds, so it is drawn for all of them together.
    """
    cases = list(lane.cohort.cases)
    weights = resamples(len(cases), PATIENT_DRAWS)
    tests = [lane.cohort.dealt(seed)[1] for seed in range(lane.seeds)]
    of_seed = [np.ascontiguousarray(weights[:, [cases.index(case) for case in test]]) for test in tests]
    drawn = {
        arm.name: np.stack(
            [_drawn_mean(lane, points, of_seed[seed]) for seed, points in enumerate(runs[arm.name])]
        )
        for arm in lane.arms
    }
    found = {
        name: by_seed_and_patient(each, drawn[name] - drawn[RANDOM]) for name, each in differences.items()
    }
    return {name: {"low": one.low, "high": one.high} for name, one in found.items()}


def _drawn_mean(lane: Lane, points: Sequence[Point], weights: np.ndarray) -> np.ndarray:
    """(D,) mean over the rounds of a run on each resample of its test patients."""
    values = np.stack(
        [resampled_figures(Ranked.of(list(one.test)), weights, float("nan"))["mfroc"] for one in points]
    )
    costs = np.array([float(one.decisions) for one in points])
    schedule = lane.schedule
    # The mean over rounds is linear in the values: what each point weighs in it.
    shares = [
        mean_over_rounds(Curve(costs, row), schedule.budget, schedule.rounds) for row in np.eye(len(points))
    ]
    mean: np.ndarray = np.array(shares) @ values
    return mean
