"""What is made of stage two: candidates, their tags, classifiers and their scores."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from osln.cohorts.cohort import Cohort
from osln.files.arrays import write_array, write_json
from osln.learning.run import Progress
from osln.metrics.definitions import operating_thresholds
from osln.reproduction.jobs import device, tell
from osln.reproduction.kept_training import keep_training
from osln.reproduction.stage_one import CaseMaps, fused_map, read_counts
from osln.rows.experiments import OPERATING_POINT, Classifier, Preset, StageTwo
from osln.stage_one.candidates import Detections, find_candidates
from osln.stage_two.candidate_sets import candidate_set, load_set, save_set
from osln.stage_two.scoring import CandidateScorer, mean_scores
from osln.stage_two.training import train_classifier
from osln.tagging.tagger import Tagger
from osln.weights.checkpoint import load_checkpoint


def make_candidates(
    cohort: Cohort,
    recipe: StageTwo,
    counts: Path,
    fused: Mapping[str, CaseMaps],
    paths: Mapping[str, Path],
    add_nodes: bool,
) -> None:
    """Keep the candidates of these cases at the operating point of their setting.

    Args:
        cohort: The patients.
        recipe: Of the patches.
        counts: File of the setting's counts.
        fused: Maps by case.
        paths: Files by case.
        add_nodes: The true nodes are added, as to every case that teaches.
    """
    for number, (case, path) in enumerate(paths.items(), start=1):
        if not path.is_file():
            found = find(cohort, counts, fused[case], case)
            save_set(path, candidate_set(found, recipe, add_nodes=add_nodes))
        tell(number / len(paths))


def find(cohort: Cohort, counts: Path, maps: CaseMaps, case: str) -> Detections:
    """The candidates of a case of any split, from the kept maps: above precision .15 on validation patients.

    Args:
        cohort: The patients.
        counts: File of the setting's counts.
        maps: Of the case.
        case: Its id.
    """
    column = cohort.column(case)
    prob = fused_map(maps, column)
    at = operating_thresholds(read_counts(counts, "validation"))[OPERATING_POINT]
    candidates, labels = find_candidates(prob, at, column)
    return Detections(counts.parent.name, at, candidates, labels, prob, column, {})


def make_tags(tagger: Path, cohort: Cohort, paths: Mapping[Path, Path]) -> None:
    """Ask the tagger for candidates, given their files with those of their tags."""
    missing = {candidates: path for candidates, path in paths.items() if not path.is_file()}
    asked = Tagger.load(tagger, device(), number_format="f32")
    for number, (candidates, path) in enumerate(missing.items(), start=1):
        content = load_set(candidates)
        write_array(path, asked.tag_lesions(cohort.ct(content.case), content.lesions).astype(np.float16))
        tell(number / len(missing))


def train_on_candidates(
    classifier: Classifier,
    preset: Preset,
    candidates: Sequence[Path],
    tags: Sequence[Path],
    tagger: Path | None,
    trained_on: str,
    seed: int,
    path: Path,
) -> None:
    """Train a classifier and keep it; goes on where an interrupted training was.

    Args:
        classifier: Row of `CLASSIFIERS`.
        preset: Sizes and recipe.
        candidates: A file for each case.
        tags: The same; empty if the classifier reads none.
        tagger: File of the tagger that gave them; None without tags.
        trained_on: What the weights may claim.
        seed: Of the training.
        path: File of the weights.
    """
    training = partial(
        train_classifier,
        classifier,
        preset,
        [load_set(one) for one in candidates],
        [np.load(one) for one in tags] or None,
        tagger=None if tagger is None else Tagger.load(tagger).describe(),
        on_progress=_told,
    )
    keep_training(path, seed, trained_on, training)


def _told(state: Progress) -> None:
    tell(state.epoch / state.epochs, f"loss {state.loss:.3f}")


def score_candidates(
    weights: Path, given: Mapping[str, tuple[Sequence[Path], Sequence[Path]]], turns: int, path: Path
) -> None:
    """Keep a classifier's scores of the evaluated patients' candidates.

    Args:
        weights: The classifier.
        given: Files of candidates and, if it reads them, of tags by split.
        turns: Turned views whose scores are averaged.
        path: File of the scores.
    """
    scorer = CandidateScorer(load_checkpoint(weights), device(), number_format="f32")
    found: dict[str, dict[str, list[float]]] = {}
    for split, (candidates, tags) in given.items():
        told = [np.load(one) for one in tags] or [None] * len(candidates)
        sets = map(load_set, candidates)
        found[split] = {
            one.case: mean_scores(scorer, one.patches, by, turns).astype(float).tolist()
            for one, by in zip(sets, told, strict=True)
        }
    write_json(path, found)
