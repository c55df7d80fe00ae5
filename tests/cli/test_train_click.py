"""`train-click` on patients that are made at once."""

import json

import numpy as np
import pytest

from osln.__main__ import main
from osln.clicks import phantom_cases
from osln.clicks.network import FILE, ClickNetwork
from osln.clicks.phantom_cases import ClickCase
from osln.imaging.grid import Volume
from small.clicks import ball, ct, in_canonical_order


@pytest.fixture(autouse=True)
def patients(monkeypatch):
    """Seeds that were asked for, each answered with the same ball."""
    asked = []

    def made(folder, seed):
        asked.append(seed)
        nodes = in_canonical_order(ball()).astype(np.uint8)
        pet = Volume(np.where(nodes, 6.0, 1.0).astype(np.float32), ct().grid, ct().grid)
        return ClickCase(str(seed), Volume(ct().array, ct().grid, ct().grid), pet, nodes, [16.0])

    monkeypatch.setattr(phantom_cases, "training_case", made)
    return asked


def train(tmp_path, *more: str) -> int:
    given = ["train-click", "--phantoms", "2", "--judged", "1", "--steps", "1", "--work", str(tmp_path)]
    return main([*given, *more])


def test_a_network_is_written_with_what_it_has_learned_from(tmp_path, patients, monkeypatch, capsys):
    monkeypatch.setattr("osln.clicks.training.VALIDATED", 1)
    assert train(tmp_path, "--out", str(tmp_path / "new" / FILE)) == 0
    network = ClickNetwork.load(tmp_path / "new" / FILE, threads=1)
    assert network.metadata["train_cases"] == ["600000", "600001"]
    assert network.metadata["validation_cases"] == ["600002"]
    assert network.metadata["trained_on"] == "phantom" and "train-click" in network.metadata["command"]
    assert "learned from 2 phantoms" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.resume"))


def test_the_shipped_one_is_named_in_the_manifest(tmp_path, monkeypatch):
    monkeypatch.setattr("osln.cli.train_click.SHIPPED_CLICK", tmp_path / FILE)
    monkeypatch.setattr("osln.clicks.training.VALIDATED", 1)
    assert train(tmp_path, "--ship") == 0
    told = json.loads((tmp_path / "manifest.json").read_text())["click"]
    assert told["file"] == FILE and len(told["sha256"]) == 64 and "--ship" in told["command"]


def test_a_goal_is_asked_for(tmp_path, capsys):
    assert train(tmp_path) == 1
    assert "--out" in capsys.readouterr().err
