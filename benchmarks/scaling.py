"""What the engines add to the work, and how much sooner two workers are done than one: docs/scaling.md.

Units are of two kinds: "tiny" does nothing, so that only the engine is measured, and "patient" makes and
prepares a generated patient of the demo preset, as `./scripts/osln tables` does. A cluster is of raylets of
this computer with one place each. Two workers are faster only where two cores are idle: the load is told.
"""

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
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


def main() -> None:
    """Measures and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", type=int, default=200, help="units (%(default)s)")
    parser.add_argument("--patients", type=int, default=12, help="units (%(default)s)")
    options = parser.parse_args()
    if min(options.tiny, options.patients) < 2:
        parser.error("--tiny and --patients take at least 2: a further unit is timed after the first one")
    if importlib.util.find_spec("ray") is None:
        parser.error("Ray is not installed: .venv/bin/python -m pip install -r requirements-cluster.txt")
    counts = {"tiny": options.tiny, "patient": options.patients}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as name:
            raylets = Raylets(Path(name))
            try:
                for _ in range(workers):
                    raylets.add()
                for kind, count in counts.items():
                    cluster = Cluster(raylets.address, 1, [Path(name)])
                    for engine, made in (("processes", Processes(workers)), ("cluster", cluster)):
                        found = timed(made, kind, count)
                        told = {"engine": engine, "workers": workers, "unit": kind, "count": count}
                        load = round(os.getloadavg()[0], 1)
                        sys.stdout.write(json.dumps({**told, "load": load, "seconds": found}) + "\n")
                        sys.stdout.flush()
            finally:
                raylets.end()


if __name__ == "__main__":
    main()
