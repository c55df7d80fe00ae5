"""The experiment on the paper's recipe: what is trained, what is kept, what is said."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.kept_networks import watched
from benchmarks.recipe import DEMO, PAPER, RECIPES, curves, report, steps_of
from osln.cohorts.phantoms import PhantomCohort
from osln.imaging.transforms import Scaling
from osln.metrics.bootstrap import Distribution
from osln.weights.checkpoint import Checkpoint

RECIPE_FIELDS = ("learning_rate", "betas", "weight_decay", "positive_weight", "output_bias")


def test_the_papers_recipe_on_the_demo_networks():
    preset = RECIPES["paper"].preset
    assert all(getattr(preset, name) == getattr(PAPER, name) for name in RECIPE_FIELDS)
    assert (preset.name, preset.widths, preset.patch, preset.batch) == (
        "demo",
        DEMO.widths,
        DEMO.patch,
        DEMO.batch,
    )
    assert RECIPES["demo"].preset == RECIPES["demo-long"].preset == DEMO


def test_the_fast_one_is_the_papers_but_for_rate_and_last_bias():
    paper, fast = RECIPES["paper"].preset, RECIPES["paper-fast"].preset
    assert fast == replace(paper, learning_rate=0.001, output_bias=-4.0)


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("paper-but-")])
def test_one_number_is_that_of_demo(name):
    preset = RECIPES[name].preset
    differing = [field for field in RECIPE_FIELDS if getattr(preset, field) != getattr(PAPER, field)]
    assert [field.replace("_", "-") for field in differing] == [name.removeprefix("paper-but-")]
    assert all(getattr(preset, field) == getattr(DEMO, field) for field in differing)


def test_only_demos_own_steps_are_bounded():
    assert steps_of(RECIPES["demo"], 4200) == 800 and steps_of(RECIPES["demo"], 8) == 8
    assert steps_of(RECIPES["demo-long"], 4200) == 4200


def test_report_and_curves(tmp_path):
    losses = [(50 * number, 2.0, 1 - 0.1 * number) for number in range(1, 9)]
    looks = {"200": 0.25, "400": 0.5}
    learned = {name: _checkpoint({"losses": losses, "looks": looks}) for name in ("demo", "paper")}
    figures = {
        "demo": Distribution(0.5, np.array([0.5, 0.5]), np.array([0.5])),
        "paper": Distribution(0.25, np.array([0.25, 0.25]), np.array([0.25])),
    }
    text = report(_cohort(tmp_path), learned, figures)
    assert "| paper | 400 | 0.900, 0.600, 0.200 | 0.250 [0.250, 0.250] | -0.250 [-0.250, -0.250] |" in text
    assert "- demo: 200 0.250, 400 0.500" in text
    assert watched(learned["demo"]) == [(200, 0.25), (400, 0.5)]
    left, right = curves(learned).axes
    assert left.lines[0].get_xydata()[0].tolist() == [50, 0.9]
    assert right.lines[1].get_xydata().tolist() == [[200, 0.25], [400, 0.5]]


def _cohort(folder):
    return PhantomCohort(folder, DEMO, sizes={"train": 80, "validation": 24, "test": 48})


def _checkpoint(record):
    return Checkpoint("ef", "demo", Scaling.fit([]), {}, "phantom", record)
