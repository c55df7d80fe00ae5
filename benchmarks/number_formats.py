"""Counts what bfloat16 changes: the fused pipeline on unseen phantoms in both number formats.

./benchmarks/run number_formats --cases 30
"""

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from benchmarks.agreement import Agreement
from benchmarks.report import agreement_table
from osln.imaging.grid import Grid, canonical
from osln.imaging.lung_column import LungColumn, prepare
from osln.imaging.study import build_study
from osln.phantom import make_phantom
from osln.rows.experiments import OPERATING_POINT, ROWS
from osln.stage_one.inference import Predictor
from osln.weights.model_store import ModelStore

ROOT = Path(__file__).resolve().parents[1]

NUMBER_FORMATS = ("f32", "bf16")
ROW = ROWS["lf-stratified"]


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
    networks = {
        number_format: {
            name: Predictor(store.load(name), number_format=number_format) for name in ROW.segmenters
        }
        for number_format in NUMBER_FORMATS
    }
    agreement = Agreement(networks, store.thresholds(ROW.name)[OPERATING_POINT])
    for seed in tqdm(range(options.seed, options.seed + options.cases), unit="case"):
        agreement.look(phantom_column(seed, networks["f32"][ROW.segmenters[0]]))
    result = agreement.result()
    sys.stdout.write("\n".join(agreement_table(result)) + "\n")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def phantom_column(seed: int, network: Predictor) -> LungColumn:
    """One phantom as the networks see it, with its true nodes."""
    phantom = make_phantom(seed)
    grid = Grid(phantom.ct_hu.shape, phantom.affine)
    images = [canonical(array, grid) for array in (phantom.ct_hu, phantom.tumor, phantom.nodes)]
    pet = canonical(phantom.pet_suv, Grid(phantom.pet_suv.shape, phantom.pet_affine))
    return prepare(build_study("phantom", images[0], pet, images[1], images[2]), network.preset)


if __name__ == "__main__":
    main()
