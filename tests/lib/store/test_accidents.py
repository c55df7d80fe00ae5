"""What file systems do to a server: a full disk, a folder that vanishes, one that cannot be written."""

import errno
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fastapi import HTTPException

from lib.errors import NotReadyError
from lib.store import index
from lib.store.datastore import OslnDatastore
from lib.store.shown_labels import settled_head, shown_label
from lib.store.work import skip_case
from osln.store import revisions
from osln.store.final_copy import FinalCopy
from small.store import NODE, SHAPE, make_case, write


@pytest.fixture
def store(tmp_path):
    make_case(tmp_path / "store", "one")
    return OslnDatastore(tmp_path / "store")


@pytest.fixture
def upload(tmp_path):
    label = np.zeros(SHAPE, np.uint8)
    label[NODE] = 1
    return str(write(tmp_path / "upload.nii.gz", label))


def failing(number, only=""):
    """In the place of a writing function: the file system's answer for files whose name holds `only`."""

    def fail(path, *_, **__):
        if only in str(path):
            raise OSError(number, os.strerror(number), str(path))

    return fail


def refusal(function, *arguments):
    with pytest.raises(HTTPException) as caught:
        function(*arguments)
    return caught.value.status_code, caught.value.detail


def test_a_label_whose_note_cannot_be_written_is_answered_as_stored(store, upload, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(index, "write_atomically", failing(errno.ENOSPC))
        store.save_label("one", upload, "final", {"client_id": "anna"})
    told = store.about_label("one")
    assert told["revision"] == 1
    assert "The label is stored; the index could not be written (No space left on device)." in told["message"]
    assert told["warnings"][-1].startswith("The label is stored")
    assert store.get_labeled_images() == []
    store.refresh()
    assert store.get_labeled_images() == ["one"]
    assert store.about_label("one") == {}


def test_a_revision_that_could_not_be_noted_is_noted_by_the_next_visit(store, upload, tmp_path, monkeypatch):
    store.save_label("one", upload, "final", {"client_id": "anna"})
    with monkeypatch.context() as patch:
        patch.setattr(index, "write_atomically", failing(errno.ENOSPC))
        store.save_label("one", str(write(tmp_path / "b.nii.gz", np.zeros(SHAPE, np.uint8))), "final", {})
        store.about_label("one")
        assert settled_head(store, "one").revision == 2
        assert "warnings" not in store.about_label("one"), "nothing was stored by the visit"
    assert store.get_label_info("one", "final")["revision"] == 1
    assert settled_head(store, "one").revision == 2
    assert store.get_label_info("one", "final")["revision"] == 2


@pytest.mark.parametrize("lost", [True, False])
def test_a_start_goes_on_although_the_time_of_one_label_cannot_be_read(store, upload, caplog, lost):
    make_case(store.root, "two")
    store.refresh()
    for case in ("one", "two"):
        store.save_label(case, upload, "final", {"client_id": "anna"})
    head = store.root / ".osln" / "one" / "head.json"
    head.write_text(json.dumps(json.loads(head.read_text()) | {"revision": 2, "at": "2026-11-30 19:50 h"}))
    if lost:
        (store.root / "datastore_v2.json").unlink()
    again = OslnDatastore(store.root)
    assert again.get_labeled_images() == ["one", "two"]
    assert again.get_label_info("two", "final")["revision"] == 1
    assert "case one cannot be noted" in caplog.text and "not '2026-11-30 19:50 h'" in caplog.text


def test_a_label_that_is_the_head_is_stored_although_its_copy_could_not_be_put_in_place(
    store, upload, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(FinalCopy, "publish", lambda _: failing(errno.EIO)("labels"))
        store.save_label("one", upload, "final", {})
    assert store.about_label("one")["revision"] == 1
    kept = store.revisions("one", "final")
    with kept.lock():
        assert kept.settle() is None
    assert kept.final.exists() and kept.head().revision == 1


def test_a_first_label_whose_copy_waits_is_shown_and_its_case_is_approved(store, upload, monkeypatch):
    monkeypatch.setattr(FinalCopy, "publish", lambda _: failing(errno.EACCES)("labels"))
    store.save_label("one", upload, "final", {})
    assert not store.label_path("one", "final").exists()
    shown = shown_label(store, "one")
    assert shown.revision.revision == 1 and np.count_nonzero(shown.values == 1) == 4 * 3 * 2
    with pytest.raises(NotReadyError, match="there is nothing to skip"):
        skip_case(store, "one", "anna", "later")


def test_a_first_label_whose_copy_waits_stays_in_the_index(store, upload, monkeypatch):
    monkeypatch.setattr(FinalCopy, "publish", lambda _: failing(errno.EACCES)("labels"))
    store.save_label("one", upload, "final", {})
    store.refresh()
    assert store.get_labeled_images() == ["one"]
    (store.root / "datastore_v2.json").unlink()
    again = OslnDatastore(store.root)
    again.refresh()
    assert again.get_labeled_images() == ["one"]
    assert again.get_label_info("one", "final")["revision"] == 1
    assert Path(again.get_label_uri("one", "final")) == store.root / ".osln" / "one" / "0001.nii.gz"


@pytest.mark.parametrize("first", [True, False])
def test_a_download_of_everything_has_the_newest_labels_by_the_names_of_their_cases(
    store, upload, tmp_path, monkeypatch, first
):
    make_case(store.root, "two")
    store.refresh()
    empty = str(write(tmp_path / "empty.nii.gz", np.zeros(SHAPE, np.uint8)))
    for case in ("one", "two"):
        if not first:
            store.save_label(case, empty, "final", {})
    monkeypatch.setattr(FinalCopy, "publish", lambda _: failing(errno.EACCES)("labels"))
    for case in ("one", "two"):
        store.save_label(case, upload, "final", {})
    newest = [Path(store.get_label_uri(case, "final")) for case in ("one", "two")]
    assert [Path(listed["label"]) for listed in store.datalist()] == newest
    archive = Path(store.get_dataset_archive(None))
    with zipfile.ZipFile(archive) as found:
        assert sorted(found.namelist()) == [
            "image/one.nii.gz",
            "image/two.nii.gz",
            "label/one.nii.gz",
            "label/two.nii.gz",
            "metadata.json",
        ]
        for case, path in zip(("one", "two"), newest, strict=True):
            assert found.read(f"label/{case}.nii.gz") == path.read_bytes()
            assert found.read(f"image/{case}.nii.gz") == (store.root / f"{case}.nii.gz").read_bytes()
    archive.unlink()
    with zipfile.ZipFile(store.get_dataset_archive(1)) as found:
        assert "label/one.nii.gz" in found.namelist() and "label/two.nii.gz" not in found.namelist()


def test_a_download_whose_files_went_away_is_refused_in_words_and_leaves_nothing(
    store, upload, tmp_path, monkeypatch
):
    store.save_label("one", upload, "final", {})
    store.label_path("one", "final").unlink()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    status, told = refusal(store.get_dataset_archive, None)
    assert status == 409 and "labels/final/one.nii.gz of case one is not there" in told
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_label_that_is_taken_away_by_hand_leaves_the_index(store, upload):
    store.save_label("one", upload, "final", {})
    store.label_path("one", "final").unlink()
    store.refresh()
    assert store.get_labeled_images() == []


def test_a_delivery_that_cannot_be_told_undoes_no_answer(store, upload, monkeypatch):
    monkeypatch.setattr(store, "about_delivery", lambda: failing(errno.EIO)("outbox"))
    store.save_label("one", upload, "final", {})
    assert store.about_label("one")["revision"] == 1


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (errno.ENOSPC, 507, "the disk is full: nothing was stored"),
        (errno.EDQUOT, 507, "the disk is full: nothing was stored"),
        (errno.EROFS, 503, "may not write to the folder of its files"),
        (errno.EACCES, 503, "may not write to the folder of its files"),
    ],
)
def test_nothing_stored_is_said_with_its_reason(store, upload, monkeypatch, number, status, said):
    monkeypatch.setattr(revisions, "write_atomically", failing(number))
    found, sentence = refusal(store.save_label, "one", upload, "final", {})
    assert found == status and said in sentence
    assert store.revisions("one", "final").head() is None


