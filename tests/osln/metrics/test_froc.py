import numpy as np
import pytest

from osln.metrics.criteria import AVERAGINGS
from osln.metrics.froc import best_f1, froc
from osln.metrics.matching import Scored
from small.scored import scored


def test_froc_of_two_patients_by_hand():
    curve = froc([scored([0.9, 0.8, 0.3], [True, False, True], 2), scored([0.8, 0.2], [False, False], 2)])
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.8, 0.3, 0.2]
    assert curve.false_positives.tolist() == [0, 0, 1, 1, 1.5]
    assert curve.sensitivity.tolist() == [0, 0.25, 0.25, 0.5, 0.5]


def test_equal_scores_move_together():
    curve = froc([scored([0.5, 0.5], [True, False], 1)])
    assert curve.false_positives.tolist() == [0, 1] and curve.sensitivity.tolist() == [0, 1]


def test_the_lowest_score_is_kept():
    curve = froc([scored([0.9, 0.2, 0.8, 0.3], [False, True, True, False], 2)])
    assert curve.sensitivity[-1] == 1.0


def test_beyond_its_end_the_curve_keeps_its_last_value_and_says_so():
    short = froc([scored([0.9, 0.5], [True, False], 2)])
    assert short.clamped and short.mean() == pytest.approx(0.5)
    long = froc([scored([0.9] + [0.5] * 6, [True] + [False] * 6, 2)])
    assert not long.clamped


def test_mfroc_is_the_mean_at_2_3_4_and_6_false_positives():
    scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    curve = froc([scored(scores, [True, False, False, True, False, False, True, False, False], 4)])
    # Sensitivities at 2, 3, 4 and 6 false positives: .5, .5, .75, .75 (the upper end of each step).
    assert curve.at([2, 3, 4, 6]).tolist() == pytest.approx([0.5, 0.5, 0.75, 0.75])
    assert curve.mean() == pytest.approx(0.625)


def test_patients_without_nodes_count_in_the_divisor_and_a_cohort_without_nodes_is_nan():
    curve = froc([scored([0.9], [True], 1), scored([0.8], [False], 0)])
    assert curve.false_positives.tolist() == [0, 0, 0.5]
    assert np.isnan(froc([scored([0.8], [False], 0)]).mean())


def test_best_f1_by_hand():
    patients = [scored([0.9, 0.8, 0.3], [True, False, True], 2)]
    # F1 at .9: 2/(1+0+2) = .667, at .8: 2/4 = .5, at .3: 4/(2+1+2) = .8.
    best = best_f1(patients)
    assert best.f1 == pytest.approx(0.8) and best.threshold == 0.3
    assert np.isnan(best_f1([scored([0.5], [False], 0)]).f1) and best_f1([scored([], [], 3)]).f1 == 0.0


def test_no_patient_and_scores_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        froc([])
    with pytest.raises(ValueError, match="not a number"):
        froc([scored([np.nan], [True], 1)])


def test_macro_froc_averages_the_sensitivities_of_patients_with_nodes():
    # Three nodes of which one is found, one node that is found, and a patient without any.
    patients = [
        scored([0.9], [True], 3),
        scored([0.8, 0.7], [False, True], 1),
        scored([0.6], [False], 0),
    ]
    curve = froc(patients, AVERAGINGS["macro-froc"])
    assert curve.false_positives.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 3, 2 / 3])
    assert curve.sensitivity.tolist() == pytest.approx([0, 1 / 6, 1 / 6, 2 / 3, 2 / 3])
    assert froc(patients).sensitivity.tolist() == pytest.approx([0, 1 / 4, 1 / 4, 1 / 2, 1 / 2])


def counted(patients: list[Scored], threshold: float) -> tuple[float, float]:
    """False positives per patient and pooled sensitivity at one threshold, counted one by one."""
    found = false = 0
    for one in patients:
        for score, hit in zip(one.scores, one.hits, strict=True):
            found += bool(score >= threshold and hit)
            false += bool(score >= threshold and not hit)
    return false / len(patients), found / sum(one.n_nodes for one in patients)


def cohort(seed: int, levels: int, n_patients: int = 9) -> list[Scored]:
    """Random patients whose scores are among so many levels, so that ties occur."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n_patients):
        n_nodes = int(rng.integers(0, 5))
        hits = np.arange(int(rng.integers(0, 12))) < rng.integers(0, n_nodes + 1)
        made.append(
            scored((rng.integers(1, levels + 1, len(hits)) / levels).tolist(), hits.tolist(), n_nodes)
        )
    return [*made, scored([0.5], [True], 1)]


@pytest.mark.parametrize("seed", range(6))
def test_every_point_of_the_curve_is_what_counting_one_by_one_gives(seed):
    patients = cohort(seed, levels=(3, 10, 1000)[seed % 3])
    curve = froc(patients)
    distinct = sorted({score for one in patients for score in one.scores}, reverse=True)
    assert curve.thresholds.tolist() == [np.inf, *distinct]
    rates, levels = zip(*[counted(patients, threshold) for threshold in curve.thresholds], strict=True)
    assert curve.false_positives.tolist() == pytest.approx(rates)
    assert curve.sensitivity.tolist() == pytest.approx(levels)


@pytest.mark.parametrize("seed", range(4))
def test_the_curve_is_that_of_monai_but_for_the_lowest_score_which_monai_loses(seed):
    froc_of_monai = pytest.importorskip("monai.metrics.froc")
    patients = cohort(seed, levels=(5, 1000)[seed % 2])
    false = np.concatenate([one.scores[~one.hits] for one in patients])
    found = np.concatenate([one.scores[one.hits] for one in patients])
    n_nodes = sum(one.n_nodes for one in patients)
    rates, levels = froc_of_monai.compute_froc_curve_data(false, found, n_nodes, len(patients))
    curve = froc(patients)
    assert curve.false_positives[:-1].tolist() == pytest.approx(rates[::-1].tolist())
    assert curve.sensitivity[:-1].tolist() == pytest.approx(levels[::-1].tolist())
    assert len(curve.sensitivity) == len(levels) + 1
    inside = [rate for rate in (0.25, 0.5, 1, 2) if rate <= rates.max()]
    assert curve.mean(inside) == pytest.approx(froc_of_monai.compute_froc_score(rates, levels, tuple(inside)))


def test_with_a_candidate_for_every_node_the_curve_is_the_roc_curve_rescaled():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(4)
    # Every node is found by some candidate: sensitivity is the true positive rate.
    patients = []
    for _ in range(20):
        hits = rng.random(30) < 0.2
        scores = np.round(rng.random(30) + 0.5 * hits, 2)
        patients.append(Scored(scores, hits, int(hits.sum())))
    curve = froc(patients)
    hits = np.concatenate([one.hits for one in patients])
    rate, sensitivity, thresholds = metrics.roc_curve(
        hits, np.concatenate([one.scores for one in patients]), drop_intermediate=False
    )
    assert curve.thresholds.tolist() == thresholds.tolist()
    assert curve.sensitivity == pytest.approx(sensitivity)
    assert curve.false_positives == pytest.approx(rate * (~hits).sum() / len(patients))
    area = np.trapezoid if hasattr(np, "trapezoid") else np.trapz
    assert area(curve.sensitivity, curve.false_positives) * len(patients) / (~hits).sum() == pytest.approx(
        metrics.roc_auc_score(hits, np.concatenate([one.scores for one in patients]))
    )
