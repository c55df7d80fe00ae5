"""What is made of stage two: candidates, their tags, classifiers and their scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from osln.cohorts.cohort import Cohort
from osln.files.arrays import write_array, write_json
from osln.jobs.worker import device, tell, tell_training
from osln.metrics.definitions import operating_thresholds
from osln.reproduction.stage_one import CaseMaps, fused_case, read_counts
from osln.rows.experiments import Classifier, Preset, Row, StageTwo
from osln.stage_one.candidates import Detections, find_candidates
from osln.stage_two.candidate_sets import candidate_set, iou_path, load_set, node_iou, save_set
from osln.stage_two.scoring import CandidateScorer, mean_scores
from osln.stage_two.training import train_classifier
from osln.tagging.tagger import Tagger
from osln.weights.checkpoint import Checkpoint, load_checkpoint


def make_candidates(
    cohort: Cohort,
    recipe: StageTwo,
    row: Row,
    counts: Path,
    fused: Mapping[str, CaseMaps],
    paths: Mapping[str, Path],
    add_nodes: bool,
) -> None:
    """Keep the candidates of cases in these files; a case that teaches gets its true nodes added."""
    for number, (case, path) in enumerate(paths.items(), start=1):
        if not path.is_file():
            found = find(cohort, row, counts, fused[case], case)
            save_set(path, candidate_set(found, recipe, add_nodes=add_nodes))
        tell(number / len(paths))


def make_overlaps(
    cohort: Cohort, row: Row, counts: Path, fused: Mapping[str, CaseMaps], paths: Mapping[str, Path]
) -> None:
    """Keep how well the candidates of cases, kept in these files, lie on their nodes (`iou_path`)."""
    for number, (case, path) in enumerate(paths.items(), start=1):
        if not iou_path(path).is_file():
            found = find(cohort, row, counts, fused[case], case)
            write_array(iou_path(path), node_iou(found, load_set(path)))
        tell(number / len(paths))


def find(cohort: Cohort, row: Row, counts: Path, maps: CaseMaps, case: str) -> Detections:
    """What a row hands to stage two of a case, from its kept maps, at a precision of the kept counts."""
    column = cohort.column(case)
    prob = fused_case(row, maps, column)
    at = row.handed(operating_thresholds(read_counts(counts, "validation")))
    candidates, labels = find_candidates(prob, at, column, in_tumor=row.in_tumor)
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
    tagger: Path,
    **given: Any,
) -> Checkpoint:
    """Train a classifier on kept candidates and, if it reads them, tags; `given` as by `keep_training`."""
    return train_classifier(
        classifier,
        preset,
        [load_set(path, iou=classifier.needs_overlap) for path in candidates],
        [np.load(path) for path in tags] or None,
        tagger=Tagger.load(tagger).describe() if tags else None,
        on_progress=tell_training,
        **given,
    )


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