def test_a_read_only_folder_is_named_at_the_start(tmp_path, monkeypatch):
    make_case(tmp_path / "store", "one")
    monkeypatch.setattr("pathlib.Path.mkdir", failing(errno.EROFS))
    with pytest.raises(ValueError, match=r"store, cannot be written \(Read-only file system\)"):
        OslnDatastore(tmp_path / "store")


@pytest.mark.parametrize("empty_place", [False, True])
def test_a_store_that_vanishes_is_told_and_nothing_is_written_in_its_place(
    store, upload, tmp_path, empty_place
):
    away = shutil.move(store.root, tmp_path / "away")
    if empty_place:
        store.root.mkdir()
    asked = [
        (store.save_label, "one", upload, "final", {}),
        (store.add_image, "two", upload, {}),
        (store.get_image_uri, "one"),
        (store.update_image_info, "one", {"note": 1}),
        (store.remove_image, "one"),
        (store.status,),
        (store.json,),
    ]
    for function, *arguments in asked:
        status, sentence = refusal(function, *arguments)
        assert status == 503 and "is not there (an unmounted share?)" in sentence, function.__name__
    assert not store.root.exists() or list(store.root.iterdir()) == []
    if empty_place:
        store.root.rmdir()
    shutil.move(away, store.root)
    assert store.list_images() == ["one"]
    store.save_label("one", upload, "final", {})
    assert store.about_label("one")["revision"] == 1


