"""A case is removed whole or not at all, wherever the process is killed."""

import os
import shutil
import sys

import numpy as np
import pytest
from fastapi import HTTPException

from lib.store.datastore import OslnDatastore
from osln.dicom.intake.store_case import noted_images
from osln.store import removals
from osln.store.patients import import_folder, patients_of
from small.store import NODE, SHAPE, ct, make_case, write
from small.studies import of_patient
from small.study import run, study

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.move", "open")
KILLED = 77


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def made(folder):
    """A store of one case with everything that a case can have."""
    make_case(folder, "one")
    of_patient(folder, "P1", "one")
    store = OslnDatastore(folder)
    label = np.zeros(SHAPE, np.uint8)
    label[NODE] = 1
    upload = str(write(folder.parent / "upload.nii.gz", label))
    store.save_label("one", upload, "original", {})
    store.save_label("one", upload, "final", {"client_id": "anna"})
    return store


def killed_at(number, work):
    """Runs `work` in a process that ends before its `number`-th file operation; False if it came through."""
    child = os.fork()
    if child == 0:
        seen = [0]

        def count(event, arguments):
            if event in CHANGES:
                seen[0] += 1
                if seen[0] == number:
                    os._exit(KILLED)

        try:
            sys.addaudithook(count)
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a copy of this process")
def test_a_kill_at_any_file_operation_leaves_the_whole_case_or_nothing_that_a_later_ct_inherits(tmp_path):
    number, whole, gone = 0, 0, 0
    made(tmp_path / "template" / "store")
    while True:
        number += 1
        root = shutil.copytree(tmp_path / "template" / "store", tmp_path / str(number) / "store")
        store = OslnDatastore(root)
        before = set(files(root))
        if not killed_at(number, lambda store=store: store.remove_image("one")):
            break
        again = OslnDatastore(root)
        if "one" in again.list_images():
            assert before <= set(files(root)), number
            assert again.get_labels_by_image_id("one").keys() == {"final", "original", "gtv"}
            assert again.revisions("one", "final").head().by == "anna"
            whole += 1
        else:
            left = [name for name in files(root) if not name.startswith(".osln/.removed") and "one" in name]
            assert left == [".osln/one/.lock"], number
            (archive,) = (path for path in (root / ".osln" / ".removed").iterdir() if files(path))
            assert {"pet/one.nii.gz", "labels/final/one.nii.gz", "revisions/0001.nii.gz"} <= set(
                files(archive)
            )
            again.add_image("one", str(write(tmp_path / "one.nii.gz", ct(faint=True))), {})
            assert again.get_labels_by_image_id("one") == {}
            assert again.revisions("one", "final").head() is None
            gone += 1
    assert whole > 3 and gone > 10
    assert number - 1 == whole + gone


def test_a_case_whose_name_goes_on_where_anothers_ends_stays(tmp_path):
    store = made(tmp_path / "store")
    store.add_image("one.json", str(write(tmp_path / "one.json.nii.gz", ct())), {})
    label = np.zeros(SHAPE, np.uint8)
    label[NODE] = 1
    for tag in ("original", "final"):
        info = {"params": {"candidates": []}} if tag == "original" else {}
        for case in ("one", "one.json"):
            store.save_label(case, str(write(tmp_path / "upload.nii.gz", label)), tag, dict(info))
    store.remove_image("one")
    assert store.get_labels_by_image_id("one.json").keys() == {"original", "final"}
    left = [name for name in files(store.root) if not name.startswith(".osln/") and "one" in name]
    assert left == [
        "labels/final/one.json.nii.gz",
        "labels/original/one.json.json",
        "labels/original/one.json.nii.gz",
        "one.json.nii.gz",
    ]


def test_a_label_that_waits_while_its_case_is_removed_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    root = tmp_path / "store"
    store = made(root)
    label = str(tmp_path / "upload.nii.gz")
    read = store.ct

    def removed_meanwhile(case):
        image = read(case)
        monkeypatch.setattr(store, "ct", read)
        store.remove_image(case)
        return image

    monkeypatch.setattr(store, "ct", removed_meanwhile)
    with pytest.raises(HTTPException) as caught:
        store.save_label("one", label, "final", {})
    assert caught.value.status_code == 404 and "was removed from the store meanwhile" in caught.value.detail
    assert store.revisions("one", "final").head() is None
    assert not (root / "labels" / "final" / "one.nii.gz").exists()


def interrupted(store, case, monkeypatch):
    """Removes a case of which nothing but the CT can be moved; returns what is told."""
    with monkeypatch.context() as patch:
        patch.setattr(removals, "_move", lambda *_: (_ for _ in ()).throw(OSError(13, "Permission denied")))
        with pytest.raises(HTTPException) as caught:
            store.remove_image(case)
    assert caught.value.status_code == 503
    return caught.value.detail


