"""The tagger in use, as the server keeps it."""

import logging

import pytest

from osln.tagging.in_use import TaggerInUse
from osln.tagging.tagger import publish_tagger
from osln.weights.model_store import ModelStore
from small import store as small_store


@pytest.fixture
def file(tmp_path):
    return small_store.make_tagger(tmp_path / "lesanet.safetensors")


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models")


def test_it_is_loaded_once_for_all_requests(store, file, monkeypatch):
    in_use = TaggerInUse(store, file)
    first = in_use.on("cpu")
    monkeypatch.setattr("osln.tagging.in_use.Tagger", None)
    assert in_use.on("cpu") is first
    assert in_use.describe() == first.describe()


def test_a_file_that_is_written_again_with_the_same_content_is_the_same_tagger(store, file):
    in_use = TaggerInUse(store, file)
    first = in_use.on("cpu")
    file.write_bytes(file.read_bytes())
    assert in_use.on("cpu") is first


def test_another_tagger_in_the_file_serves_the_next_request(store, file):
    in_use = TaggerInUse(store, file)
    before = in_use.describe()
    small_store.make_tagger(file, seed=1)
    assert in_use.on("cpu").sha256 == in_use.describe()["sha256"] != before["sha256"]


@pytest.mark.parametrize("damage", ["unlink", "overwrite"])
def test_a_file_that_is_damaged_later_does_not_stop_the_server(store, file, caplog, damage):
    caplog.set_level(logging.WARNING)
    in_use = TaggerInUse(store, file)
    first = in_use.on("cpu")
    if damage == "unlink":
        file.unlink()
    else:
        file.write_bytes(b"nothing")
    assert in_use.on("cpu") is first and in_use.describe() == first.describe()
    assert len([line for line in caplog.messages if "stays in use" in line]) == 1


def test_a_wrong_file_is_refused_at_once_and_none_is_none(store, tmp_path):
    with pytest.raises(ValueError, match="no tagger at"):
        TaggerInUse(store, tmp_path / "nowhere.safetensors")
    assert TaggerInUse(store).describe() is None and TaggerInUse(store).on("cpu") is None


def test_the_published_version_is_in_use_from_the_next_request_on(store, tmp_path):
    shipped = small_store.ship_untrained_tagger(store.root)
    in_use = TaggerInUse(store)
    first = in_use.on("cpu")
    assert in_use.path == shipped and first.sha256 == store.published("lesanet").sha256

    other = small_store.make_tagger(tmp_path / "other.safetensors", seed=1)
    version = publish_tagger(store, other)
    assert in_use.on("cpu").sha256 == in_use.describe()["sha256"] == version.sha256 != first.sha256
    assert in_use.path == version.path

    store.rollback("lesanet")
    assert in_use.on("cpu").sha256 == first.sha256 and in_use.path == shipped


def test_a_chosen_file_goes_before_the_published_version(store, file, tmp_path):
    publish_tagger(store, small_store.make_tagger(tmp_path / "other.safetensors", seed=1))
    in_use = TaggerInUse(store, file)
    assert in_use.path == file
    assert in_use.describe()["trained_on"] == "phantom 0"


def test_a_published_file_that_was_changed_ends_the_start_but_not_a_running_server(store, caplog):
    shipped = small_store.ship_untrained_tagger(store.root)
    in_use = TaggerInUse(store)
    first = in_use.on("cpu")
    small_store.make_tagger(shipped, seed=1)
    with pytest.raises(ValueError, match="of lesanet are missing or were changed after they were stored"):
        TaggerInUse(store)
    store.set_thresholds("ct", {"0.15": 0.5})
    assert in_use.on("cpu") is first and "stays in use" in caplog.text
