"""All figures of a cohort's predictions with their intervals, and of the difference of two sets of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from osln.metrics.bootstrap import METRICS, Distribution, distribution, resamples, varied
from osln.metrics.criteria import PAPER_AVERAGING, Averaging
from osln.metrics.definitions import Counts, StageOne, macro_curves, stage_one
from osln.metrics.froc import MFROC_FALSE_POSITIVES, Froc, Ranked, best_f1, froc
from osln.metrics.matching import Matching, Scored
from osln.metrics.resampling import resampled_figures
from osln.metrics.sweep import Sweep
from osln.rows.experiments import OPERATING_POINT

ALL_SCORES = -np.inf
"""Threshold that keeps every prediction."""
RECALL_AT_PRECISION = f"recall_at_precision_{OPERATING_POINT}"
"""Name of stage one's recall at its operating point."""


@dataclass(frozen=True)
class ScoredPatients:
    """Patients of one set of predictions after matching.

    Attributes:
        scored: (score, hit) pairs by patient.
        sweeps: Stage-one counts by patient, where probability maps are known.
        neither: By patient, predictions that are neither true nor false.
        radius_only: By patient, nodes missed although a prediction overlaps them.
        left_out: Sentences about what was not evaluated.
        notes: Sentences about what was assumed.
    """

    scored: Mapping[str, Scored]
    sweeps: Mapping[str, Sweep] | None = None
    neither: Mapping[str, int] = field(default_factory=dict)
    radius_only: Mapping[str, int] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    notes: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        matchings: Mapping[str, Matching],
        sweeps: Mapping[str, Sweep] | None = None,
        left_out: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> "ScoredPatients":
        """From the matching of each patient."""
        return cls(
            {case: one.scored() for case, one in matchings.items()},
            sweeps,
            {case: int(one.extra.sum()) for case, one in matchings.items()},
            {case: int(one.radius_only.sum()) for case, one in matchings.items()},
            left_out,
            notes,
        )


@dataclass(frozen=True)
class Evaluation:
    """Figures of one set of predictions.

    Attributes:
        cohort: What was evaluated.
        figures: By name: "recall", "precision", "f1_at_threshold", "macro_recall", "macro_precision" at the
            threshold; "best_f1"; "mfroc" and the sensitivities under "froc_2", ...; with probability maps
            also `RECALL_AT_PRECISION` and "mean_recall" of stage one.
        stage_one: What stage one's figures leave out and where they are read; None without probability maps.
        curve: FROC.
        threshold: Score threshold that was given, minus infinity for all predictions.
        silent: Patients without a prediction that counts (is true or false) from this threshold on, left out
            of macro precision unless the averaging counts them.
        best_threshold: The one of the best F1.
        false_positives: Per patient, at which the FROC is read.
    """

    cohort: ScoredPatients
    figures: Mapping[str, Distribution]
    stage_one: StageOne | None
    curve: Froc
    threshold: float
    silent: int
    best_threshold: float
    false_positives: Sequence[float]


def assess(
    cohort: ScoredPatients,
    weights: np.ndarray | None = None,
    threshold: float = ALL_SCORES,
    false_positives: Sequence[float] = MFROC_FALSE_POSITIVES,
    averaging: Averaging = PAPER_AVERAGING,
) -> Evaluation:
    """Figures of a cohort with their bootstrap over patients.

    Args:
        cohort: Matched patients.
        weights: (D, C) from `bootstrap.resamples`, the same for sets that are compared; made if omitted.
        threshold: Score, best chosen on other patients.
        false_positives: Per patient, ascending; mFROC is the mean over them.
        averaging: Row of `AVERAGINGS`.

    Returns:
        The figures; NaN for recalls of a cohort without nodes and precisions of one without predictions. A
        single patient gives no intervals.

    Raises:
        ValueError: No patient, or numbers of false positives that do not ascend.
    """
    patients = list(cohort.scored.values())
    weights = resamples(len(patients)) if weights is None else weights
    # The first line is the cohort itself.
    lines = np.vstack([np.ones(len(patients)), weights])
    found = resampled_figures(Ranked.of(patients), lines, threshold, false_positives, averaging)
    at = _counts_at(patients, threshold)
    recall, precision = macro_curves(at, lines, averaging)
    named = {
        "recall": found["recall"],
        "precision": found["precision"],
        "f1_at_threshold": found["f1_chosen"],
        "macro_recall": recall[:, 0],
        "macro_precision": precision[:, 0],
        "best_f1": found["f1"],
        "mfroc": found["mfroc"],
        **{f"froc_{target:g}": found[f"{target:g}"] for target in false_positives},
    }
    figures = {name: Distribution(float(v[0]), varied(v[1:], weights), v[:1]) for name, v in named.items()}
    of_maps = None
    if cohort.sweeps is not None:
        counts = [Counts.of(list(cohort.sweeps.values()))]
        of_maps = stage_one(counts[0], averaging)
        for name, metric in ((RECALL_AT_PRECISION, "recall"), ("mean_recall", "mean_recall")):
            figures[name] = distribution(counts, METRICS[metric], weights, averaging)
    best = best_f1(patients).threshold
    silent = int((at.hit_nodes + at.false_predictions == 0).sum())
    curve = froc(patients, averaging)
    return Evaluation(cohort, figures, of_maps, curve, threshold, silent, best, tuple(false_positives))


def refuse_unpaired(one: ScoredPatients, other: ScoredPatients) -> None:
    """Whether two sets of predictions can be compared patient by patient.

    Raises:
        ValueError: The patients or their numbers of nodes differ.
    """
    ours, theirs = one.scored, other.scored
    if list(ours) != list(theirs):
        apart = sorted(set(ours) ^ set(theirs)) or ["their order"]
        more = f" and {len(apart) - 5} more" if len(apart) > 5 else ""
        raise ValueError(
            f"a paired comparison needs the same patients; the sets differ in {', '.join(apart[:5])}{more}: "
            "give predictions of the same patients, for marks with one list of all of them"
        )
    for case in ours:
        if ours[case].n_nodes != theirs[case].n_nodes:
            raise ValueError(
                f"case {case} has {ours[case].n_nodes} nodes in one set and {theirs[case].n_nodes} in the "
                "other: compare both with the same truth"
            )


def differences(one: Evaluation, other: Evaluation) -> dict[str, Distribution]:
    """Paired differences, one minus the other, of the figures that both have; errors as `refuse_unpaired`."""
    refuse_unpaired(one.cohort, other.cohort)
    return {name: one.figures[name] - other.figures[name] for name in one.figures if name in other.figures}


def _counts_at(patients: Sequence[Scored], threshold: float) -> Counts:
    """Found nodes and false predictions of each patient at one score threshold, as a sweep of length one."""
    kept = [one.scores >= threshold for one in patients]
    found = np.array([[(one.hits & k).sum()] for one, k in zip(patients, kept, strict=True)])
    false = np.array([[(~one.hits & k).sum()] for one, k in zip(patients, kept, strict=True)])
    nodes = np.array([one.n_nodes for one in patients])
    return Counts(found, false, found, nodes, np.array([threshold]))
