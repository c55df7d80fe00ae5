"""Notes of clients say nothing in the server's name and stop nobody else."""

import time

import numpy as np
import pytest
from fastapi import HTTPException

from lib.store import cases
from lib.store.datastore import OslnDatastore
from lib.store.shown_labels import settled_head
from lib.who import asking
from osln.accounts.users import Account
from small.store import NODE, make_case, write
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


@pytest.mark.parametrize("key", ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber",
    "SeriesDescription", "Modality", "StudyDate", "StudyTime"])  # fmt: skip
def test_a_note_does_not_rename_a_case(store, key):
    before = store.index().objects["one"].image.info.copy()
    store.update_image_info("one", {key: "two"})
    assert store.index().objects["one"].image.info == before


def test_what_was_found_is_not_said_by_a_note(store, tmp_path):
    found = {"candidates": 99, "kept": 99, "doubt": 0.0, "warnings": 7}
    submit(store, tmp_path, nodes(NODE), tag="original", found=found, params={"candidates": []})
    store.update_label_info("one", "original", {"found": found})
    assert store.get_label_info("one", "original")["found"]["candidates"] == 0


def test_a_prediction_has_no_author_or_revision_by_its_notes(store, tmp_path):
    submit(store, tmp_path, nodes(NODE), tag="original", **FORGED)
    noted = store.get_label_info("one", "original")
    assert not noted.keys() & {"by", "revision", "sha256"} and noted["name"] == "one.nii.gz"


def test_the_user_of_a_note_is_the_account(store, anna):
    store.update_image_info("one", {"user": "admin"})
    assert store.get_image_info("one")["user"] == "anna"
    store.update_image_info("one", {"remark": "no user was said"})
    assert store.get_image_info("one")["user"] == "anna"


@pytest.mark.parametrize("name", ["user", "client_id", "annotator"])
def test_nobody_is_named_but_the_account(store, tmp_path, anna, name):
    submit(store, tmp_path, nodes(NODE), ["lymph node"], **{name: "ben"})
    noted = store.get_label_info("one", "final")
    assert (noted["by"], noted[name]) == ("anna", "anna")
    store.update_image_info("one", {name: "ben"})
    assert store.get_image_info("one")[name] == "anna"


def test_a_name_that_stood_in_the_notes_stays_when_they_come_back(store, anna):
    store.index().objects["one"].image.info["client_id"] = "ben"
    store.update_image_info("one", {**store.get_image_info("one"), "remark": "seen"})
    assert store.get_image_info("one")["client_id"] == "ben"


def test_the_author_of_a_copied_label_is_not_said_by_a_note(store, tmp_path):
    make_case(tmp_path / "store", "two", gtv=False)
    write(tmp_path / "store" / "labels" / "final" / "two.nii.gz", nodes(NODE).astype(np.uint8))
    store.refresh()
    store.update_label_info("two", "final", {"client_id": "rea", "annotator": "rea", "remark": "seen"})
    settled_head(store, "two")
    noted = store.get_label_info("two", "final")
    assert (noted["revision"], noted["by"], noted["remark"]) == (1, "unknown", "seen")
    assert not {"client_id", "annotator"} & noted.keys()


def test_a_case_is_stamped_by_the_account_and_not_in_times_to_come(store, anna):
    ben = {"ts": 5, "client_id": "ben"}
    store.index().objects["one"].image.info["strategy"] = {"first": ben}
    store.update_image_info("one", {"strategy": {"first": ben, "random": {"ts": 1e15, "client_id": "ben"}}})
    stamps = store.get_image_info("one")["strategy"]
    assert stamps["first"] == ben and stamps["random"]["client_id"] == "anna"
    assert 0 <= time.time() - stamps["random"]["ts"] < 60


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
