"""Jobs of stage two: candidates, their tags, classifiers and their scores."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from osln.files.arrays import write_array, write_json
from osln.learning.fit import Progress
from osln.metrics.definitions import OPERATING_PRECISION, operating_thresholds
from osln.metrics.matching import Scored
from osln.reproduction.jobs import device, tell
from osln.reproduction.kept_training import keep_training
from osln.reproduction.plan import EVALUATED, Plan
from osln.reproduction.stage_one import fused_map, row_counts
from osln.rows.experiments import CLASSIFIERS
from osln.rows.lines import Row
from osln.stage_one.candidates import Detections, find_candidates
from osln.stage_two.candidate_sets import CandidateSet, candidate_set, load_set, save_set
from osln.stage_two.scoring import CandidateScorer, mean_scores
from osln.stage_two.training import train_classifier
from osln.tagging.tagger import Tagger
from osln.weights.checkpoint import load_checkpoint


def threshold(plan: Plan, row: Row, seed: int) -> float:
    """Operating point of a row's stage one: precision .15 on the validation patients."""
    return operating_thresholds(row_counts(plan, row, seed, "validation"))[f"{OPERATING_PRECISION:.2f}"]


def find(plan: Plan, row: Row, seed: int, case: str) -> Detections:
    """The candidates of a case of any split, from the kept maps."""
    column = plan.cohort.column(case)
    prob = fused_map(plan, plan.unseen(row, seed, case), column, row.turns)
    at = threshold(plan, row, seed)
    candidates, labels = find_candidates(prob, at, column)
    return Detections(row.stage_one, at, candidates, labels, prob, column, {})


def make_candidates(plan: Plan, name: str, row: Row, seed: int, cases: Sequence[str]) -> None:
    """Keep the candidates of these cases; those that teach get their true nodes added."""
    taught = set(plan.cohort.cases("stage two"))
    for number, case in enumerate(cases, start=1):
        path = plan.candidates_path(row, seed, case)
        if not path.is_file():
            found = find(plan, row, seed, case)
            save_set(path, candidate_set(found, plan.preset.stage_two, add_nodes=case in taught))
        tell(name, number / len(cases))


def make_tags(plan: Plan, name: str, row: Row, seed: int, cases: Sequence[str]) -> None:
    """Ask the tagger for the candidates of these cases."""
    missing = [case for case in cases if not plan.tags_path(row, seed, case).is_file()]
    tagger = Tagger.load(plan.tagger, device(), precision="f32")
    for number, case in enumerate(missing, start=1):
        content = load_set(plan.candidates_path(row, seed, case))
        tags = tagger.tag_lesions(plan.cohort.ct(case), content.lesions)
        write_array(plan.tags_path(row, seed, case), tags.astype(np.float16))
        tell(name, number / len(missing))


def read_patients(
    plan: Plan, row: Row, seed: int, split: str
) -> tuple[list[CandidateSet], list[np.ndarray] | None]:
    """Candidates and, if the row's classifier reads them, tags of a split."""
    cases = plan.cohort.cases(split)
    sets = [load_set(plan.candidates_path(row, seed, case)) for case in cases]
    if row.classifier is None or not CLASSIFIERS[row.classifier].tags:
        return sets, None
    return sets, [np.load(plan.tags_path(row, seed, case)) for case in cases]


def train_row(plan: Plan, name: str, row: Row, seed: int) -> None:
    """Train a row's classifier and keep it; goes on where an interrupted training was."""
    sets, tags = read_patients(plan, row.teacher, seed, "stage two")
    training = partial(
        train_classifier,
        CLASSIFIERS[str(row.classifier)],
        plan.preset,
        sets,
        tags,
        tagger=Tagger.load(plan.tagger).describe() if tags is not None else None,
        on_progress=partial(_told, name),
    )
    keep_training(plan, plan.classifier_path(row, seed), seed, training)


def _told(name: str, state: Progress) -> None:
    tell(name, state.share, f"loss {state.loss:.3f}")


def score_row(plan: Plan, name: str, row: Row, seed: int) -> None:
    """Keep a classifier's scores of the evaluated patients' candidates."""
    scorer = CandidateScorer(load_checkpoint(plan.classifier_path(row, seed)), device(), precision="f32")
    found: dict[str, dict[str, list[float]]] = {}
    for split in EVALUATED:
        sets, tags = read_patients(plan, row, seed, split)
        given: list[Any] = [None] * len(sets) if tags is None else tags
        found[split] = {
            one.case: mean_scores(scorer, one.patches, told, row.turns).astype(float).tolist()
            for one, told in zip(sets, given, strict=True)
        }
    write_json(plan.scores_path(row, seed), found)


def case_scores(
    plan: Plan, row: Row, seed: int, split: str, sets: Sequence[CandidateSet]
) -> list[np.ndarray]:
    """What each patient's candidates are ranked by."""
    if row.classifier is None:
        return [one.stage_one_scores for one in sets]
    stored = json.loads(plan.scores_path(row, seed).read_text())[split]
    found = [np.array(stored[one.case]) for one in sets]
    if not row.joint:
        return found
    return [log_odds(new) + log_odds(one.stage_one_scores) for one, new in zip(sets, found, strict=True)]


def row_patients(plan: Plan, row: Row, seed: int, split: str) -> list[Scored]:
    """The (score, hit) pairs of a row on the patients of a split."""
    sets, _ = read_patients(plan, row.setting, seed, split)
    scores = case_scores(plan, row, seed, split, sets)
    return [one.scored(ranked) for one, ranked in zip(sets, scores, strict=True)]


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Logit; probabilities that are 0 or 1 in single precision stay finite."""
    inside = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(inside / (1 - inside))
