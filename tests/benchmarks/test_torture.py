"""The torture finds what it looks for: losses that are made on purpose are counted."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks.torture_place import CANARY
from benchmarks.torture_points import Points
from benchmarks.torture_requests import Maker
from benchmarks.torture_store import GONE, THERE, Ledger, check_ct, digest, nifti, publish_untrained
from benchmarks.torture_tally import Tally, table
from osln.store.revisions import label_revisions

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
ROUTES = {"paths": {"/infer/{model}": {"post": {"parameters": [{"name": "image", "in": "query"}]}}}}


def label(value):
    array = np.zeros((8, 8, 8), np.uint8)
    array[value] = 1
    return array


@pytest.fixture
def kept(tmp_path):
    """A store with two acknowledged labels of one case, and the ledger that knows them."""
    ledger, tally = Ledger(), Tally("test")
    revisions = label_revisions(tmp_path, "one", "final")
    for value in (1, 2):
        with revisions.lock():
            stored = revisions.submit(nifti(label(value), AFFINE), by="anna", source="submission")
        ledger.label("one", stored.revision, label(value), tally)
    assert tally.acknowledged == 2 and not tally.failed
    return tmp_path, revisions, ledger


def losses(ledger, store, monkeypatch):
    monkeypatch.setattr("benchmarks.torture_store.check_models", lambda *_: None)
    monkeypatch.setattr("benchmarks.torture_store.check_used", lambda *_: None)
    tally = Tally("test")
    ledger.check(store, store, tally)
    return tally


def test_labels_that_are_there_are_no_loss(kept, monkeypatch):
    store, _, ledger = kept
    assert losses(ledger, store, monkeypatch).lost == 0


def test_other_voxels_under_an_acknowledged_number_are_a_loss(kept, monkeypatch):
    store, revisions, ledger = kept
    revisions.path(1).write_bytes(nifti(label(5), AFFINE))
    tally = losses(ledger, store, monkeypatch)
    assert tally.lost == 1 and "other voxels" in tally.words[0] and tally.failed


def test_a_revision_that_is_out_of_the_history_is_a_loss(kept, monkeypatch):
    store, revisions, ledger = kept
    (revisions.folder / "0001.json").unlink()
    tally = losses(ledger, store, monkeypatch)
    assert tally.lost == 1 and "not in the history" in tally.words[0]


def test_a_publication_that_was_taken_back_is_a_loss(tmp_path):
    first, second = (publish_untrained(tmp_path, seed) for seed in range(2))
    ledger, tally = Ledger(in_turn=(first, second), usable={second}), Tally("test")
    ledger.check(tmp_path, tmp_path, tally)
    assert tally.lost == 0

    ledger.usable = {first}
    ledger.check(tmp_path, tmp_path, tally)
    assert tally.lost == 1


def test_a_case_that_was_deleted_by_half_is_a_loss(tmp_path):
    ct = np.arange(512, dtype=np.int16).reshape(8, 8, 8)
    path = tmp_path / "one.nii.gz"
    nib.save(nib.Nifti1Image(ct, AFFINE), path)
    found = []
    for state in (THERE, GONE):
        tally = Tally("test")
        check_ct(tmp_path, "one", state, digest(ct), tally)
        found.append(tally.lost)
    path.unlink()
    (tmp_path / "labels" / "gtv").mkdir(parents=True)
    (tmp_path / "labels" / "gtv" / path.name).touch()
    tally = Tally("test")
    check_ct(tmp_path, "one", GONE, digest(ct), tally)
    assert found == [0, 1] and tally.lost == 1 and "by half" in tally.words[0]


def test_a_write_in_two_steps_is_found_at_the_point_between_them(tmp_path):
    class TwoFiles:
        @staticmethod
        def prepare(place: Path):
            place.mkdir(parents=True)
            for name in ("a", "b"):
                (place / name).write_text("old")

        @staticmethod
        def ready(place: Path):
            return lambda: [(place / name).write_text("new") for name in ("a", "b")]

        @staticmethod
        def judge(place: Path, old: Path, new: Path):
            states = [[(at / name).read_text() for name in ("a", "b")] for at in (place, old, new)]
            return [] if states[0] in states[1:] else [f"half: {states[0]}"]

    found = {told["point"]: told["wrong"] for told in Points(TwoFiles, tmp_path / "points").tried(1)}
    assert found == {
        "0 of 2": [],
        "1 of 2": ["half: ['new', 'old']"],
        "1 of 2 (file cut)": ["half: ['n', 'old']"],
        "2 of 2": [],
        "2 of 2 (file cut)": [],
    }


def test_a_request_of_a_number_is_always_the_same_one(tmp_path):
    one, other = (Maker(ROUTES, "127.0.0.1:8000", tmp_path / "secret", seed).make(7) for seed in (3, 3))
    assert one == other and one != Maker(ROUTES, "127.0.0.1:8000", tmp_path / "secret", 4).make(7)
    made = [Maker(ROUTES, "127.0.0.1:8000", tmp_path / "secret", 0).make(number) for number in range(300)]
    assert any(str(tmp_path / "secret").encode() in request.data for request in made)
    assert not any(CANARY.encode() in request.data for request in made)


def test_the_table_has_a_line_for_each_part_and_says_what_was_skipped():
    tally = Tally("kills", "2 restarts", tried=5, acknowledged=4, info_ms=[10.0, 20.0, 500.0])
    lines = table([tally, Tally("pacs", skipped="no Orthanc")]).splitlines()
    assert lines[2] == "| kills | 2 restarts | 5 | 4 | 0 | 0 | 0 | 0 | 0 | 0 | 20, 500 |"
    assert lines[3].startswith("| pacs | skipped: no Orthanc |")
