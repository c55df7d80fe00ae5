"""The tagger in use, as the server keeps it."""

import logging

import pytest

from osln.tagging.in_use import TaggerInUse
from small import store as small_store


@pytest.fixture
def file(tmp_path):
    return small_store.make_tagger(tmp_path / "lesanet.safetensors")


def test_it_is_loaded_once_for_all_requests(file, monkeypatch):
    in_use = TaggerInUse(file)
    first = in_use.on("cpu")
    monkeypatch.setattr("osln.tagging.in_use.Tagger", None)
    assert in_use.on("cpu") is first
    assert in_use.describe() == first.describe()


def test_a_file_that_is_written_again_with_the_same_content_is_the_same_tagger(file):
    in_use = TaggerInUse(file)
    first = in_use.on("cpu")
    file.write_bytes(file.read_bytes())
    assert in_use.on("cpu") is first


def test_another_tagger_in_the_file_serves_the_next_request(file):
    in_use = TaggerInUse(file)
    before = in_use.describe()
    small_store.make_tagger(file, seed=1)
    assert in_use.on("cpu").sha256 == in_use.describe()["sha256"] != before["sha256"]


@pytest.mark.parametrize("damage", ["unlink", "overwrite"])
def test_a_file_that_is_damaged_later_does_not_stop_the_server(file, caplog, damage):
    caplog.set_level(logging.WARNING)
    in_use = TaggerInUse(file)
    first = in_use.on("cpu")
    if damage == "unlink":
        file.unlink()
    else:
        file.write_bytes(b"nothing")
    assert in_use.on("cpu") is first and in_use.describe() == first.describe()
    assert len([line for line in caplog.messages if "stays in use" in line]) == 1


def test_a_wrong_file_is_refused_at_once_and_none_is_none(tmp_path):
    with pytest.raises(ValueError, match="no tagger at"):
        TaggerInUse(tmp_path / "nowhere.safetensors")
    assert TaggerInUse(None).describe() is None and TaggerInUse(None).on("cpu") is None
