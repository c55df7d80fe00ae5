"""Counts what bfloat16 changes: the fused pipeline on unseen phantoms in both number formats.

./benchmarks/run number_formats --cases 30
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.report import compare
from osln.imaging.grid import Grid, canonical
from osln.imaging.lung_column import LungColumn, prepare
from osln.imaging.study import build_study
from osln.metrics.definitions import Counts, stage_one
from osln.metrics.sweep import sweep
from osln.phantom import make_phantom
from osln.rows.experiments import OPERATING_POINT, ROWS
from osln.stage_one.candidates import find_candidates
from osln.stage_one.fusion import late_fusion
from osln.stage_one.inference import Predictor
from osln.weights.model_store import ModelStore

ROOT = Path(__file__).resolve().parents[1]

NUMBER_FORMATS = ("f32", "bf16")
ROW = ROWS["lf-stratified"]
SUMMED = ("candidates", "peer_candidates", "equal", "differing", "without_counterpart",
          "peer_without_counterpart", "voxels", "voxels_changed")  # fmt: skip


def main() -> None:
    """Runs both number formats on the same patients, prints the table and stores the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=30, help="phantom patients")
    parser.add_argument("--seed", type=int, default=300_000, help="of the first; none was trained on")
    parser.add_argument("--models", type=Path, default=ROOT / "apps" / "osln" / "model", help="weights")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the numbers")
    options = parser.parse_args()

    store = ModelStore(options.models)
    threshold = store.thresholds(ROW.name)[OPERATING_POINT]
    networks = {
        number_format: {
            name: Predictor(store.load(name), number_format=number_format) for name in ROW.segmenters
        }
        for number_format in NUMBER_FORMATS
    }
    sweeps: dict[str, list[Any]] = {number_format: [] for number_format in NUMBER_FORMATS}
    compared = []
    for seed in tqdm(range(options.seed, options.seed + options.cases), unit="case"):
        column = phantom_column(seed, networks["f32"][ROW.segmenters[0]])
        sides = []
        for number_format in NUMBER_FORMATS:
            maps = {name: network.probability(column) for name, network in networks[number_format].items()}
            prob = late_fusion(maps, column.distance_mm)
            sweeps[number_format].append(sweep(prob, column.nodes))
            candidates, labels = find_candidates(prob, threshold, column)
            sides.append({"prob": prob, "labels": labels, "scores": np.array([c.score for c in candidates])})
        compared.append(compare(*sides))
    result = {name: sum(entry[name] for entry in compared) for name in SUMMED}
    for name in ("score_difference", "probability_difference"):
        result[name] = [median(e[name] for e in compared), max(e[name] for e in compared)]
    for number_format in NUMBER_FORMATS:
        figures = stage_one(Counts.of(sweeps[number_format]))
        result[number_format] = {"recall": figures.recall, "mean_recall": figures.mean_recall}
    sys.stdout.write(report(result, options.cases, threshold))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def phantom_column(seed: int, network: Predictor) -> LungColumn:
    """One phantom as the networks see it, with its true nodes."""
    phantom = make_phantom(seed)
    grid = Grid(phantom.ct_hu.shape, phantom.affine)
    images = [canonical(array, grid) for array in (phantom.ct_hu, phantom.tumor, phantom.nodes)]
    pet = canonical(phantom.pet_suv, Grid(phantom.pet_suv.shape, phantom.pet_affine))
    return prepare(build_study("phantom", images[0], pet, images[1], images[2]), network.preset)


def report(result: dict[str, Any], cases: int, threshold: float) -> str:
    """The result as a Markdown table."""
    middle, largest = result["probability_difference"]
    rows = {
        "patients; operating point": f"{cases}; {threshold:.3f}",
        "candidates in f32 and in bf16": f"{result['candidates']} and {result['peer_candidates']}",
        "equal voxel by voxel; differing in some voxels": f"{result['equal']}; {result['differing']}",
        "found in f32 only; in bf16 only": f"{result['without_counterpart']}; "
        f"{result['peer_without_counterpart']}",
        "voxels in candidates; voxels that changed": f"{result['voxels']}; {result['voxels_changed']}",
        "largest difference of a probability, median patient; any": f"{middle:.3f}; {largest:.3f}",
        **{
            f"recall at precision 0.15; mRecall in {name}": f"{result[name]['recall']:.4f}; "
            f"{result[name]['mean_recall']:.4f}"
            for name in NUMBER_FORMATS
        },
    }
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
