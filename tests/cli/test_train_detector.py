"""The training script of MULAN end to end, on generated phantoms and on approved cases of a store."""

import pytest

from osln.__main__ import main
from osln.mulan import training as detector_training
from osln.store.splits import assign
from osln.weights.checkpoint import load_checkpoint
from small.detectors import use_tiny
from small.studies import add_case


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A network that is trained in a second."""
    use_tiny(monkeypatch)
    monkeypatch.setattr(detector_training, "REPORT_STEPS", 2)


def options(tmp_path, *more: str) -> list[str]:
    given = ["--model", "mulan-ct", "--iterations", "2", "--out", str(tmp_path / "out" / "mulan.pt")]
    return ["train-detector", *given, *more]


def test_approved_cases_train_without_tags_and_others_judge(tmp_path, capsys):
    for case in "abcdef":
        add_case(tmp_path, case)
    splits = assign(tmp_path, list("abcdef"))

    assert main(options(tmp_path, "--store", str(tmp_path))) == 0

    checkpoint = load_checkpoint(tmp_path / "out" / "mulan.pt")
    learned = [case for case in "abcdef" if splits[case] == "train"]
    assert checkpoint.metadata["train_cases"] == learned and checkpoint.metadata["tagged_nodes"] == 0
    assert checkpoint.trained_on == "patients"
    assert f"learned from {len(learned)} patients" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mulan.pt"]


def test_a_store_without_approved_cases_is_told(tmp_path, capsys):
    add_case(tmp_path, "a", approved=False)

    assert main(options(tmp_path, "--store", str(tmp_path))) == 1
    assert "no training patient for mulan-ct" in capsys.readouterr().err


@pytest.mark.slow
def test_phantoms_train_with_tags_and_further_ones_judge_beside_chance(tmp_path, capsys):
    more = ("--phantoms", "1", "--judged", "2", "--work", str(tmp_path / "work"))

    assert main(options(tmp_path, *more)) == 0

    checkpoint = load_checkpoint(tmp_path / "out" / "mulan.pt")
    assert checkpoint.metadata["tagged_nodes"] > 0 and checkpoint.trained_on == "phantom"
    said = capsys.readouterr().out
    assert "  found: mFROC " in said and "  chance: mFROC " in said and "2 patients" in said
