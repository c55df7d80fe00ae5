"""Curves and histograms show the numbers that they are given."""

import numpy as np
import pytest

from osln.metrics.definitions import Counts
from osln.metrics.matching import Scored
from osln.reproduction.charts import froc_chart, recall_precision_chart, volume_chart


def at(line, x: float) -> float:
    return float(np.interp(x, line.get_xdata(), line.get_ydata()))


def test_froc_curves_are_means_over_the_trainings_with_a_panel_for_each_block():
    best = [Scored(np.array([0.9, 0.5, 0.5]), np.array([True, False, False]), 1)]
    worst = [Scored(np.array([0.1, 0.5, 0.5]), np.array([True, False, False]), 1)]
    figure = froc_chart({"lf": {"GLNet": [best, worst], "LF#": [worst]}, "mulan": {"MULAN": [best]}})
    lf, mulan = figure.axes
    assert [axes.get_title() for axes in (lf, mulan)] == ["lf", "mulan"]
    curves = {line.get_label(): line for line in lf.lines}
    # The node is found before any false positive in one training, after two in the other.
    assert at(curves["GLNet"], 1) == pytest.approx(0.5) and at(curves["GLNet"], 3) == pytest.approx(1.0)
    assert at(curves["LF#"], 1) == pytest.approx(0.0)
    assert lf.get_legend() is not None and len(mulan.get_legend().texts) == 1


def test_recall_is_drawn_against_precision_and_controls_are_dashed():
    one = np.array([[1, 1]])
    counts = Counts(one, np.array([[3, 1]]), np.array([[2, 1]]), np.array([2]), np.array([0.2, 0.5]))
    (axes,) = recall_precision_chart({"CT": [counts], "CT long (control)": [counts]}).axes
    plain, control = axes.lines[:2]
    assert plain.get_xdata() == pytest.approx([0.25, 0.5]) and plain.get_ydata() == pytest.approx([1.0, 0.5])
    assert (plain.get_linestyle(), control.get_linestyle()) == ("-", "--")


def test_every_node_is_in_the_histogram_once():
    volumes = {"proximal": np.array([100.0, 200.0, 400.0]), "distal": np.array([1000.0])}
    (axes,) = volume_chart(volumes).axes
    tops = [patch.get_height() for patch in axes.patches]
    assert sum(tops) == 4 and axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_legend().texts] == ["proximal (3)", "distal (1)"]


def test_without_a_node_the_histogram_is_empty():
    (axes,) = volume_chart({"proximal": np.zeros(0), "distal": np.zeros(0)}).axes
    assert not axes.patches and axes.get_legend() is None
