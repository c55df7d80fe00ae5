"""Times the evaluation against public parts that give the same numbers, alternating in one run.

    ./benchmarks/run evaluation_speed                     table
    ./benchmarks/run evaluation_speed --json result.json  and the numbers for machines

The curve of a cohort against MONAI and scikit-learn; its bootstrap against scikit-learn's weighted curve and
MONAI's curve, one resample at a time; the matching of a case of clinical size against picai_eval,
connected-components-3d with NumPy, and MONAI. picai_eval and connected-components-3d are no dependencies:
what is not installed is skipped with a word.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.evaluation_peers import (
    cc3d_overlaps,
    monai_bootstrap,
    monai_centers,
    monai_curve,
    picai_case,
    sklearn_bootstrap,
    sklearn_curve,
)
from benchmarks.report import describe
from osln.metrics.bootstrap import resamples
from osln.metrics.criteria import CRITERIA
from osln.metrics.froc import MFROC_FALSE_POSITIVES, Ranked, froc
from osln.metrics.matching import Scored, find_overlaps, match
from osln.metrics.resampling import resampled_figures

ROOT = Path(__file__).resolve().parents[1]

SHAPE, SPACING_MM = (512, 512, 150), (0.977, 0.977, 2.5)
Peer = tuple[str, str | None, Callable[[], Any], float]
"""Name, package that must be installed, what it does, and how often ours does that in one call."""


def cohort(patients: int, candidates: int, seed: int) -> list[Scored]:
    """Random patients: 651 nodes per 141 as in the paper, most of them found, scores that overlap."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(patients):
        nodes = int(rng.poisson(651 / 141))
        found = int(rng.binomial(nodes, 0.9))
        false = max(int(rng.poisson(candidates / patients)) - found, 0)
        scores = np.concatenate([rng.normal(1, 1, found), rng.normal(-1, 1, false)])
        made.append(Scored(1 / (1 + np.exp(-scores)), np.arange(found + false) < found, nodes))
    return made


