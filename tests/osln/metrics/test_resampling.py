import numpy as np
import pytest

from osln.metrics.bootstrap import CANDIDATE_METRICS, resamples
from osln.metrics.criteria import AVERAGINGS
from osln.metrics.froc import Ranked, best_f1, froc
from osln.metrics.resampling import resampled_figures
from small.scored import PATIENTS, f1_at


def test_figures_of_a_resample_are_exactly_those_of_the_resampled_list_of_patients():
    weights = np.vstack([resamples(5, draws=60), np.ones((1, 5)), [[0, 0, 5, 0, 0]], [[1, 0, 0, 4, 0]]])
    figures = resampled_figures(Ranked.of(PATIENTS), weights, threshold=0.5)
    for draw, weight in enumerate(weights):
        drawn = [PATIENTS[index] for index in np.repeat(np.arange(5), weight.astype(int))]
        curve = froc(drawn)
        wanted = [best_f1(drawn).f1, f1_at(drawn, 0.5), curve.mean(), *curve.at([2, 3, 4, 6])]
        assert [figures[name][draw] for name in CANDIDATE_METRICS] == pytest.approx(wanted, abs=0, rel=0)


def test_figures_of_a_resample_are_known_by_hand():
    # Twice: hit .9, false .8, hit .5, false .2; 6 nodes. Best F1 at .5: 4 found, 2 false -> 8 / 12.
    figures = resampled_figures(Ranked.of(PATIENTS[:1]), np.array([[2.0]]), threshold=0.85)
    assert figures["f1"] == pytest.approx([8 / 12]) and figures["f1_chosen"] == pytest.approx([4 / 8])
    # The curve ends at 2 false positives per patient with 4 of 6 nodes.
    assert figures["2"] == figures["6"] == figures["mfroc"] == pytest.approx([4 / 6])


def test_a_resample_without_nodes_has_no_figure_and_one_without_candidates_finds_nothing():
    figures = resampled_figures(
        Ranked.of(PATIENTS), np.array([[0, 0, 0, 5.0, 0], [0, 0, 5.0, 0, 0]]), threshold=0.1
    )
    for name in CANDIDATE_METRICS:
        assert np.isnan(figures[name][0]) and figures[name][1] == 0


def test_recall_and_precision_at_the_threshold_are_pooled():
    # Down to .5: found 2 of 3 and 1 of 1 and 1 of 2, false 1 + 2 + 3 + 2 of the five patients; 8 nodes.
    figures = resampled_figures(Ranked.of(PATIENTS), np.ones((1, 5)), threshold=0.5)
    assert figures["recall"] == pytest.approx([4 / 8])
    assert figures["precision"] == pytest.approx([4 / (4 + 1 + 3 + 0 + 2)])
    nothing = resampled_figures(Ranked.of(PATIENTS), np.ones((1, 5)), threshold=np.nan)
    assert nothing["recall"] == [0] and np.isnan(nothing["precision"]).all()


def test_macro_figures_are_those_of_the_macro_curve_of_the_resampled_list():
    weights = resamples(5, draws=40)
    macro = AVERAGINGS["macro-froc"]
    figures = resampled_figures(Ranked.of(PATIENTS), weights, 0.5, (0.5, 1.0), macro)
    for draw, weight in enumerate(weights):
        curve = froc([PATIENTS[index] for index in np.repeat(np.arange(5), weight.astype(int))], macro)
        assert [figures["0.5"][draw], figures["1"][draw]] == pytest.approx(curve.at([0.5, 1]), nan_ok=True)


def test_numbers_of_false_positives_that_do_not_ascend_are_refused():
    for wrong in ((), (2, 1), (1, 1), (-1, 2)):
        with pytest.raises(ValueError, match="must ascend"):
            resampled_figures(Ranked.of(PATIENTS), np.ones((1, 5)), 0.5, wrong)
