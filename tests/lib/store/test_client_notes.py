"""Notes of clients say nothing in the server's name and stop nobody else."""

import pytest
from fastapi import HTTPException

from lib.store import cases
from lib.store.datastore import OslnDatastore
from lib.who import asking
from osln.accounts.users import Account
from small.store import NODE, make_case
from small.submissions import nodes, submit

FORGED = {"by": "ben", "revision": 99, "sha256": "0", "ts": 1, "name": "../two.nii.gz"}


@pytest.fixture
def store(tmp_path):
    make_case(tmp_path / "store", "one", gtv=False)
    return OslnDatastore(tmp_path / "store")


@pytest.fixture
def anna():
    token = asking.set(Account("anna", "annotator", ""))
    yield
    asking.reset(token)


def test_who_stored_a_label_and_as_which_revision_is_not_changed_by_notes(store, tmp_path):
    submit(store, tmp_path, nodes(NODE), ["lymph node"])
    before = store.get_label_info("one", "final")
    store.update_label_info("one", "final", {**FORGED, "remark": "seen"})
    assert store.get_label_info("one", "final") == {**before, "remark": "seen"}
    image = store.get_image_info("one")
    store.update_image_info("one", {**FORGED, "remark": "seen"})
    assert store.get_image_info("one") == {**image, "remark": "seen"}


def test_a_prediction_has_no_author_or_revision_by_its_notes(store, tmp_path):
    submit(store, tmp_path, nodes(NODE), tag="original", **FORGED)
    noted = store.get_label_info("one", "original")
    assert not noted.keys() & {"by", "revision", "sha256"} and noted["name"] == "one.nii.gz"


def test_the_user_of_a_note_is_the_account(store, anna):
    store.update_image_info("one", {"user": "admin"})
    assert store.get_image_info("one")["user"] == "anna"
    store.update_image_info("one", {"remark": "no user was said"})
    assert store.get_image_info("one")["user"] == "anna"


@pytest.mark.parametrize(
    "notes",
    [
        {"params": "x"},
        {"params": [1]},
        {"params": {"label_names": "x"}},
        {"params": {"label_names": {"tumor": {"a": 1}, "rejected candidate": "3"}}},
    ],
)
def test_whatever_the_notes_of_a_prediction_say_a_label_is_taken(store, tmp_path, notes):
    submit(store, tmp_path, nodes(NODE), tag="original", **notes)
    report = submit(store, tmp_path, nodes(NODE), ["lymph node"])
    assert report["nodes"] == {"added": 0, "removed": 0, "changed": 0, "unchanged": 1}


def test_notes_do_not_grow_without_end(store, monkeypatch):
    monkeypatch.setattr(cases, "LONGEST", 1000)
    store.update_image_info("one", {"a": "x" * 600})
    with pytest.raises(HTTPException) as refused:
        store.update_image_info("one", {"b": "x" * 600})
    assert refused.value.status_code == 422 and "at most 1000" in refused.value.detail
    store.update_image_info("one", {"a": "y" * 600})
