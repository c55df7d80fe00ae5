"""`./scripts/osln simulate`: what it refuses before anything is made."""

import pytest

from osln.__main__ import main
from osln.cli import simulate
from osln.simulation.cohorts import COHORTS
from osln.simulation.learners import LEARNERS


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--arms", "random,guess"], "there is no arm 'guess'; the arms are: random,"),
        (["--steps", "100"], "--steps is about --learner network, not numbers"),
        (["--stages", "both", "--learner", "network"], "--stages both learns stage two with a fast learner"),
        (["--first-steps", "9"], "--first-steps is about --stages both"),
        (["--stages", "both", "--precision", "0.15"], "--precision is about the shipped stage one"),
        (["--stages", "both", "--weights", "x"], "--weights is about the shipped stage one"),
        (["--seconds", "5,x,3"], "expected three numbers like 5,20,30, got 5,x,3"),
        (["--seconds", "5,-1,3"], "expected three numbers"),
        (["--seeds", "0"], "expected a whole number from 1"),
        (["--cohort", "none"], "invalid choice"),
    ],
)
def test_it_refuses_in_a_sentence(given, told, tmp_path, capsys):
    assert main(["simulate", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), *given]) == 1
    assert told in capsys.readouterr().err


def test_it_says_where_weights_are_expected(tmp_path, capsys):
    given = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--weights", str(tmp_path)]
    assert main(["simulate", *given]) == 1
    assert f"no weights in {tmp_path}" in capsys.readouterr().err


def test_the_choices_are_those_that_there_are():
    assert set(simulate.COHORTS) == set(COHORTS)
    assert set(simulate.LEARNERS) == set(LEARNERS)


def test_both_stages_need_no_weights(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(simulate, "SHIPPED", tmp_path / "none")
    monkeypatch.setattr("osln.simulation.simulate.plan", lambda lane, files: "planned")
    monkeypatch.setattr("osln.simulation.simulate.simulate", lambda *given: told.append(given))
    given = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert main(["simulate", "--stages", "both", *given]) == 0
    ((_, files, *_),) = told
    assert files.stage_one is None


def test_the_installed_package_asks_for_weights_only_where_they_are_used(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(simulate, "SHIPPED", None)
    assert main(["simulate", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]) == 1
    assert "--weights FOLDER is needed" in capsys.readouterr().err
