"""Times whole-patient inference against the same work composed from public parts, alternating in one run.

Each side lives in a process of its own with the same number of threads, warm: each timed run follows an
untimed one. The parent asks them in turn (peer, product, next peer, product, ...), so that whatever else the
computer does falls on all of them. A run begins with the files on disk and ends with the label map on the
CT's own grid. The peers end with the candidates of stage one, with which the product's stage one is compared;
the share of its stage two in a patient's time is told beside it.

    ./benchmarks/run patient_speed                     table
    ./benchmarks/run patient_speed --json result.json  and the numbers for machines
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.patient import weights, write_patient
from benchmarks.report import compare, describe, report
from benchmarks.sides import OSLN, PEERS, STAGE_TWO, Side
from osln.rows.experiments import DEFAULT_PRESET, PRESETS

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Parses the command line, runs all sides, prints and stores the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pairs", type=int, default=5, help="runs of each peer, each beside one of the product"
    )
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), default=DEFAULT_PRESET, help="networks and working grid"
    )
    parser.add_argument(
        "--number-format", choices=("f32", "bf16"), help="of the product (default: its choice)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the phantom patient")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for every side")
    parser.add_argument(
        "--model", type=Path, default=ROOT / "apps" / "osln" / "model", help="folder of weights"
    )
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="which to run")
    parser.add_argument("--server", action="store_true", help="also time requests to the real server")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the numbers")
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error("--pairs must be at least 1")

    with tempfile.TemporaryDirectory(prefix="osln-benchmark-") as folder:
        result = run(Path(folder), options)
    if options.server:
        from benchmarks.server import measure_server

        result["server"] = measure_server(options.model, options.pairs, options.seed)
    sys.stdout.write(report(result) + "\n")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All sides on one patient: ratios, stages, memory and whether the candidates agree."""
    say("making the patient")
    write_patient(folder, options.seed)
    files = weights(options.model, options.preset, folder)
    threshold = files.threshold
    names = (OSLN, *options.peers)
    sides = [Side(name, folder, files, options.threads, options.number_format) for name in names]
    ours, peers = sides[0], sides[1:]
    try:
        say("warming up")
        place = ours.ask("start", None)
        for peer in peers:
            peer.ask("start", place["column"])
        if threshold is None:
            threshold = float(np.quantile(np.load(ours.ask("run", 0.99)["outcome"])["prob"], 0.999))
        for side in sides:
            side.ask("run", threshold)
        runs: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
        pairs: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for index in range(options.pairs):
            for peer in peers:
                say(f"pair {index + 1} of {options.pairs}: {peer.name} and {OSLN}")
                for side in (peer, ours):
                    runs[side.name].append(warm_run(side, threshold))
                ours_seconds = runs[OSLN][-1]["stage_one_seconds"]
                pairs[peer.name].append(runs[peer.name][-1]["seconds"] / ours_seconds)
            if not peers:
                say(f"run {index + 1} of {options.pairs}: {OSLN}")
                runs[OSLN].append(warm_run(ours, threshold))
        outcomes = {name: dict(np.load(entries[-1]["outcome"])) for name, entries in runs.items()}
    finally:
        for side in sides:
            side.close()
    return {
        "computer": describe(options.threads),
        "preset": options.preset,
        "trained_on": files.trained_on,
        "stage_two_trained_on": files.stage_two_trained_on,
        "threshold": threshold,
        "candidates": len(outcomes[OSLN]["scores"]),
        **{
            key: summary(runs[name], runs[OSLN], pairs[name]) | compare(outcomes[OSLN], outcomes[name])
            for key, name in (("whole_patient", "monai"), ("public_parts", "public-parts"))
            if name in pairs
        },
        "stage_two": share(runs[OSLN]),
        "stages": {
            name: {step: median(entry["stages"][step] for entry in entries) for step in entries[0]["stages"]}
            for name, entries in runs.items()
        },
    }


def warm_run(side: Side, threshold: float) -> dict[str, Any]:
    """The second of two runs: a system may page out files and code of a side while it waits for others."""
    side.ask("run", threshold)
    return side.ask("run", threshold)


def summary(peer: list[dict[str, Any]], ours: list[dict[str, Any]], ratios: list[float]) -> dict[str, Any]:
    """Medians of both sides in stage one; time is peer / product, memory is product / peer."""
    return {
        "time_ratio": round(median(ratios), 3),
        "time_ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "seconds": round(median(entry["stage_one_seconds"] for entry in ours), 3),
        "peer_seconds": round(median(entry["seconds"] for entry in peer), 3),
        "memory_ratio": round(median(e["peak_mb"] for e in ours) / median(e["peak_mb"] for e in peer), 3),
        "peak_mb": round(median(entry["peak_mb"] for entry in ours)),
        "peer_peak_mb": round(median(entry["peak_mb"] for entry in peer)),
        "rise_mb": round(median(entry["rise_mb"] for entry in ours)),
        "peer_rise_mb": round(median(entry["rise_mb"] for entry in peer)),
    }


def share(ours: list[dict[str, Any]]) -> dict[str, float]:
    """What stage two adds to a patient of the product: median seconds, and its share of the whole."""
    second = [sum(entry["stages"][step] for step in STAGE_TWO) for entry in ours]
    parts = [one / entry["seconds"] for one, entry in zip(second, ours, strict=True)]
    return {
        "seconds": round(median(entry["seconds"] for entry in ours), 3),
        "stage_one_seconds": round(median(entry["stage_one_seconds"] for entry in ours), 3),
        "stage_two_seconds": round(median(second), 3),
        "share": round(median(parts), 4),
        "share_range": [round(min(parts), 4), round(max(parts), 4)],
    }


def say(text: str) -> None:
    """A line of progress on the error stream."""
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    main()
