"""Operating points of both stages, from trained networks and validation patients.

Stage one: a threshold of the fused map for each offered precision. Stage two: a score for each offered
number of false positives per patient.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from osln.imaging.lung_column import LungColumn, reason_not_usable, zone_of
from osln.metrics.definitions import Counts, operating_thresholds
from osln.metrics.froc import froc
from osln.metrics.matching import Scored
from osln.metrics.sweep import Sweep, sweep
from osln.retraining.candidate_cache import Asked, CandidateCache
from osln.retraining.fusing import fit_fusions
from osln.retraining.matched_points import matched_score
from osln.rows.experiments import OFFERED_FALSE_POSITIVES, PRESETS, ROWS, SEGMENTERS, Row
from osln.stage_one.fusion import fused_map
from osln.stage_one.inference import Predictor
from osln.stage_one.learned_fusion import LearnedFusion
from osln.stage_one.validation import inside_zone
from osln.stage_two.answering import reason_not_answering
from osln.stage_two.points import FEWEST_PATIENTS
from osln.stage_two.validation import scored_patients
from osln.tagging.tagger import Tagger
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore


def operating_points(
    checkpoints: Mapping[str, Checkpoint],
    columns: Sequence[LungColumn],
    device: str = "cpu",
    fusions: Mapping[str, LearnedFusion] | None = None,
    number_format: str | None = None,
) -> dict[str, tuple[dict[str, float], int]]:
    """Thresholds of the fused map at the offered precisions, for every row of stage one that can be made.

    A row that asks a single zone's network is judged inside its zone. A row that drops candidates has the
    points of the one that keeps them, and none of its own.

    Args:
        checkpoints: Networks by segmenter name.
        columns: Validation patients; one that lacks an image of a row is left out of it.
        device: Where to run.
        fusions: What was fitted for rows with learned fusion, which are left out otherwise.
        number_format: As of `Predictor`.

    Returns:
        {row: ({"0.15": threshold, ...}, patients with a node that they are of)}; a row without such a patient
        is left out.

    Reference:
        The paper, section 4.3: precision .15 is the operating point.
    """
    predictors = {
        name: Predictor(checkpoint, device, number_format=number_format)
        for name, checkpoint in checkpoints.items()
    }
    fusions = fusions or {}
    rows = {
        row.name: row
        for row in ROWS.values()
        if row.stage_one == row.name
        and checkpoints.keys() >= set(row.segmenters)
        and (row.fusion != "learned" or row.name in fusions)
    }
    sweeps: dict[str, list[Sweep]] = {name: [] for name in rows}
    for column in columns:
        maps = {
            name: predictor.probability(column)
            for name, predictor in predictors.items()
            if reason_not_usable(column, SEGMENTERS[name]) is None
        }
        nodes: np.ndarray = column.nodes  # type: ignore[assignment]
        for name, row in rows.items():
            if not maps.keys() >= set(row.segmenters):
                continue
            asked = {segmenter: maps[segmenter] for segmenter in row.segmenters}
            prob = fused_map(row, asked, column.distance_mm, fusions.get(name))
            if len(row.segmenters) == 1:
                zone = SEGMENTERS[row.segmenters[0]].zone
                found = sweep(*inside_zone(prob, nodes, zone_of(column, zone)))
            else:
                zone, found = "all", sweep(prob, nodes)
            sweeps[name].append(found.with_missed(column.nodes_outside(zone)))
    with_nodes = {name: sum(one.n_nodes > 0 for one in found) for name, found in sweeps.items()}
    return {
        name: (operating_thresholds(Counts.of(found)), with_nodes[name])
        for name, found in sweeps.items()
        if with_nodes[name]
    }


def renew_operating_points(
    models: ModelStore, segmenter: str, columns: Sequence[LungColumn], device: str = "cpu"
) -> tuple[str, dict[str, int]]:
    """Sets the operating points of every row that asks a new network and has enough patients.

    A row with learned fusion is fitted anew with them.

    Args:
        models: Store of the weights; the points are kept there.
        segmenter: The network whose version has changed.
        columns: Validation patients, on the grid of that network's preset.
        device: Where to run.

    Returns:
        A sentence that says what was set, "" if nothing, and for each row whose points could not be set how
        many patients it has: fewer than `FEWEST_PATIENTS` with a node and all images.
    """
    rows = {name: row for name, row in ROWS.items() if row.stage_one == name and segmenter in row.segmenters}
    asking = {name: row for name, row in rows.items() if all(map(models.published, row.segmenters))}
    enough = {name: patients_of(row, columns) for name, row in asking.items()}
    few = {name: number for name, number in enough.items() if number < FEWEST_PATIENTS}
    wanted = {name for row in asking.values() if row.name not in few for name in row.segmenters}
    used = {name: models.load(name) for name in wanted | {segmenter}}
    alike = {name: one for name, one in used.items() if one.preparation == used[segmenter].preparation}
    measured: dict[int, list[str]] = {}
    told: list[str] = []
    if wanted:
        fusions, told = fit_fusions(models, segmenter, columns, device)
        for name, (points, patients) in operating_points(alike, columns, device, fusions).items():
            if name not in enough or name in few:
                continue
            if name in fusions:
                models.set_fusion(name, fusions[name].to_json())
            models.set_thresholds(name, points)
            measured.setdefault(patients, []).append(name)
    said = [
        f"operating points of {', '.join(names)} were set on {patients} validation patients with nodes"
        for patients, names in measured.items()
    ]
    return "; ".join([*said, *told]), few


def patients_of(row: Row, columns: Sequence[LungColumn]) -> int:
    """How many patients have a node and all images that a row of stage one needs."""
    usable = (
        column
        for column in columns
        if all(reason_not_usable(column, SEGMENTERS[name]) is None for name in row.segmenters)
    )
    return sum(
        (column.nodes is not None and bool(column.nodes.any())) or column.nodes_outside() > 0
        for column in usable
    )


def points_kept(few: Mapping[str, int]) -> str:
    """A sentence about rows whose points stay because so many patients are too few; "" for none."""
    by_number: dict[int, list[str]] = {}
    for name, patients in few.items():
        by_number.setdefault(patients, []).append(name)
    return "; ".join(
        f"operating points of {', '.join(names)} are kept: {patients} validation patients with nodes are "
        f"too few to set them, {FEWEST_PATIENTS} are needed"
        for patients, names in by_number.items()
    )


def score_thresholds(patients: Sequence[Scored]) -> dict[str, float]:
    """Score for each offered number of false positives per patient, as stored with a classifier.

    The lowest score of any candidate from which on no more than that many candidates per patient are
    false; equal scores stay together, and patients without nodes count.

    Args:
        patients: Validation patients under the classifier's scores.

    Returns:
        {"0.5": score, "1": ..., "6": ...}. Where the candidates of the highest score are already too
        many, the next number above it, or 1 if that is the highest score; without any candidate 0.

    Raises:
        ValueError: No patient, or a score is not a number.
    """
    curve = froc(patients)
    if len(curve.thresholds) == 1:
        return dict.fromkeys(OFFERED_FALSE_POSITIVES, 0.0)
    # Scores are single precision: the next number above must still differ when compared with one.
    above = min(float(np.nextafter(np.float32(curve.thresholds[1]), np.float32(2))), 1.0)
    scores = np.concatenate([[above], curve.thresholds[1:]])
    rounding = 1e-9
    return {
        name: float(scores[curve.false_positives <= float(name) + rounding][-1])
        for name in OFFERED_FALSE_POSITIVES
    }


def match_score_thresholds(
    models: ModelStore, classifier: str, before: np.ndarray, after: np.ndarray, cases: int
) -> str:
    """Moves a classifier's score thresholds so that as many candidates are kept as before.

    Args:
        models: Store of the weights.
        classifier: Row of `CLASSIFIERS`.
        before, after: (n,) scores of the candidates of unlabeled cases by its former and its new version.
        cases: How many cases these are of.
    """
    points = models.thresholds(classifier)
    moved = {name: matched_score(before, after, at) for name, at in points.items()}
    models.set_thresholds(classifier, moved)
    return (
        f"score thresholds of {classifier} were moved so that of the candidates of {cases} unlabeled cases "
        "as many are kept as before"
    )


def operating_curve(patients: Sequence[Scored]) -> list[dict[str, float]]:
    """Sensitivity and score at each offered number of false positives per patient.

    Args:
        patients: Validation patients under the classifier's scores.

    Returns:
        `fp_per_patient`, `threshold` (as `score_thresholds`) and `sensitivity` (share of the nodes found from
        that score on), by rising `fp_per_patient`; [] with fewer than `FEWEST_PATIENTS` patients or without
        any node, where a share would say nothing.
    """
    nodes = sum(patient.n_nodes for patient in patients)
    if len(patients) < FEWEST_PATIENTS or not nodes:
        return []
    return [
        {
            "fp_per_patient": float(name),
            "threshold": score,
            "sensitivity": sum(int((one.hits & (one.scores >= score)).sum()) for one in patients) / nodes,
        }
        for name, score in score_thresholds(patients).items()
    ]


def set_score_thresholds(models: ModelStore, classifier: str, patients: Sequence[Scored]) -> str:
    """Stores the score thresholds of a classifier that was published, or keeps the former ones.

    Args:
        models: Store of the weights.
        classifier: Row of `CLASSIFIERS`.
        patients: Validation patients under its scores.

    Returns:
        A sentence that says what was done. With fewer than `FEWEST_PATIENTS` patients former thresholds
        stay; if there are none, those of the few are better than none.
    """
    known = set(OFFERED_FALSE_POSITIVES) <= models.thresholds(classifier).keys()
    if len(patients) < FEWEST_PATIENTS and (known or not patients):
        return _kept(f"score thresholds of {classifier}", patients)
    models.set_thresholds(classifier, score_thresholds(patients), operating_curve(patients))
    few = f", which are few: {FEWEST_PATIENTS} are needed" if len(patients) < FEWEST_PATIENTS else ""
    return f"score thresholds of {classifier} were set on {len(patients)} validation patients{few}"


def renew_score_thresholds(
    models: ModelStore,
    root: Path,
    segmenter: str,
    cases: Sequence[str],
    tagger_path: Path | None = None,
    device: str = "cpu",
) -> str:
    """Sets the score thresholds of every classifier whose candidates a newly published network changes.

    Args:
        models: Store of the weights; the thresholds are kept there.
        root: Folder of the studies.
        segmenter: The network whose version has changed.
        cases: Approved validation cases.
        tagger_path: File of the tagger in use, if there is one.
        device: Where to run.

    Returns:
        Sentences that say what was done; "" if no trained classifier follows that network.
    """
    rows = [
        row
        for row in ROWS.values()
        if row.classifier
        and row.turns == 1
        and segmenter in row.segmenters
        and all(map(models.published, row.networks))
    ]
    if rows and len(cases) < FEWEST_PATIENTS:
        names = ", ".join(str(row.classifier) for row in rows)
        return _kept(f"score thresholds of {names}", cases)
    said = []
    for row in rows:
        checkpoint = models.load(str(row.classifier))
        tagger = Tagger.load(tagger_path, device) if row.needs_tags and tagger_path is not None else None
        version = models.published(checkpoint.name)
        if reason_not_answering(checkpoint.name, version, tagger.describe() if tagger else None):
            said.append(
                f"score thresholds of {checkpoint.name} are kept: it learned from the tags of another tagger"
            )
            continue
        preset = PRESETS[checkpoint.preset]
        cache = CandidateCache(root, models, row.name, preset, tagger, device)
        sets, tags, _ = cache.collect(dict.fromkeys(cases, Asked(cache.in_use(), add_nodes=False)))
        patients = scored_patients(checkpoint, sets, tags, device=device)
        said.append(set_score_thresholds(models, checkpoint.name, patients))
    return "; ".join(said)


def _kept(what: str, patients: Sequence[object]) -> str:
    few = f"{len(patients)} validation patients are too few to set them"
    return f"{what} are kept: {few}, {FEWEST_PATIENTS} are needed"