def test_a_removal_that_failed_in_the_middle_says_that_the_case_is_removed(tmp_path, monkeypatch):
    told = interrupted(made(tmp_path / "store"), "one", monkeypatch)
    assert told.startswith(
        "case one is removed, but not all that belongs to it could be moved to .osln/.removed/"
    )
    assert "(Permission denied)" in told and "the next start moves the rest" in told


def test_a_removal_that_still_cannot_be_ended_is_told_and_holds_up_no_other_case(
    tmp_path, monkeypatch, caplog
):
    root = tmp_path / "store"
    (manifest,) = run(study(tmp_path / "study"), root).imported
    store, case, move = OslnDatastore(root), manifest["case"], removals._move
    for removed in (case, "one"):
        if removed == "one":
            make_case(root, "one")
            store.refresh()
        interrupted(store, removed, monkeypatch)

    def refused(source, target):
        if source.name.startswith(case):
            raise PermissionError(13, "Permission denied", str(source))
        move(source, target)

    monkeypatch.setattr(removals, "_move", refused)
    again = OslnDatastore(root)
    archive = next((root / ".osln" / ".removed").glob(f"{case}-*"))
    told = f"the removal of case {case} was interrupted and cannot be ended: what belongs to it could not all"
    assert told in caplog.text and str(archive) in caplog.text and f"{case}.nii.gz'" in caplog.text
    assert not (root / "pet" / "one.nii.gz").exists() and (root / "pet" / f"{case}.nii.gz").exists()
    with pytest.raises(ValueError, match=f"nothing was imported: {told}"):
        run(tmp_path / "study", root)
    upload = str(write(tmp_path / "upload.nii.gz", ct()))
    again.add_image("two", upload, {})
    with pytest.raises(HTTPException) as caught:
        again.add_image(case, upload, {})
    assert caught.value.status_code == 503 and told in caught.value.detail
    assert again.list_images() == ["two"]


def test_a_case_that_is_imported_again_after_a_removal_that_failed_is_new_and_stays(tmp_path, monkeypatch):
    root = tmp_path / "store"
    (manifest,) = run(study(tmp_path / "study"), root).imported
    case = manifest["case"]
    interrupted(OslnDatastore(root), case, monkeypatch)
    (again,) = run(tmp_path / "study", root).imported
    assert not any("stayed" in warning for warning in again["warnings"])
    (archive,) = (root / ".osln" / ".removed").iterdir()
    assert {f"labels/final/{case}.nii.gz", f"pet/{case}.nii.gz", f"import/{case}.json"} <= set(files(archive))
    before = files(root)
    store = OslnDatastore(root)
    assert store.get_labeled_images() == [case] and set(before) <= set(files(root))


def test_what_lies_beside_a_ct_that_came_back_by_hand_stays_and_is_told(tmp_path, monkeypatch, caplog):
    root = tmp_path / "store"
    interrupted(made(root), "one", monkeypatch)
    make_case(root, "one")
    again = OslnDatastore(root)
    assert again.revisions("one", "final").head().by == "anna" and (root / "pet" / "one.nii.gz").exists()
    assert "The removal of case one was interrupted, and a CT of that id came since" in caplog.text


def test_a_later_ct_of_a_removed_cases_id_is_not_of_its_patient(tmp_path):
    store = made(tmp_path / "store")
    of_patient(store.root, "P1", "one", "two")
    folder = import_folder(store.root)
    for name in ("one.tfm", "report.json", "report.tfm"):
        (folder / name).write_text("{}")
    make_case(store.root, "report")
    store.refresh()
    for case in ("one", "report"):
        store.remove_image(case)
    assert files(folder) == ["report.json", "two.json"]
    store.add_image("one", str(write(tmp_path / "one.nii.gz", ct(faint=True))), {})
    assert patients_of(store.root, ["one"]) == {"one": "one"} and noted_images(store.root, "one") == ""


def test_a_removal_that_failed_in_the_middle_is_ended_before_a_ct_of_the_same_id_comes(tmp_path, monkeypatch):
    root = tmp_path / "store"
    store = made(root)
    interrupted(store, "one", monkeypatch)
    assert store.list_images() == []
    assert (root / "pet" / "one.nii.gz").exists()
    store.add_image("one", str(write(tmp_path / "one.nii.gz", ct())), {})
    assert not (root / "pet" / "one.nii.gz").exists()
    assert store.get_labels_by_image_id("one") == {}


def test_a_case_that_somebody_else_removes_at_the_same_time_is_unknown_and_leaves_nothing(
    tmp_path, monkeypatch
):
    store = made(tmp_path / "store")
    at_the_lock = store.revisions

    def slower(case, tag):
        # The other one is through between the look at the index and the lock.
        monkeypatch.setattr(store, "revisions", at_the_lock)
        store.remove_image("one")
        return at_the_lock(case, tag)

    monkeypatch.setattr(store, "revisions", slower)
    with pytest.raises(HTTPException) as refused:
        store.remove_image("one")
    assert refused.value.status_code == 404
    assert len(list((store.root / ".osln" / ".removed").iterdir())) == 1
