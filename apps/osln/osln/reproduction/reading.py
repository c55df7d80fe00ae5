"""What the finished artifacts of a row hold."""

import json
from collections.abc import Sequence

import numpy as np

from osln.metrics.matching import Scored
from osln.reproduction.artifacts import Artifacts, files
from osln.reproduction.end_to_end import read_findings
from osln.reproduction.figures import CandidateResult, MapResult, Result
from osln.reproduction.plan import EVALUATED
from osln.reproduction.stage_one import read_counts
from osln.rows.experiments import Row
from osln.stage_two.candidate_sets import CandidateSet, load_set


def read_result(artifacts: Artifacts, row: Row) -> Result:
    """What a finished row has found, for every seed."""
    seeds = range(artifacts.plan.seeds)
    if row.kind == "recall":
        paths = [artifacts.counts(row, seed).path for seed in seeds]
        test, chance = ([read_counts(path, split) for path in paths] for split in ("test", "chance"))
        return MapResult(test, chance)
    found = {split: [row_patients(artifacts, row, seed, split) for seed in seeds] for split in EVALUATED}
    return CandidateResult(found["test"], found["validation"])


def row_patients(artifacts: Artifacts, row: Row, seed: int, split: str) -> list[Scored]:
    """The (score, hit) pairs of a row on the patients of a split."""
    if row.detector:
        return read_findings(artifacts.findings(row, seed).path, split)
    sets = read_candidates(artifacts, row, seed, split)
    scores = case_scores(artifacts, row, seed, split, sets)
    return [one.scored(ranked) for one, ranked in zip(sets, scores, strict=True)]


def read_candidates(artifacts: Artifacts, row: Row, seed: int, split: str) -> list[CandidateSet]:
    """Candidates of a row's setting in the patients of a split."""
    return [load_set(path) for path in files(artifacts.candidates(row, seed, split))]


def case_scores(
    artifacts: Artifacts, row: Row, seed: int, split: str, sets: Sequence[CandidateSet]
) -> list[np.ndarray]:
    """What each patient's candidates are ranked by."""
    if row.classifier is None:
        return [one.stage_one_scores for one in sets]
    stored = json.loads(artifacts.scores(row, seed).path.read_text())[split]
    found = [np.array(stored[one.case]) for one in sets]
    if not row.joint:
        return found
    return [log_odds(new) + log_odds(one.stage_one_scores) for one, new in zip(sets, found, strict=True)]


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Logit; probabilities that are 0 or 1 in single precision stay finite."""
    inside = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(inside / (1 - inside))
