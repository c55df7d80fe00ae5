"""Measures what answers clicks: Dice after 1, 2, 3 clicks of a simulated annotator, and seconds per answer.

The first click is where the node is deepest, each further one in the middle of the largest connected error.
All methods see the same patients, with PET and without: each way alone, and what the server uses of both.
Intervals are of patients (95 %, bootstrap); nodes planted into one CT count as one patient a seed, though all
of them have that CT's background.

    ./benchmarks/run clicks --phantoms 12
    ./benchmarks/run clicks --phantoms 12 --ct LUNG1-001/image --planted 6 --lesions STS/nifti
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from tqdm import tqdm

from benchmarks.click_sets import around, lesions, phantoms, planted
from benchmarks.experiment import WORK
from benchmarks.report import describe
from osln.clicks.annotator import first_click, next_clicks
from osln.clicks.answering import Answerer
from osln.clicks.classical import Marching
from osln.clicks.clicks import Clicks
from osln.clicks.network import FILE, ClickNetwork
from osln.clicks.outline import Method, Outline, outline
from osln.clicks.phantom_cases import ClickCase
from osln.imaging.grid import Volume
from osln.metrics.bootstrap import resamples
from osln.metrics.intervals import table

ROOT = Path(__file__).resolve().parents[1]
CLICKS = 3
IN_USE = "in use"
METHODS = ("network", "classical", IN_USE)
Answers = Callable[[Volume, Volume | None, Clicks], tuple[Outline, str]]
CLASSES = {
    "3.5-6": (3.5, 6.0),
    "6-10": (6.0, 10.0),
    "10-15": (10.0, 15.0),
    "15-": (15.0, np.inf),
    "all": (0.0, np.inf),
}
"""Short axis in mm."""
MARGIN_MM = 75.0
WARM = 5
"""Answers before the clock counts."""


@dataclass(frozen=True)
class Answered:
    """One answer: of which node, by which method, after how many clicks, and how good."""

    patients: str
    case: str
    short_mm: float
    method: str
    pet: bool
    clicks: int
    dice: float
    seconds: float
    cpu_seconds: float


def main() -> None:
    """Measures, prints Markdown tables, writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phantoms", type=int, default=12, help="held-out phantoms (%(default)s)")
    parser.add_argument(
        "--nodes", type=int, default=8, help="of a patient, spread over its sizes (%(default)s)"
    )
    parser.add_argument("--ct", type=Path, help="a real CT (DICOM folder or file) to plant nodes into")
    parser.add_argument("--planted", type=int, default=6, help="with --ct: seeds (%(default)s)")
    parser.add_argument("--lesions", type=Path, help="folder of cases with CT_image, CT_mask, PET_image")
    parser.add_argument(
        "--weights", type=Path, default=ROOT / "apps" / "osln" / "model" / "shipped" / FILE, help="network"
    )
    parser.add_argument("--work", type=Path, default=WORK, help="folder that keeps phantoms")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write every answer")
    options = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)
    network, classical = ClickNetwork.load(options.weights, options.threads), Marching()
    methods: dict[str, Answers] = {
        "network": alone(network),
        "classical": alone(classical),
        IN_USE: Answerer(network, classical),
    }
    answers: list[Answered] = []
    sets: dict[str, Iterable[ClickCase]] = {"held-out phantoms": phantoms(options.phantoms, options.work)}
    if options.ct:
        sets["planted into the real CT"] = planted(options.ct, options.planted)
    if options.lesions:
        sets["real PET lesions"] = lesions(options.lesions)
    for name, cases in sets.items():
        for case in tqdm(cases, desc=name, disable=None):
            answers += list(measured(name, case, methods, options.nodes))
    sys.stdout.write(f"{describe(options.threads)}\n\n{report(answers)}\n")
    if options.json:
        about = {"command": " ".join(sys.argv), "weights": network.sha256, "cpus": os.cpu_count()}
        rows = [asdict(one) for one in answers]
        options.json.write_text(json.dumps(about | {"answers": rows}, indent=0) + "\n")


