"""The weights that come with the software: stage two is added to stage one."""

import hashlib
import json

import pytest

from osln.checkpoint import Checkpoint
from osln.experiments import CLASSIFIERS, PRESETS
from osln.networks.glnet import GLNet
from osln.transforms import Scaling
from osln.weights import ModelStore, add_shipped, write_shipped
from small_store import untrained


@pytest.fixture
def store(tmp_path) -> ModelStore:
    """A store with shipped weights of `ct`, last bias -1."""
    stage_one = untrained("ct")
    stage_one.state_dict["output.bias"].fill_(-1)
    write_shipped(tmp_path / "shipped", {"ct": stage_one}, {"ct": {"0.15": 0.31}}, "scripts/train.py")
    return ModelStore(tmp_path)


def classifier(name) -> Checkpoint:
    state = GLNet.of(CLASSIFIERS[name], PRESETS["demo"].stage_two).state_dict()
    return Checkpoint(name, "demo", Scaling(), state, "phantom", {"tagger": None})


ABOUT = {"name": "LesaNet", "origin": "phantom", "trained_on": "phantom", "width": 16, "sha256": ""}


def test_stage_two_is_added_to_what_is_shipped_and_stage_one_stays(store, tmp_path):
    manifest = tmp_path / "shipped" / "manifest.json"
    before = json.loads(manifest.read_text())
    tagger = tmp_path / "trained.safetensors"
    tagger.write_bytes(b"tagger")

    networks = {name: classifier(name) for name in ("tag", "local-ct")}
    points = {"tag": {"0.5": 0.9, "3": 0.25}}
    add_shipped(tmp_path / "shipped", networks, points, (tagger, ABOUT), "scripts/run_table.py")

    content = json.loads(manifest.read_text())
    assert content["networks"]["ct"] == before["networks"]["ct"] and content["command"] == before["command"]
    assert set(content["networks"]) == {"ct", "tag", "local-ct"}
    assert content["stage_two_command"] == "scripts/run_table.py"
    assert content["tagger"] == {
        "file": "lesanet.safetensors",
        "sha256": hashlib.sha256(b"tagger").hexdigest(),
        "origin": "phantom",
        "trained_on": "phantom",
    }
    assert (tmp_path / "shipped" / "lesanet.safetensors").read_bytes() == b"tagger"
    assert float(store.load("ct").state_dict["output.bias"]) == -1 and store.load("tag").name == "tag"
    assert store.thresholds("tag") == {"0.5": 0.9, "3": 0.25} and store.thresholds("ct")["0.15"] == 0.31

    # The tagger that is there already stays, and a second time replaces the first.
    there = tmp_path / "shipped" / "lesanet.safetensors"
    add_shipped(tmp_path / "shipped", {"tag": classifier("tag")}, {"tag": {"3": 0.5}}, (there, ABOUT), "x")
    assert store.thresholds("tag") == {"3": 0.5} and store.load("tag").name == "tag"
    assert {path.name for path in (tmp_path / "shipped").iterdir()} == {
        "ct.pt", "tag.pt", "local-ct.pt", "lesanet.safetensors", "manifest.json",
    }  # fmt: skip


def test_stage_two_alone_is_not_shipped(tmp_path):
    tagger = tmp_path / "trained.safetensors"
    tagger.write_bytes(b"tagger")
    with pytest.raises(ValueError, match=r"ship stage one first \(scripts/run_table\.py --ship\)"):
        add_shipped(tmp_path, {"tag": classifier("tag")}, {}, (tagger, ABOUT), "x")
    assert [path.name for path in tmp_path.iterdir()] == ["trained.safetensors"]
