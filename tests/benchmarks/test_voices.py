"""Other networks in the mean of stage one: what is kept by what, and what is told."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fusion import froc_figures, fused_by
from benchmarks.voices import (
    SETTINGS,
    Experiment,
    averaged,
    own_of,
    parsed,
    report,
    row_of,
    seeds_of,
    setting,
)
from osln.metrics.bootstrap import resamples
from osln.metrics.matching import Scored
from osln.rows.experiments import GATED, LATE_FUSION, ROWS

FINDS = Scored(np.array([0.9, 0.2]), np.array([True, False]), 1)
MISSES = Scored(np.array([0.9, 0.2]), np.array([False, False]), 1)


def test_a_row_is_asked_for_the_maps_of_its_own_networks_alone():
    class Column:
        distance_mm = np.zeros((1, 1, 2), dtype=np.float32)

    maps = {name: np.full((1, 1, 2), 0.5, dtype=np.float32) for name in ROWS["lf-mean"].segmenters}
    # Odds of 1 twice and of 9 once have the geometric mean 9 ** (1 / 3).
    maps |= {
        name: np.full((1, 1, 2), odds / (1 + odds), np.float32)
        for name, odds in zip(GATED, (1, 1, 9), strict=True)
    }
    assert fused_by(ROWS["lf-mean"], maps, Column) == pytest.approx(0.5)
    more = 9 ** (1 / 3)
    assert fused_by(ROWS["gated-mean"], maps, Column) == pytest.approx(more / (1 + more), abs=1e-6)


def test_what_is_kept_depends_on_weights_patients_setting_and_seed(tmp_path):
    one, other = (_experiment(tmp_path, words) for words in ("one", "other"))
    paths = {
        experiment.trained("set-glnet", setting, seed).path
        for experiment in (one, other)
        for setting in SETTINGS
        for seed in (0, 1)
    }
    assert len(paths) == 4 * len(SETTINGS)
    taught, tested = one.sets("stage two", "lf-mean"), one.sets("phantoms", "lf-mean")
    assert len({*taught, *tested}) == 4
    # The same patients as a test lack the true nodes that teach.
    assert len({one.sets(split, "lf-mean")[0] for split in ("stage two", "phantoms")}) == 2
    assert _experiment(tmp_path, "one").thresholds.path == one.thresholds.path != other.thresholds.path


def test_a_regression_is_solved_once_and_a_network_trained_as_often_as_asked(tmp_path):
    assert (seeds_of("numbers", 3), seeds_of("set-glnet", 3)) == (1, 3)
    names = [one.name for one in _experiment(tmp_path, "one").wanted()]
    assert sum(name.startswith("set-glnet of lf-mean") for name in names) == 3
    assert sum(name.startswith("numbers of gated-mean") for name in names) == 1


def test_a_setting_is_a_row_that_ends_with_stage_one_and_where_it_hands_over():
    assert row_of(setting("gated-mean")) == ROWS["gated-mean"]
    other = row_of(setting("gated-nodes-mean@0.10"))
    assert other.handed_at == "0.10" and other.changed(handed_at="0.15") == ROWS["gated-nodes-mean"]
    for words, told in (("osln", "no row osln"), ("lf-learned", "no row"), ("lf-mean@0.12", "expected 0.10")):
        with pytest.raises(argparse.ArgumentTypeError, match=told):
            setting(words)


def test_networks_that_are_not_shipped_are_trained_and_what_is_kept_depends_on_that(tmp_path):
    words = ["--work", str(tmp_path), "--settings", "gated-mean", "gated-nodes-mean@0.10"]
    own, longer = (own_of(parsed([*words, "--steps", steps])) for steps in ("7", "8"))
    assert list(own) == ["gated-hard-nodes", "gated-soft-nodes"] and not own_of(parsed(["--work", "x"]))
    assert all(one.taught.every_node and not one.cohort.every_node for one in own.values())
    found = []
    for networks in (own, longer):
        plain = _experiment(tmp_path, "one")
        asked = Experiment(tmp_path, plain.weights, 1, plain.patients, tuple(words[3:]), networks)
        assert asked.networks["gated-soft"] == plain.weights / "gated-soft.pt"
        assert asked.thresholds.needs == asked.trainings and len(asked.trainings) == 2
        found.append(asked.thresholds.path)
    assert len({plain.thresholds.path, *found}) == 3
    # The same networks, handed over elsewhere.
    shipped = _experiment(tmp_path, "one")
    paths = [
        Experiment(tmp_path, shipped.weights, 1, shipped.patients, one).thresholds.path
        for one in (("gated-mean",), ("gated-mean@0.10",))
    ]
    assert paths[0] != paths[1]


def test_figures_are_means_over_trainings_with_each_beside_them():
    weights = resamples(3, 10)
    both = [froc_figures([one] * 3, weights) for one in (FINDS, MISSES)]
    mean = averaged(both)["mFROC"]
    assert (mean.value, mean.per_seed.tolist()) == (0.5, [1.0, 0.0])
    assert mean.interval().low == mean.interval().high == 0.5


def test_a_setting_is_told_beside_the_first_one_under_the_same_scores(capsys):
    found = {
        (scores, setting): [[FINDS if setting == "gated-mean" else MISSES] * 3]
        for scores in ("stage one's score", "numbers")
        for setting in ("lf-mean", "gated-mean")
    }
    report("three patients", found)
    told = capsys.readouterr().out
    assert "three patients: 3 patients, 3 nodes" in told
    cells = [line.split(" | ") for line in told.splitlines() if line.startswith("| numbers")]
    assert [cell[2:4] for cell in cells] == [["0", "2.0"], ["3", "1.0"]]
    assert cells[1][-1].startswith("1.000 (1.000 to 1.000)") and "1.000" not in cells[0][-1]


def _experiment(folder: Path, words: str) -> Experiment:
    weights = folder / words
    weights.mkdir(exist_ok=True)
    for name in (*LATE_FUSION, *GATED):
        (weights / f"{name}.pt").write_bytes(words.encode())
    patients = [(f"patient {number}", lambda: None) for number in range(2)]
    return Experiment(
        folder, weights, 3, {"stage two": patients, "validation": patients, "phantoms": patients}
    )