def alone(method: Method) -> Answers:
    """One way without the other."""
    return lambda ct, pet, clicks: (outline(ct, pet, clicks, method), "")


def measured(patients: str, case: ClickCase, methods: dict[str, Answers], most: int) -> Iterable[Answered]:
    """All answers for some nodes of a patient, spread evenly over its sizes."""
    boxes = ndimage.find_objects(case.nodes)
    there = [n for n in np.argsort(case.short_mm) if boxes[n] is not None]
    chosen = sorted({int(i) for i in np.linspace(0, len(there) - 1, min(most, len(there)))})
    for number in (there[i] for i in chosen):
        ct, nodes = around(case, boxes[number], MARGIN_MM)
        node = nodes == number + 1
        for pet in (case.pet, None):
            for name, method in methods.items():
                clicks = first_click(node, ct.grid)
                for count in range(1, CLICKS + 1):
                    begun, worked = time.perf_counter(), time.process_time()
                    found, _ = method(ct, pet, clicks)
                    seconds, worked = time.perf_counter() - begun, time.process_time() - worked
                    answer = np.zeros_like(node)
                    at = zip(found.start, found.node.shape, strict=True)
                    answer[tuple(slice(a, a + n) for a, n in at)] = found.node
                    dice = 2.0 * float((answer & node).sum()) / float(answer.sum() + node.sum())
                    about = patients, case.case, case.short_mm[number], name, pet is not None, count
                    yield Answered(*about, dice, seconds, worked)
                    clicks = next_clicks(clicks, answer, node, ct.grid)


def report(answers: Sequence[Answered]) -> str:
    """Tables of Dice by size and clicks for each set of patients, then of times."""
    parts = []
    for patients in dict.fromkeys(one.patients for one in answers):
        for pet in (True, False):
            rows = [
                ["short axis, mm", "nodes", "clicks", *METHODS, "network - classical", "in use - network"]
            ]
            own = [one for one in answers if one.patients == patients and one.pet == pet]
            for name, (low, high) in CLASSES.items():
                sized = [one for one in own if low <= one.short_mm < high]
                for count in range(1, CLICKS + 1):
                    if row := _row(name, count, [one for one in sized if one.clicks == count]):
                        rows.append(row)
            parts.append(f"{patients}, {'CT and PET' if pet else 'CT alone'}:\n\n{table(rows)}")
    # On a computer that does other things too, the processor's seconds are the answer's own.
    rows = [["method", "s", "95th percentile", "s of the processor", "95th percentile"]]
    for method in dict.fromkeys(one.method for one in answers):
        own = [one for one in answers if one.method == method][WARM:]
        kinds = ([one.seconds for one in own], [one.cpu_seconds for one in own])
        rows.append([method, *(f"{f(kind):.3f}" for kind in kinds for f in (median, _most))])
    return "\n\n".join([*parts, table(rows)])


def _most(seconds: Sequence[float]) -> float:
    """What 95 % of the answers do not exceed."""
    return float(np.percentile(seconds, 95))


def _row(name: str, count: int, answers: Sequence[Answered]) -> list[str]:
    """Mean Dice of each method and differences, each with its interval over patients."""
    if not answers:
        return []
    cases = list(dict.fromkeys(one.case for one in answers))
    weights = resamples(len(cases))
    sums = {
        method: np.array(
            [[one.dice for one in answers if one.case == case and one.method == method] for case in cases],
            object,
        )
        for method in METHODS
    }
    numbers = np.array([len(values) for values in sums["network"]], float)
    totals = {method: np.array([sum(values) for values in one]) for method, one in sums.items()}
    differences = {
        "network - classical": totals["network"] - totals["classical"],
        "in use - network": totals[IN_USE] - totals["network"],
    }
    cells = []
    for name_of, total in (totals | differences).items():
        with np.errstate(invalid="ignore"):
            draws = weights @ total / (weights @ numbers)
        low, high = np.nanpercentile(draws, [2.5, 97.5])
        sign = "+" if name_of in differences else ""
        cells.append(f"{total.sum() / numbers.sum():{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]")
    return [name, str(int(numbers.sum())), str(count), *cells]


if __name__ == "__main__":
    main()
