"""Tries hard to break the server, and counts what it loses: `docs/reliability.md`.

Everything runs in temporary folders on copies of the sample cases and talks to 127.0.0.1 only. The choices
are drawn from a seed, so that a run can be repeated; where a kill falls within a request depends on the
computer's speed, too.

    ./benchmarks/run torture --short
    ./benchmarks/run torture --only kills,fuzz --seed 7
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.torture_clients import clients
from benchmarks.torture_fuzz import fuzz
from benchmarks.torture_kills import kills
from benchmarks.torture_limits import disk_full, memory
from benchmarks.torture_pacs import pacs
from benchmarks.torture_points import points
from benchmarks.torture_tally import Tally, table

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Size:
    """How much each part does.

    Attributes:
        restarts: Kills of the server.
        every_point: Of how many file operations one is a place to kill at; 1 for each of them.
        requests: Fuzzed requests.
        clients_s: Seconds that eight clients write for.
        submissions: To a disk that is full.
        pacs_kills: Of the PACS.
        inferences: For the memory.
    """

    restarts: int
    every_point: int
    requests: int
    clients_s: float
    submissions: int
    pacs_kills: int
    inferences: int


FULL = Size(60, 1, 10_000, 600.0, 12, 6, 300)
SHORT = Size(2, 8, 200, 6.0, 1, 1, 3)


def main() -> int:
    """Runs the parts and prints the table; 1 if anything was lost, wrong, hung, outside or orphaned."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="a small part of everything, as in the tests")
    parser.add_argument("--seed", type=int, default=0, help="of all choices")
    parser.add_argument("--only", metavar="PARTS", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the counts and findings")
    for name, value in asdict(FULL).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), help=argparse.SUPPRESS)
    options = parser.parse_args()
    # Who ends it otherwise than by Ctrl-C would leave its servers behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chosen = options.only.split(",") if options.only else list(PARTS)
    if unknown := [part for part in chosen if part not in PARTS]:
        parser.error(f"--only knows {', '.join(PARTS)}, not {', '.join(unknown)}")
    base = asdict(SHORT if options.short else FULL)
    given = {name: getattr(options, name) for name in base if getattr(options, name) is not None}
    tallies = run(chosen, Size(**(base | given)), options.seed)
    sys.stdout.write(report(tallies))
    if options.json:
        told = {"commit": commit(), "seed": options.seed, "parts": [tally.to_json() for tally in tallies]}
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return int(any(tally.failed for tally in tallies))


PARTS: dict[str, Callable[[Path, Tally, Size, int], None]] = {
    "kills": lambda folder, tally, size, seed: kills(folder, tally, size.restarts, seed),
    "points": lambda folder, tally, size, seed: points(folder, tally, size.every_point),
    "fuzz": lambda folder, tally, size, seed: fuzz(folder, tally, size.requests, seed),
    "clients": lambda folder, tally, size, seed: clients(folder, tally, size.clients_s, seed),
    "disk": lambda folder, tally, size, seed: disk_full(folder, tally, size.submissions, seed),
    "pacs": lambda folder, tally, size, seed: pacs(folder, tally, size.pacs_kills, seed),
    "memory": lambda folder, tally, size, seed: memory(folder, tally, size.inferences),
}


def run(chosen: list[str], size: Size, seed: int) -> list[Tally]:
    """Runs parts, each in a folder of its own that is removed afterwards."""
    tallies = []
    for part in chosen:
        tally, begun = Tally(part), time.monotonic()
        tallies.append(tally)
        with tempfile.TemporaryDirectory(prefix=f"osln-torture-{part}-") as folder:
            try:
                PARTS[part](Path(folder) / "place", tally, size, seed)
            except KeyboardInterrupt:
                tally.size += ", ended by hand"
            except Exception as error:
                # The other parts are to run; a part that cannot go on is no success.
                tally.found("hangs", f"the part ended early: {error}\n{traceback.format_exc()[-1500:]}")
        tally.measured["seconds"] = round(time.monotonic() - begun, 1)
        # Parts take long: what one has found is not to wait for the others.
        sys.stderr.write(f"{report([tally])}\n")
    return tallies


def report(tallies: list[Tally]) -> str:
    """The table, the figures of single parts and the findings in words."""
    lines = [table(tallies), ""]
    for tally in tallies:
        figures = ", ".join(f"{name} {value:g}" for name, value in tally.measured.items())
        lines.append(f"{tally.part}: {figures}")
        lines += [f"- {sentence}" for sentence in tally.words]
    return "\n".join(lines) + "\n"


def commit() -> str:
    """Of the checkout; "unknown" without one."""
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
