"""What a stage-two network finds in patients whose nodes are known."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from osln.metrics.froc import MFROC_FALSE_POSITIVES, best_f1, froc
from osln.metrics.matching import Scored
from osln.stage_two.candidate_sets import CandidateSet
from osln.stage_two.scoring import CandidateScorer, mean_scores
from osln.weights.checkpoint import Checkpoint

SHOWN_FALSE_POSITIVES = 3.0
"""Per patient, where a training shows what it finds."""


def evaluate_classifier(
    checkpoint: Checkpoint,
    sets: Sequence[CandidateSet],
    tags: Sequence[np.ndarray] | None = None,
    *,
    device: str = "cpu",
    number_format: str | None = None,
) -> dict[str, Any]:
    """Figures of a stage-two network on patients whose nodes are known.

    Returns:
        JSON values. "metric" is mFROC, the figure that publishing is decided by (None without any node);
        "recall" at 3 false positives per patient, "f1" the best one, "stage_one" mFROC of the same
        candidates under their stage-one scores; "cases" has nodes, found and false candidates of each
        patient at the score that gives at most 3 false positives per patient.
    """
    return figures_of(
        sets, scored_patients(checkpoint, sets, tags, device=device, number_format=number_format)
    )


def figures_of(sets: Sequence[CandidateSet], patients: Sequence[Scored]) -> dict[str, Any]:
    """The figures of `evaluate_classifier` for patients whose scores are there."""
    if not sum(patient.n_nodes for patient in patients):
        return {"metric": None, "recall": None, "f1": None, "stage_one": None, "patients": len(sets)}
    curve = froc(patients)
    least = curve.thresholds[curve.false_positives <= SHOWN_FALSE_POSITIVES][-1]
    return {
        "metric": curve.mean(),
        "recall": float(curve.at([SHOWN_FALSE_POSITIVES])[0]),
        "false_positives": SHOWN_FALSE_POSITIVES,
        "sensitivity": dict(
            zip(map(str, MFROC_FALSE_POSITIVES), curve.at(MFROC_FALSE_POSITIVES).tolist(), strict=True)
        ),
        "f1": best_f1(patients).f1,
        "stage_one": froc([one.scored() for one in sets]).mean(),
        "patients": len(sets),
        "cases": {
            one.case: {
                "nodes": patient.n_nodes,
                "found": int((patient.hits & (patient.scores >= least)).sum()),
                "false": int((~patient.hits & (patient.scores >= least)).sum()),
            }
            for one, patient in zip(sets, patients, strict=True)
        },
    }


def scored_patients(
    checkpoint: Checkpoint,
    sets: Sequence[CandidateSet],
    tags: Sequence[np.ndarray] | None = None,
    *,
    device: str = "cpu",
    number_format: str | None = None,
    turns: int = 1,
) -> list[Scored]:
    """The (score, hit) pairs of each patient's stage-one candidates under a stage-two network's scores.

    With `turns` the scores are means over that many turned views of the patches.
    """
    scorer = CandidateScorer(checkpoint, device, number_format)
    given = [None] * len(sets) if tags is None else tags
    patients = []
    for one, told in zip(sets, given, strict=True):
        count = one.n_candidates
        scores = mean_scores(scorer, one.patches.first(count), None if told is None else told[:count], turns)
        patients.append(one.scored(scores))
    return patients
