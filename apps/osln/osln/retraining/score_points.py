"""Operating points of stage two: a score for each number of false positives per validation patient."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np

from osln.metrics.froc import froc
from osln.metrics.matching import Scored
from osln.retraining.candidate_cache import Asked, CandidateCache
from osln.retraining.judgment import patients_with_nodes
from osln.retraining.matched_points import in_order, matched_score
from osln.rows.experiments import OFFERED_FALSE_POSITIVES, PRESETS, ROWS
from osln.stage_two.answering import reason_not_answering
from osln.stage_two.points import FEWEST_PATIENTS
from osln.stage_two.validation import scored_patients
from osln.store.approved import without_parts
from osln.store.patients import patients_of
from osln.tagging.tagger import Tagger
from osln.weights.model_store import ModelStore


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
    models: ModelStore,
    classifier: str,
    before: np.ndarray,
    after: np.ndarray,
    cases: int,
    weights: Mapping[str, str] | None = None,
) -> str:
    """Moves a classifier's score thresholds so that as many candidates are kept as before.

    Args:
        models: Store of the weights.
        classifier: Row of `CLASSIFIERS`.
        before, after: (n,) scores of the candidates of unlabeled cases by its former and its new version.
        cases: How many cases these are of.
        weights: As of `ModelStore.set_thresholds`.
    """
    # Of what is in use: what was measured with the new one before, the store would give first.
    points = models.now.thresholds(classifier)
    silent = [name for name, at in points.items() if not (before >= at).any()]
    silence = f"score thresholds of {classifier} at {', '.join(silent)} are kept: no candidate reaches them"
    if len(silent) == len(points):
        return silence
    moved = in_order(points, lambda at: matched_score(before, after, at))
    unmeasured = not models.now.is_measured(classifier)
    models.set_thresholds(classifier, moved, weights=weights, stand_in=unmeasured)
    return (
        f"score thresholds of {classifier} were moved so that of the candidates of {cases} unlabeled cases "
        "as many are kept as before" + (f"; {silence}" if silent else "")
    )


def operating_curve(
    cases: Sequence[Scored], patients: Sequence[Hashable] | None = None
) -> list[dict[str, float]]:
    """Sensitivity and score at each offered number of false positives per patient.

    Args:
        cases: Of validation patients, under the classifier's scores.
        patients: The patient of each case; None if each is of another one.

    Returns:
        `fp_per_patient`, `threshold` (as `score_thresholds`) and `sensitivity` (share of the nodes found from
        that score on), by rising `fp_per_patient`; [] with fewer than `FEWEST_PATIENTS` patients that have a
        node, where a share would say nothing.
    """
    nodes = sum(one.n_nodes for one in cases)
    if patients_with_nodes((one.n_nodes for one in cases), patients) < FEWEST_PATIENTS:
        return []
    return [
        {
            "fp_per_patient": float(name),
            "threshold": score,
            "sensitivity": sum(int((one.hits & (one.scores >= score)).sum()) for one in cases) / nodes,
        }
        for name, score in score_thresholds(cases).items()
    ]


def set_score_thresholds(
    models: ModelStore,
    classifier: str,
    cases: Sequence[Scored],
    patients: Sequence[Hashable] | None = None,
    weights: Mapping[str, str] | None = None,
) -> str:
    """Stores the score thresholds of a classifier that was published, or keeps the former ones.

    Args:
        models: Store of the weights.
        classifier: Row of `CLASSIFIERS`.
        cases: Of validation patients, under its scores.
        patients: The patient of each case; None if each is of another one.
        weights: As of `ModelStore.set_thresholds`.

    Returns:
        A sentence that says what was done. With fewer than `FEWEST_PATIENTS` patients that have a node former
        thresholds stay; if there are none, those of the few are better than none.
    """
    known = set(OFFERED_FALSE_POSITIVES) <= models.thresholds(classifier).keys()
    number = patients_with_nodes((one.n_nodes for one in cases), patients)
    if number < FEWEST_PATIENTS and (known or not cases):
        return _kept(classifier, f"{number} validation patients with nodes")
    points, curve = score_thresholds(cases), operating_curve(cases, patients)
    measured = len(cases) if patients is None else len(set(patients))
    models.set_thresholds(classifier, points, curve, patients=measured, weights=weights)
    few = f", which are few: {FEWEST_PATIENTS} with nodes are needed" if number < FEWEST_PATIENTS else ""
    return f"score thresholds of {classifier} were set on {measured} validation patients{few}"


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
    patient_of = patients_of(root, cases) if rows else {}
    number = len(set(patient_of.values()))
    if rows and number < FEWEST_PATIENTS:
        names = ", ".join(str(row.classifier) for row in rows)
        return _kept(names, f"{number} validation patients")
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
        weights = models.weights_of(checkpoint.name)
        cache = CandidateCache(root, models, row.name, preset, tagger, device)
        sets, tags, _ = cache.collect(dict.fromkeys(cases, Asked(cache.in_use(), add_nodes=False)))
        tags = tags and [told for told, one in zip(tags, sets, strict=True) if not one.partial]
        sets, _ = without_parts(sets)
        scored = scored_patients(checkpoint, sets, tags, device=device)
        patients = [patient_of[one.case] for one in sets]
        said.append(set_score_thresholds(models, checkpoint.name, scored, patients, weights))
    return "; ".join(said)


def _kept(names: str, patients: str) -> str:
    few = f"{patients} are too few to set them, {FEWEST_PATIENTS} with nodes are needed"
    return f"score thresholds of {names} are kept: {few}"
