"""The evaluation's figures from public parts: what `benchmarks/evaluation_speed.py` compares with."""

from collections.abc import Sequence

import numpy as np

from osln.metrics.matching import Scored

Case = tuple[np.ndarray, np.ndarray, int]
"""Scores of the found nodes and of the false predictions, both ascending, and the number of nodes."""


def monai_curve(patients: Sequence[Scored], at: Sequence[float]) -> np.ndarray:
    """Sensitivities by MONAI's loop over thresholds; its curve runs from many to few false positives."""
    from monai.metrics.froc import compute_froc_curve_data

    false = np.concatenate([one.scores[~one.hits] for one in patients])
    found = np.concatenate([one.scores[one.hits] for one in patients])
    rates, levels = compute_froc_curve_data(false, found, sum(one.n_nodes for one in patients), len(patients))
    return np.interp(at, rates[::-1], levels[::-1])


def sklearn_curve(
    patients: Sequence[Scored], at: Sequence[float], weights: np.ndarray | None = None
) -> np.ndarray:
    """Sensitivities from scikit-learn's ROC curve: its rates times the weighed numbers of both kinds."""
    from sklearn.metrics import roc_curve

    each = np.ones(len(patients)) if weights is None else weights
    hits = np.concatenate([one.hits for one in patients])
    scores = np.concatenate([one.scores for one in patients])
    lengths = [len(one.scores) for one in patients]
    false_rate, true_rate, _ = roc_curve(
        hits, scores, sample_weight=np.repeat(each, lengths), drop_intermediate=False
    )
    n_nodes = each @ np.array([one.n_nodes for one in patients])
    found = each @ np.array([one.hits.sum() for one in patients])
    false = each @ np.array([(~one.hits).sum() for one in patients])
    return np.interp(at, false_rate * false / each.sum(), true_rate * found / n_nodes)


def sklearn_bootstrap(patients: Sequence[Scored], weights: np.ndarray, at: Sequence[float]) -> np.ndarray:
    """One resample; patients who are not in it are dropped, since scikit-learn may not have weights of 0."""
    drawn = [one for one, weight in zip(patients, weights, strict=True) if weight]
    return sklearn_curve(drawn, at, weights[weights > 0])


def monai_bootstrap(patients: Sequence[Scored], weights: np.ndarray, at: Sequence[float]) -> np.ndarray:
    """One resample as a list with repeated patients."""
    drawn = np.repeat(np.arange(len(patients)), weights.astype(int))
    return monai_curve([patients[index] for index in drawn], at)


def picai_case(found: np.ndarray, true: np.ndarray, scores: np.ndarray) -> Case:
    """Hits by picai_eval: IoU of at least .1, whatever the radius."""
    from picai_eval.eval import evaluate_case

    confidence = np.concatenate([[0], scores]).astype(np.float32)[found]
    lesions, *_ = evaluate_case(y_det=confidence, y_true=(true > 0).astype(np.int32))
    hits = np.sort([score for is_lesion, score, _ in lesions if is_lesion and score > 0])
    false = np.sort([score for is_lesion, score, _ in lesions if not is_lesion])
    return hits, false, sum(is_lesion for is_lesion, _, _ in lesions)


def cc3d_overlaps(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(2, k) pairs that hit under the paper's criterion: sizes by connected-components-3d, pairs by NumPy."""
    import cc3d

    of_found, of_true = (cc3d.statistics(labels)["voxel_counts"].astype(float) for labels in (found, true))
    both = (found != 0) & (true != 0)
    pairs = np.unique(np.stack([found[both], true[both]]), axis=1).astype(np.int64)
    ratio = np.cbrt(of_found[pairs[0]] / of_true[pairs[1]])
    return pairs[:, (ratio >= 0.5) & (ratio <= 1.5)] - 1


def monai_centers(found: np.ndarray, true: np.ndarray, scores: np.ndarray) -> Case:
    """Hits by MONAI, which looks up the predictions' centers in the truth; centers by SciPy."""
    from monai.metrics.froc import compute_fp_tp_probs_nd
    from scipy import ndimage

    boxes = ndimage.find_objects(found)
    centers = [
        np.argwhere(found[box] == label).mean(axis=0) + [side.start for side in box]
        for label, box in enumerate(boxes, start=1)
    ]
    false, hits, n_nodes = compute_fp_tp_probs_nd(scores, np.rint(centers).astype(int), true)
    return np.sort(hits[hits > 0]), np.sort(false), n_nodes
