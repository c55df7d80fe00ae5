"""What the learned fusion is worth once stage two has scored its candidates; after `./benchmarks/run fusion`.

Stage two as shipped, whose networks learned from the candidates of the paper's maximum; those that read no
tags. Columns and maps are read from the same --work.

    ./benchmarks/run fusion_stages --work FOLDER --stores planted
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.fusion import FIRST_TEST_SEED, Maps, Patient, froc_figures, interval, print_table
from osln.metrics.bootstrap import resamples
from osln.metrics.froc import froc
from osln.metrics.matching import Scored, match
from osln.rows.experiments import OPERATING_POINT, ROWS
from osln.stage_one.candidates import find_candidates
from osln.stage_one.learned_fusion import LearnedFusion
from osln.stage_two.context import candidate_patches
from osln.stage_two.scoring import CandidateScorer
from osln.weights.model_store import ModelStore

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ("lf-stratified", "lf-learned")
CLASSIFIERS = ("local-ct-pet", "set-glnet")
DRAWS = 300


def main() -> None:
    """Prints a table for the phantoms and for each store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of ./benchmarks/run fusion")
    parser.add_argument("--stores", type=Path, nargs="*", default=[], help="stores with truth/")
    parser.add_argument("--models", type=Path, default=ROOT / "apps" / "osln" / "model", help="weights")
    parser.add_argument("--test", type=int, default=40, help="test phantoms (%(default)s)")
    options = parser.parse_args()
    store = ModelStore(options.models)
    maps = Maps(store, options.work)
    seeds = range(FIRST_TEST_SEED, FIRST_TEST_SEED + options.test)
    measure("phantoms", list(maps.phantoms(seeds)), store)
    for root in options.stores:
        measure(root.name, list(maps.stored(root)), store)


def measure(name: str, patients: Sequence[Patient], store: ModelStore) -> None:
    """Prints the figures of each classifier on the candidates of each fusion, and the paired difference."""
    learned = LearnedFusion.from_json(store.fusion("lf-learned")["zones"])
    weights = resamples(len(patients), DRAWS)
    rows = []
    for classifier in CLASSIFIERS:
        scorer = CandidateScorer(store.load(classifier))
        first = None
        for setting in SETTINGS:
            threshold = store.thresholds(setting)[OPERATING_POINT]
            pairs = [scored(one, setting, threshold, learned, scorer) for one in patients]
            mfroc = froc_figures(pairs, weights)["mFROC"]
            first = first or mfroc
            shares = (f"{share:.2f}" for share in froc(pairs).at((2.0, 4.0, 8.0)))
            rows.append((setting, classifier, *shares, interval(mfroc), interval(mfroc - first)))
    sys.stdout.write(f"\n{name}: {len(patients)} patients\n")
    print_table(("fusion", "stage two", "@2", "@4", "@8", "mFROC", "difference"), rows)


def scored(
    patient: Patient, setting: str, threshold: float, learned: LearnedFusion, scorer: CandidateScorer
) -> Scored:
    """Candidates of a patient under the scores of stage two."""
    column = patient.column
    candidates, labels = find_candidates(patient.fused(ROWS[setting], learned), threshold, column)
    scores = np.zeros(0)
    if candidates:
        scores = scorer.scores(candidate_patches(column, candidates, scorer.stage_two)).astype(float)
    pairs = match(labels, column.nodes, scores).scored()
    return Scored(pairs.scores, pairs.hits, pairs.n_nodes + column.nodes_outside())


if __name__ == "__main__":
    main()
