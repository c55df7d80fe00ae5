"""The weights that come with the software: both stages and their tagger, written together."""

import hashlib
import json
from pathlib import Path

import pytest

from osln.imaging.transforms import Scaling
from osln.networks.glnet import GLNet
from osln.rows.experiments import CLASSIFIERS, PRESETS
from osln.weights.checkpoint import Checkpoint
from osln.weights.model_store import ModelStore
from osln.weights.shipped import ship_click, ship_tagger, without_folders, write_shipped
from small.store import untrained


def classifier(name) -> Checkpoint:
    state = GLNet.of(CLASSIFIERS[name], PRESETS["demo"].stage_two).state_dict()
    return Checkpoint(name, "demo", Scaling(), state, "phantom", {"tagger": None})


ABOUT = {"name": "LesaNet", "origin": "phantom", "trained_on": "phantom", "width": 16, "sha256": ""}


def test_both_stages_and_the_tagger_are_written_and_a_second_time_replaces_the_first(tmp_path):
    folder = tmp_path / "shipped"
    tagger = tmp_path / "trained.safetensors"
    tagger.write_bytes(b"tagger")
    stage_one = untrained("ct")
    stage_one.state_dict["output.bias"].fill_(-1)

    networks = {"ct": stage_one, "tag": classifier("tag"), "local-ct": classifier("local-ct")}
    points = {"ct": {"0.15": 0.31}, "tag": {"0.5": 0.9, "3": 0.25}}
    write_shipped(folder, networks, points, (tagger, ABOUT), "./scripts/osln tables --ship")

    content = json.loads((folder / "manifest.json").read_text())
    assert set(content["networks"]) == set(networks)
    assert content["command"] == "./scripts/osln tables --ship"
    assert content["tagger"] == {
        "file": "lesanet.safetensors",
        "sha256": hashlib.sha256(b"tagger").hexdigest(),
        "origin": "phantom",
        "trained_on": "phantom",
    }
    assert (folder / "lesanet.safetensors").read_bytes() == b"tagger"
    store = ModelStore(tmp_path)
    assert float(store.load("ct").state_dict["output.bias"]) == -1 and store.load("tag").name == "tag"
    assert store.thresholds("tag") == {"0.5": 0.9, "3": 0.25} and store.thresholds("ct")["0.15"] == 0.31

    there = folder / "lesanet.safetensors"
    write_shipped(folder, {"tag": classifier("tag")}, {"tag": {"3": 0.5}}, (there, ABOUT), "x")
    assert store.thresholds("tag") == {"3": 0.5} and store.load("tag").name == "tag"
    assert store.published("ct") is None and there.read_bytes() == b"tagger"


def test_the_click_network_stays_named_when_the_others_are_written_anew(tmp_path):
    file = tmp_path / "click.safetensors"
    file.write_bytes(b"weights")
    ship_click(file, "phantom", "a command")
    named = {
        "file": file.name,
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "trained_on": "phantom",
        "command": "a command",
    }
    write_shipped(tmp_path, {"tag": classifier("tag")}, {}, None, "x")
    assert json.loads((tmp_path / "manifest.json").read_text())["click"] == named


def test_the_click_network_that_comes_with_the_software_is_the_one_of_the_manifest():
    shipped = Path(__file__).resolve().parents[3] / "apps" / "osln" / "model" / "shipped"
    told = json.loads((shipped / "manifest.json").read_text())["click"]
    assert hashlib.sha256((shipped / told["file"]).read_bytes()).hexdigest() == told["sha256"]
    measured = (shipped.parents[3] / "docs" / "clicks.md").read_text()
    assert f"Weights `{told['sha256'][:12]}`" in measured, "measure again: ./benchmarks/run clicks"


def test_the_tagger_that_comes_with_the_software_is_the_shipped_version_of_lesanet():
    folder = Path(__file__).resolve().parents[3] / "apps" / "osln" / "model"
    store = ModelStore(folder)
    (version,) = [one for one in store.versions("lesanet") if one.name == "shipped"]
    assert store.file("lesanet", version) == folder / "shipped" / "lesanet.safetensors"
    assert (version.trained_on, version.metadata["origin"]) == ("phantom", "phantom")
    assert store.load("glnet", store.versions("glnet")[0]).metadata["tagger"]["sha256"] == version.sha256


def test_another_tagger_takes_the_place_of_the_shipped_one_and_nothing_else_changes(tmp_path):
    folder, tagger = tmp_path / "shipped", tmp_path / "trained.safetensors"
    tagger.write_bytes(b"first")
    write_shipped(folder, {"tag": classifier("tag")}, {"tag": {"3": 0.5}}, (tagger, ABOUT), "x")
    before = json.loads((folder / "manifest.json").read_text())
    tagger.write_bytes(b"second")
    ship_tagger(folder, tagger, ABOUT)

    after = json.loads((folder / "manifest.json").read_text())
    assert after.pop("tagger")["sha256"] == hashlib.sha256(b"second").hexdigest()
    assert after.items() <= before.items() and ModelStore(tmp_path).file("lesanet").read_bytes() == b"second"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            "--background /home/anna/CT.nii.gz B.nii.gz --ship-new",
            "--background CT.nii.gz B.nii.gz --ship-new",
        ),
        ("--background '/home/anna b/CT 1.nii.gz'", "--background 'CT 1.nii.gz'"),
        ("--work=/home/anna/runs/ --data ../../anna/x", "--work=runs --data x"),
        (r"--data 'C:\Users\anna\CT.nii.gz'", "--data CT.nii.gz"),
        ("--data / --phantoms 240,30 --ship", "--data . --phantoms 240,30 --ship"),
    ],
)
def test_no_folder_of_who_made_the_weights_is_told_with_them(typed, told):
    assert without_folders(f"./scripts/osln tables {typed}") == f"./scripts/osln tables {told}"