def test_revisions_go_on_by_number_when_the_clock_is_set_back(store, upload, tmp_path, monkeypatch):
    store.save_label("one", upload, "final", {})

    class SetBack(revisions.datetime):
        @classmethod
        def now(cls, zone=None):
            return cls(2001, 1, 1, tzinfo=zone)

    monkeypatch.setattr(revisions, "datetime", SetBack)
    larger = np.ones(SHAPE, np.uint8)
    store.save_label("one", str(write(tmp_path / "larger.nii.gz", larger)), "final", {})
    history = store.revisions("one", "final").history()
    assert [entry.revision for entry in history] == [2, 1]
    assert history[0].at < history[1].at


def test_a_store_that_is_closed_watches_its_folder_no_more(tmp_path):
    make_case(tmp_path / "store", "one")
    watching = OslnDatastore(tmp_path / "store", auto_reload=True)
    watcher = watching._observer
    assert watcher.is_alive()
    watching.close()
    assert not watcher.is_alive()


def test_a_label_under_a_number_that_came_again_is_nobody_s(store, upload, tmp_path):
    store.save_label("one", upload, "final", {"client_id": "anna"})
    shutil.copytree(store.root / ".osln" / "one", tmp_path / "backup")
    label = np.ones(SHAPE, np.uint8)
    more = str(write(tmp_path / "more.nii.gz", label))
    store.save_label("one", more, "final", {"client_id": "anna"})
    shutil.rmtree(store.root / ".osln" / "one")
    shutil.copytree(tmp_path / "backup", store.root / ".osln" / "one")
    write(store.label_path("one", "final"), np.ones((5, 5, 5), np.uint8))
    with pytest.raises(ValueError):
        shown_label(store, "one")
    told = store.get_label_info("one", "final")
    assert (told["revision"], told["by"]) == (2, "unknown")
    store.refresh()
    assert ["does not lie on the CT's voxels" in one for one in store.left_out] == [True]


def test_an_index_that_knows_an_older_revision_is_brought_on_whatever_lies_there(store, upload, monkeypatch):
    store.save_label("one", upload, "final", {"client_id": "anna"})
    label = np.zeros(SHAPE, np.uint8)
    label[0, 0, 0] = 1
    with monkeypatch.context() as patch:
        patch.setattr(index, "write_atomically", failing(errno.ENOSPC))
        store.save_label("one", str(write(Path(upload), label)), "final", {"client_id": "ben"})
    write(store.label_path("one", "final"), np.ones(SHAPE, np.uint8))
    told = OslnDatastore(store.root).get_label_info("one", "final")
    assert (told["revision"], told["by"]) == (2, "ben")


def test_an_index_with_a_number_that_is_none_hinders_no_start(store, upload):
    store.save_label("one", upload, "final", {})
    path = store.root / "datastore_v2.json"
    path.write_text(path.read_text().replace('"revision": 1', '"revision": "1"'))
    assert OslnDatastore(store.root).get_label_info("one", "final")["revision"] == 1


def test_a_damaged_description_hinders_the_download_only_where_a_copy_waits(store, upload, monkeypatch):
    store.save_label("one", upload, "final", {})
    head = store.root / ".osln" / "one" / "head.json"
    head.write_text("{")
    (found,) = store.datalist()
    assert Path(found["label"]) == store.label_path("one", "final")
    store.label_path("one", "final").unlink()
    store.refresh()
    assert store.get_labeled_images() == []


def test_a_ct_that_is_away_for_a_moment_refuses_no_submission(store, upload):
    ct = store.root / "one.nii.gz"
    ct.rename(store.root / "away")
    store.refresh()
    (store.root / "away").rename(ct)
    store.check_served("one")
    assert store.list_images() == ["one"]