def case(predictions: int, nodes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label maps of balls as a file gives them (flipped, in Fortran order), and the scores.

    Every node has a prediction that is shifted or shrunk somewhat; the others lie elsewhere. Balls of one
    map do not touch.
    """
    rng = np.random.default_rng(seed)
    places = (np.arange(40, n - 40, 40) for n in SHAPE)
    cells = np.stack(np.meshgrid(*places, indexing="ij"), -1).reshape(-1, 3)
    centers = rng.permutation(cells)[:predictions]
    found, true = (np.zeros(SHAPE, dtype=np.uint16, order="F") for _ in range(2))
    for label, center in enumerate(centers, start=1):
        radius = rng.uniform(3, 8)
        if label <= nodes:
            paint(true, center, radius, label)
        paint(found, center + rng.integers(-3, 4, 3) // (1, 1, 3), radius * rng.uniform(0.7, 1.2), label)
    scores = (rng.permutation(predictions) + 1) / (predictions + 1)
    return found[::-1, ::-1], true[::-1, ::-1], scores


def paint(labels: np.ndarray, center: np.ndarray, radius_mm: float, label: int) -> None:
    """A ball around a voxel."""
    reach = np.ceil(radius_mm / np.array(SPACING_MM)).astype(int)
    offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1).reshape(-1, 3)
    inside = ((offsets * SPACING_MM) ** 2).sum(axis=1) <= radius_mm**2
    labels[tuple((center + offsets[inside]).T)] = label


def compare(
    title: str, ours: Callable[[], Any], peers: list[Peer], same: Callable[[str, Any, Any], bool], pairs: int
) -> dict[str, Any]:
    """Alternates ours and each peer; ratio is peer's time for one piece of work over ours.

    Args:
        title: What is timed.
        ours: The product.
        peers: See `Peer`.
        same: Whether a peer's result agrees, from its name, its result and ours.
        pairs: Timed calls of each peer, each beside one of ours.
    """
    result: dict[str, Any] = {"title": title, "peers": {}, "skipped": []}
    wanted = ours()
    for name, package, run, pieces in peers:
        if package is not None and find_spec(package) is None:
            result["skipped"].append(f"{name}: {package} is not installed")
            continue
        agrees = same(name, run(), wanted)
        times = [(timed(run), timed(ours) / pieces) for _ in range(pairs)]
        ratios = [theirs / mine for theirs, mine in times]
        result["peers"][name] = {
            "ms": 1000 * median(mine for _, mine in times),
            "peer_ms": 1000 * median(theirs for theirs, _ in times),
            "ratio": median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
            "same": bool(agrees),
        }
    return result


def timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The three comparisons."""
    patients = cohort(options.patients, options.candidates, options.seed)
    at = (0.5, 1, *MFROC_FALSE_POSITIVES, 8)
    weights = resamples(len(patients), options.resamples, options.seed)
    ranked = Ranked.of(patients)
    curves = compare(
        f"FROC of {len(ranked.scores)} candidates of {len(patients)} patients",
        lambda: froc(patients).at(at),
        [
            ("MONAI compute_froc_curve_data", None, lambda: monai_curve(patients, at), 1),
            ("scikit-learn roc_curve, rescaled", None, lambda: sklearn_curve(patients, at), 1),
        ],
        lambda _, theirs, mine: np.allclose(theirs, mine, atol=1e-9),
        options.pairs,
    )
    whole = float(options.resamples)
    bootstrap = compare(
        f"bootstrap of the same, ms a resample ({options.resamples} at once)",
        lambda: resampled_figures(ranked, weights, 0.5, at),
        [
            ("scikit-learn, weights", None, lambda: sklearn_bootstrap(patients, weights[0], at), whole),
            ("MONAI, resampled lists", None, lambda: monai_bootstrap(patients, weights[0], at), whole),
        ],
        lambda _, theirs, mine: np.allclose(theirs, [mine[f"{target:g}"][0] for target in at], atol=1e-9),
        options.pairs,
    )
    found, true, scores = case(options.predictions, options.nodes, options.seed)
    picai = match(found, true, scores, CRITERIA["picai"]).scored()
    center = match(found, true, scores, CRITERIA["luna16"]).scored()
    # The peers get the memory order that suits them.
    plain = np.ascontiguousarray(found), np.ascontiguousarray(true)
    results = {"picai_eval": picai, "MONAI compute_fp_tp_probs_nd (centers)": center}

    def same_case(name: str, theirs: Any, mine: Any) -> bool:
        if name not in results:
            return np.array_equal(theirs, np.stack([mine.predicted[mine.fits], mine.touched[mine.fits]]))
        one = results[name]
        ours = (np.sort(one.scores[one.hits]), np.sort(one.scores[~one.hits]), one.n_nodes)
        return all(np.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs, strict=True))

    size = " x ".join(map(str, SHAPE))
    matching = compare(
        f"matching {options.predictions} predictions and {options.nodes} nodes, {size} uint16",
        lambda: find_overlaps(found, true),
        [
            ("picai_eval", "picai_eval", lambda: picai_case(*plain, scores), 1),
            ("connected-components-3d with NumPy", "cc3d", lambda: cc3d_overlaps(*plain), 1),
            ("MONAI compute_fp_tp_probs_nd (centers)", None, lambda: monai_centers(*plain, scores), 1),
        ],
        same_case,
        options.pairs,
    )
    return [curves, bootstrap, matching]


def report(computer: str, results: list[dict[str, Any]]) -> str:
    """The result as text."""
    lines = [computer]
    for result in results:
        lines += ["", result["title"], f"  {'':40s}{'ms':>10s}{'ours, ms':>10s}{'ratio':>9s}  (pairs)"]
        for name, entry in result["peers"].items():
            low, high = entry["ratio_range"]
            verdict = "same result" if entry["same"] else "OTHER RESULT"
            lines.append(
                f"  {name:40s}{entry['peer_ms']:10.3f}{entry['ms']:10.3f}{entry['ratio']:9.1f}"
                f"  ({low:.1f} - {high:.1f}), {verdict}"
            )
        lines += [f"  skipped: {text}" for text in result["skipped"]]
    return "\n".join(lines)


def main() -> None:
    """Parses the command line, measures, prints and stores the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5, help="timed calls of each peer beside ours")
    parser.add_argument("--patients", type=int, default=141)
    parser.add_argument("--candidates", type=int, default=30000, help="of all patients together")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--predictions", type=int, default=12, help="of the matched case")
    parser.add_argument("--nodes", type=int, default=5, help="of the matched case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the numbers")
    options = parser.parse_args()
    if options.pairs < 1 or options.nodes > options.predictions:
        parser.error("--pairs must be at least 1 and --nodes no more than --predictions")
    results = measure(options)
    computer = describe(1)
    sys.stdout.write(report(computer, results) + "\n")
    if options.json:
        options.json.write_text(json.dumps({"computer": computer, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
