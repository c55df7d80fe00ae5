"""What the engines add to the work, and how much sooner two workers are done than one: docs/scaling.md.

Units are of two kinds: "tiny" does nothing, so that only the engine is measured, and "patient" makes and
prepares a generated patient of the demo preset, as `./scripts/osln tables` does. A cluster is of raylets of
this computer with one place each. Two workers are faster only where two cores are idle: the load is told.
One worker and two take turns: the share of time that two take is of neighboring minutes.
"""

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.raylets import Raylets
from osln.cohorts.phantoms import FIRST_SEED, PhantomCohort
from osln.jobs.artifact import Artifact
from osln.jobs.cluster import Cluster
from osln.jobs.engine import Engine
from osln.jobs.processes import Processes
from osln.jobs.run import run_jobs
from osln.rows.presets import PRESETS


def nothing() -> None:
    """The tiny unit."""


def patient(folder: Path, seed: int) -> None:
    """The realistic unit."""
    PhantomCohort(folder, PRESETS["demo"]).patient(seed)


def units(kind: str, count: int, folder: Path) -> list[Artifact]:
    """So many units as artifacts."""
    makes = [
        nothing if kind == "tiny" else partial(patient, folder, FIRST_SEED["tagger"] + number)
        for number in range(count)
    ]
    return [Artifact(f"{kind} {number}", (), (), make) for number, make in enumerate(makes)]


def timed(engine: Engine, kind: str, count: int) -> dict[str, float]:
    """Seconds of all, from the first that is done to the last, and of the units themselves."""
    ends: list[float] = []
    inside: list[float] = []

    def note(_: str, made: object) -> None:
        ends.append(time.monotonic())
        inside.append(made.seconds)  # type: ignore[attr-defined]

    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        run_jobs(units(kind, count, Path(folder)), engine, note)
    return {
        "all": round(ends[-1] - began, 2),
        "start": round(ends[0] - began - inside[0], 2),
        "each further": round((ends[-1] - ends[0]) / (count - 1), 4),
        "inside a unit": round(sum(inside) / count, 4),
    }


Figures = dict[tuple[str, str, int], list[dict[str, float]]]
"""By unit, engine and workers what `timed` found in each round."""


def report(found: Figures) -> str:
    """A Markdown table: median and range over rounds."""
    lines = [
        "| unit | engine | to the first one, s: 1 worker | 2 workers | each further, ms: 1 worker "
        "| 2 workers | two take of one's time |",
        "|---|---|---|---|---|---|---|",
    ]
    for unit, engine in dict.fromkeys(key[:2] for key in found):
        one, two = (found[unit, engine, workers] for workers in (1, 2))
        starts = [_range([each["start"] for each in runs], 1) for runs in (one, two)]
        further = [[1000 * each["each further"] for each in runs] for runs in (one, two)]
        shares = [after / before for before, after in zip(*further, strict=True)]
        cells = [*starts, *(_range(each, 1 if unit == "tiny" else 0) for each in further), _range(shares, 2)]
        lines.append(f"| {unit} | {engine} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _range(values: list[float], digits: int) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f} - {high:.{digits}f})"


def main() -> None:
    """Measures and prints a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", type=int, default=200, help="units (%(default)s)")
    parser.add_argument("--patients", type=int, default=12, help="units (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    options = parser.parse_args()
    if min(options.tiny, options.patients) < 2:
        parser.error("--tiny and --patients take at least 2: a further unit is timed after the first one")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if importlib.util.find_spec("ray") is None:
        parser.error("Ray is not installed: .venv/bin/python -m pip install -r requirements-cluster.txt")
    found: Figures = {}
    loads = []
    for number in range(options.rounds):
        for workers in (1, 2):
            sys.stderr.write(f"round {number + 1} of {options.rounds}, workers: {workers}\n")
            for key, seconds in measured(workers, {"tiny": options.tiny, "patient": options.patients}):
                found.setdefault(key, []).append(seconds)
                loads.append(os.getloadavg()[0])
    sys.stdout.write(f"{report(found)}\n\nload {min(loads):.1f} to {max(loads):.1f}\n")


def measured(workers: int, counts: dict[str, int]) -> Iterator[tuple[tuple[str, str, int], dict[str, float]]]:
    """One round of so many workers: what each engine took for each kind of unit."""
    with tempfile.TemporaryDirectory() as name:
        raylets = Raylets(Path(name))
        try:
            for _ in range(workers):
                raylets.add()
            cluster = Cluster(raylets.address, 1, [Path(name)])
            for kind, count in counts.items():
                for engine, made in (("processes", Processes(workers)), ("Ray", cluster)):
                    yield (kind, engine, workers), timed(made, kind, count)
        finally:
            raylets.end()


if __name__ == "__main__":
    main()
