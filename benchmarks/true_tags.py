"""Why tags alone score candidates poorly: the tags of the tagger against the true ones of the phantoms.

Trains the classifier "tag" on the late-fusion candidates that ./scripts/osln tables --table 2 --phantoms
has left in --work, once with the tagger's probabilities and once with the tags that the phantom's sidecar
lists for the finding under the candidate, and prints mFROC and best F1 on the test phantoms.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from osln.cohorts.cohort import SPLITS
from osln.cohorts.phantoms import Patient, PhantomCohort, split_seeds
from osln.metrics.froc import best_f1, froc
from osln.reproduction.artifacts import Artifacts, files
from osln.reproduction.plan import Plan
from osln.reproduction.reading import read_candidates
from osln.rows.experiments import CLASSIFIERS, PRESETS
from osln.rows.lines import candidate_row
from osln.rows.paper import COHORT_SIZES
from osln.rows.tags import TAG_INDEX, TAG_NAMES
from osln.stage_two.candidate_sets import CandidateSet
from osln.stage_two.scoring import CandidateScorer
from osln.stage_two.training import train_classifier

ROOT = Path(__file__).resolve().parents[1]

SHIPPED = ROOT / "apps" / "osln" / "model" / "shipped"
NEAR_MM = 3.0
"""From a candidate's box center to a finding's surface; farther away there is no tag."""
EPOCHS = 30
"""A single linear layer takes seconds."""


def main() -> None:
    """Trains both and prints two lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".osln-measure", help="of ./scripts/osln tables")
    options = parser.parse_args()
    preset = PRESETS["demo"]
    sizes = {split: COHORT_SIZES["demo"].of(split) for split in SPLITS}
    cohort = PhantomCohort(options.work, preset, sizes=sizes)
    artifacts = Artifacts(Plan(options.work, cohort, preset, ("2",), 1, SHIPPED / "lesanet.safetensors"))
    row = candidate_row("lf-stratified", "tag")
    if not artifacts.scores(row, 0).is_made:
        parser.error(f"{options.work} has no candidates: run ./scripts/osln tables --table 2 --phantoms")
    told: dict[str, dict[str, list[np.ndarray]]] = {"tagger": {}, "true tags": {}}
    sets: dict[str, list[CandidateSet]] = {}
    for split in ("stage two", "test"):
        sets[split] = read_candidates(artifacts, row, 0, split)
        told["tagger"][split] = [np.load(path) for path in files(artifacts.tags(row, 0, split))]
        patients = (cohort.patient(seed) for seed in split_seeds(split, sizes[split]))
        told["true tags"][split] = [
            true_tags(one, patient) for one, patient in zip(sets[split], patients, strict=True)
        ]
    for name, tags in told.items():
        checkpoint = train_classifier(
            CLASSIFIERS["tag"], PRESETS["demo"], sets["stage two"], tags["stage two"], epochs=EPOCHS
        )
        scorer = CandidateScorer(checkpoint, number_format="f32")
        scored = []
        for one, given in zip(sets["test"], tags["test"], strict=True):
            count = one.n_candidates
            scored.append(one.scored(scorer.scores(one.patches.first(count), given[:count])))
        figures = f"mFROC {froc(scored).mean():.3f}, best F1 {best_f1(scored).f1:.3f}"
        sys.stdout.write(f"{name:10} {figures}\n")


def true_tags(content: CandidateSet, patient: Patient) -> np.ndarray:
    """(n, 171) ones for the tags of the finding that each candidate lies on."""
    centers = np.array([finding["center_mm"] for finding in patient.findings])
    radii = [min(finding["long_axis_mm"], 2 * finding["short_axis_mm"]) / 2 for finding in patient.findings]
    tags = np.zeros((len(content.lesions), len(TAG_NAMES)), dtype=np.float32)
    for entry, (x0, x1, y0, y1, z) in zip(tags, content.lesions, strict=True):
        gaps = np.linalg.norm(centers - [(x0 + x1) / 2, (y0 + y1) / 2, z], axis=1) - radii
        nearest = int(gaps.argmin())
        if gaps[nearest] <= NEAR_MM:
            entry[[TAG_INDEX[name] for name in patient.findings[nearest]["tags"]]] = 1.0
    return tags


if __name__ == "__main__":
    main()
