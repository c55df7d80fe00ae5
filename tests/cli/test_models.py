from dataclasses import replace

import pytest

from osln.__main__ import main
from osln.weights.model_store import ModelStore
from small import store as small_store


@pytest.fixture
def store(tmp_path):
    """A model store with two published versions of one network."""
    folder = tmp_path / "models"
    first = small_store.publish(folder, ["ct"], seed=0)["ct"]
    second = small_store.publish(folder, ["ct"], seed=1)["ct"]
    return ModelStore(folder), first, second


def run(store: ModelStore, *arguments: str) -> int:
    return main(["models", "--models", str(store.root), *arguments])


def test_list_marks_the_version_in_use(store, capsys):
    store, first, second = store
    assert run(store, "list", "ct") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "ct"
    assert lines[2].startswith(f"    {first.name}") and "phantom" in lines[2]
    assert lines[3].startswith(f"  * {second.name}") and second.sha256[:12] in lines[3]


def test_list_names_networks_without_weights(store, capsys):
    assert run(store[0], "list") == 0
    assert "no weights: ct-proximal, ct-distal, ef-proximal, ef-distal, " in capsys.readouterr().out


def test_publish_and_rollback_change_what_is_in_use(store, capsys):
    store, first, second = store
    assert run(store, "rollback", "ct") == 0
    assert store.published("ct").name == first.name
    assert run(store, "publish", "ct", second.name) == 0
    assert store.published("ct").name == second.name
    assert f"ct now uses {second.name}" in capsys.readouterr().out


def test_what_cannot_be_done_is_said_and_ends_with_status_1(store, capsys):
    assert run(store[0], "publish", "ct", "yesterday") == 1
    assert run(store[0], "rollback", "ef") == 1
    errors = capsys.readouterr().err
    assert "ct has no version 'yesterday'; known:" in errors and "no earlier version" in errors


def test_networks_of_stage_two_and_versions_without_some_patients_are_shown(store, capsys):
    store, *_ = store
    version = store.add(replace(small_store.untrained("ct"), metadata={"left_out": ["case-1", "case-7"]}))
    assert run(store, "list") == 0
    said = capsys.readouterr().out
    assert ", glnet, " in said.splitlines()[-1]
    assert any(version.name in line and line.endswith("without case-1, case-7") for line in said.splitlines())


def test_the_tagger_is_listed_published_and_rolled_back_like_every_network(store, capsys):
    store, *_ = store
    small_store.ship_untrained_tagger(store.root)
    other = small_store.make_tagger(store.root / "other.safetensors", seed=1)
    version = store.add_tagger(other, {"trained_on": "phantom 1", "origin": "phantom", "width": 1}, 0.75)
    assert run(store, "list", "lesanet") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "lesanet" and lines[2].startswith("  * shipped ")
    assert lines[3].startswith(f"    {version.name}") and " 0.750  phantom 1" in lines[3]
    assert run(store, "publish", "lesanet", version.name) == 0
    assert store.file("lesanet").read_bytes() == other.read_bytes()
    assert run(store, "rollback", "lesanet") == 0
    assert "lesanet is back to shipped" in capsys.readouterr().out
