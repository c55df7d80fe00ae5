"""What chance gives on the same candidates: the bound that a row has to beat."""

from collections.abc import Sequence

import numpy as np

from osln.metrics.bootstrap import Distribution
from osln.metrics.froc import MFROC_FALSE_POSITIVES
from osln.metrics.matching import Scored


def chance_mfroc(patients: Sequence[Scored], weights: np.ndarray) -> np.ndarray:
    """mFROC that the same candidates have in expectation if their scores are drawn at random.

    Whatever share of them is kept, the same share of the found nodes and of the false positives is left
    in the mean: the curve is a straight line from (0, 0) to the point of all candidates, then level. (Exact
    up to one false positive of the whole cohort.)

    Args:
        patients: P patients under any scores.
        weights: (D, P) how often each patient counts.

    Returns:
        (D,); NaN where a resample has no nodes.
    """
    found, false, nodes = (
        weights @ np.array(values, dtype=np.float64)
        for values in (
            [one.hits.sum() for one in patients],
            [(~one.hits).sum() for one in patients],
            [one.n_nodes for one in patients],
        )
    )
    per_patient = false / weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = np.minimum(np.array(MFROC_FALSE_POSITIVES) / per_patient[:, None], 1.0)
        return found / nodes * np.where(per_patient > 0, kept.mean(axis=1), 1.0)


def chance_distribution(seeds: Sequence[Sequence[Scored]], weights: np.ndarray) -> Distribution:
    """`chance_mfroc` on the cohort and on every resample, averaged over the trainings; as `distribution`."""
    whole = np.ones((1, weights.shape[1]))
    per_seed = np.array([float(chance_mfroc(patients, whole)[0]) for patients in seeds])
    draws = np.mean([chance_mfroc(patients, weights) for patients in seeds], axis=0)
    return Distribution(float(per_seed.mean()), draws, per_seed)
