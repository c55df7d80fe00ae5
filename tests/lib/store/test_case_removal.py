"""A case is removed whole or not at all, wherever the process is killed."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from fastapi import HTTPException

from lib.errors import UnknownCaseError
from lib.store.datastore import OslnDatastore
from lib.store.history import history
from lib.store.predicted import withdraw_prediction
from lib.store.shown_labels import shown_label
from osln.dicom.intake.store_case import noted_images
from osln.files.images import split_suffix
from osln.store import final_copy, removals, revisions
from osln.store.layout import companions
from osln.store.patients import import_folder, patients_of
from osln.store.predictions import read_prediction
from small.dicom import ct_slices, write_dicom
from small.kills import killed_at
from small.store import NODE, SHAPE, ct, make_case, write
from small.studies import of_patient
from small.study import run, study
from small.submissions import OTHER, nodes


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


@pytest.mark.parametrize("tag", ["final", "original"])
def test_a_label_that_waits_while_its_case_is_removed_is_refused_and_leaves_nothing(
    tmp_path, monkeypatch, tag
):
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
        store.save_label("one", label, tag, {"params": {"candidates": [], "label_names": {}}})
    assert caught.value.status_code == 404 and "was removed from the store meanwhile" in caught.value.detail
    assert store.revisions("one", "final").head() is None and read_prediction(root, "one") is None
    assert not list((root / "labels" / tag).iterdir())


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
    write_dicom(tmp_path / "study" / "c", ct_slices(name="another", PatientID="another"))
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
    there = f".osln/.removed/{archive.name}"
    assert f"In {root}: {told} be moved to {there} " in caplog.text and f"'pet/{case}.nii.gz'" in caplog.text
    assert f"by hand to its folder there (from pet to {there}/pet, from labels/final to " in caplog.text
    assert not (root / "pet" / "one.nii.gz").exists() and (root / "pet" / f"{case}.nii.gz").exists()
    report = run(tmp_path / "study", root)
    (skipped,), (imported,) = report.skipped, report.imported
    assert skipped["reason"].startswith(told) and str(tmp_path) not in skipped["reason"]
    upload = str(write(tmp_path / "upload.nii.gz", ct()))
    again.add_image("two", upload, {})
    with pytest.raises(HTTPException) as caught:
        again.add_image(case, upload, {})
    assert caught.value.status_code == 503 and told in caught.value.detail
    again.refresh()
    assert set(again.list_images()) == {"two", imported["case"]} and imported["case"] != case


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


def linked(tmp_path):
    """A store whose CT "one" is a link to the only original, which is called as another case: "two"."""
    original, root = make_case(tmp_path / "originals", "two", pet=False, gtv=False), tmp_path / "store"
    make_case(root, "two")
    # A relative link leads nowhere from another folder.
    (root / "one.nii.gz").symlink_to(Path("..", "originals", original.name))
    store, upload = OslnDatastore(root), str(write(tmp_path / "upload.nii.gz", nodes(NODE)))
    for case, who in (("one", "anna"), ("two", "ben")):
        store.save_label(case, upload, "final", {"client_id": who})
    return store, original


def check_that_the_link_alone_has_gone(store, original, tmp_path):
    assert original.is_file() and store.list_images() == ["two"]
    assert store.get_labels_by_image_id("two").keys() == {"final", "gtv"}
    assert store.revisions("two", "final").head().by == "ben"
    assert (store.root / "pet" / "two.nii.gz").exists()
    store.add_image("one", str(write(tmp_path / "one.nii.gz", ct(faint=True))), {})
    assert store.get_labels_by_image_id("one") == {} and store.revisions("one", "final").head() is None


def test_of_a_case_whose_ct_is_a_link_the_link_goes_and_its_target_and_other_cases_stay(tmp_path):
    store, original = linked(tmp_path)
    store.remove_image("one")
    check_that_the_link_alone_has_gone(store, original, tmp_path)


def test_the_interrupted_removal_of_a_case_whose_ct_is_a_link_is_ended(tmp_path, monkeypatch):
    store, original = linked(tmp_path)
    interrupted(store, "one", monkeypatch)
    assert store.revisions("one", "final").head().by == "anna"
    check_that_the_link_alone_has_gone(OslnDatastore(store.root), original, tmp_path)


def test_pet_and_labels_of_a_case_whose_ct_is_a_link_are_not_looked_for_beside_its_target(tmp_path):
    store, original = linked(tmp_path)
    make_case(original.parent, "two")
    named = Path(store.get_image_uri("one"))
    paths = companions(named.parent, split_suffix(named)[0])
    assert (paths.ct, paths.pet, paths.tumor) == (store.root / "one.nii.gz", None, None)
    assert paths.nodes == store.root / "labels" / "final" / "one.nii.gz"


def test_of_a_prediction_that_is_a_link_the_link_goes_and_its_target_stays(tmp_path):
    store, target = made(tmp_path / "store"), tmp_path / "elsewhere.nii.gz"
    prediction = store.root / "labels" / "original" / "one.nii.gz"
    prediction.rename(target)
    prediction.symlink_to(target)
    store.refresh()
    store.remove_label("one", "original")
    assert target.is_file() and not prediction.is_symlink()
    assert store.get_labels_by_image_id("one").keys() == {"final", "gtv"}


def test_a_prediction_of_a_case_that_was_removed_meanwhile_is_none_to_take_away(tmp_path):
    store = made(tmp_path / "store")
    store.remove_image("one")
    with pytest.raises(UnknownCaseError, match="removed from the store meanwhile"):
        withdraw_prediction(store, "one")


@pytest.mark.parametrize("name", ["one.nii.gz", "label.nii.gz"])
def test_a_label_that_somebody_puts_into_the_archive_by_hand_stays_there(tmp_path, monkeypatch, name):
    root = tmp_path / "store"
    interrupted(made(root), "one", monkeypatch)
    (archive,) = (root / ".osln" / ".removed").iterdir()
    label = (root / "labels" / "final" / "one.nii.gz").rename(archive / name)
    for _ in range(2):
        assert removals.settle_removed(root) == {}
        assert label.is_file() and not list((archive / "ct").iterdir())
    assert not (root / "pet" / "one.nii.gz").exists()


def test_an_interrupted_removal_of_a_former_version_is_ended(tmp_path, monkeypatch):
    root = tmp_path / "store"
    interrupted(made(root), "one", monkeypatch)
    (archive,) = (root / ".osln" / ".removed").iterdir()
    former = (archive / "ct" / "one.nii.gz").rename(archive / "one.nii.gz")
    (archive / "ct").rmdir()
    assert removals.settle_removed(root) == {}
    assert not former.exists() and (archive / "labels" / "final" / "one.nii.gz").is_file()


def test_files_among_the_archives_hold_up_nothing(tmp_path):
    root = tmp_path / "store"
    made(root).remove_image("one")
    for name in (".DS_Store", "one-20261130T201406437475", "notes"):
        (root / ".osln" / ".removed" / name).touch()
    assert removals.settle_removed(root) == {}
    assert len(run(study(tmp_path / "study"), root).imported) == 1


@pytest.fixture
def other_disk(monkeypatch):
    """Has the archives lie on another disk than the rest of the store."""
    rename = Path.rename

    def across(source, target):
        if (".removed" in source.parts) != (".removed" in Path(target).parts):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source))
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", across)


def test_a_case_of_which_folders_lie_on_another_disk_is_removed_whole(tmp_path, other_disk):
    store = made(tmp_path / "store")
    contour = nodes(OTHER)
    store.save_label("one", str(write(tmp_path / "tumor.nii.gz", contour)), "gtv", {"client_id": "anna"})
    (store.root / "truth").mkdir()
    (store.root / "truth" / "one.nii.gz").symlink_to("nowhere")
    before = {path: (store.root / path).read_bytes() for path in files(store.root) if "one" in path}
    store.remove_image("one")
    left = [name for name in files(store.root) if not name.startswith(".osln/.removed") and "one" in name]
    assert left == [".osln/one/.lock"]
    (archive,) = (store.root / ".osln" / ".removed").iterdir()
    for path in ("pet/one.nii.gz", "labels/final/one.nii.gz", "labels/gtv/one.nii.gz"):
        assert (archive / path).read_bytes() == before[path]
    for name in ("0001.nii.gz", "gtv/0001.nii.gz", "gtv/0001.json"):
        assert (archive / "revisions" / name).read_bytes() == before[f".osln/one/{name}"]
    assert (archive / "truth" / "one.nii.gz").readlink() == Path("nowhere")
    assert list((archive / "ct").iterdir()) == []


def test_a_ct_that_cannot_leave_its_disk_stays_and_its_case_with_it(tmp_path, other_disk, monkeypatch):
    store, unlink = made(tmp_path / "store"), Path.unlink

    def refused(path, missing_ok=False):
        if path == store.root / "one.nii.gz":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(HTTPException) as caught:
        store.remove_image("one")
    assert caught.value.status_code == 503 and store.list_images() == ["one"]
    assert store.get_labels_by_image_id("one").keys() == {"final", "original", "gtv"}
    assert files(store.root / ".osln" / ".removed") == []


@pytest.fixture
def full_disk(tmp_path, monkeypatch):
    """A store on a full disk; a label was copied into the place of the second revision, whose copy waits."""
    store = made(tmp_path / "store")
    kept = store.revisions("one", "final")
    copied = write(tmp_path / "copied.nii.gz", nodes(OTHER))
    with monkeypatch.context() as patch:
        patch.setattr(final_copy.FinalCopy, "publish", lambda copy: [])
        upload = str(write(tmp_path / "upload.nii.gz", nodes(NODE, OTHER)))
        store.save_label("one", upload, "final", {"client_id": "ben"})
    copied.replace(kept.final)
    assert kept.head().revision == 2 and kept.waiting() is None

    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    for module in (revisions, final_copy):
        monkeypatch.setattr(module, "write_atomically", full)
    return store


def test_on_a_full_disk_a_label_that_cannot_become_a_revision_is_archived_as_it_is(full_disk):
    store = full_disk
    label = store.root / "labels" / "final" / "one.nii.gz"
    copied = label.read_bytes()
    store.remove_image("one")
    (archive,) = (store.root / ".osln" / ".removed").iterdir()
    assert (archive / "labels" / "final" / "one.nii.gz").read_bytes() == copied
    assert (archive / "revisions" / "0002.nii.gz").is_file() and files(label.parent) == []


def test_on_a_full_disk_a_case_with_a_copied_label_is_shown_with_its_newest_revision(full_disk):
    assert [one["revision"] for one in history(full_disk, "one")] == [2, 1]
    shown = shown_label(full_disk, "one", instances=True)
    assert shown.revision.revision == 2
    assert len(set(np.unique(shown.values)) - {0, shown.tumor}) == 2


def test_on_a_full_disk_a_label_that_lies_there_uncompressed_is_shown(tmp_path, full_disk):
    label = full_disk.revisions("one", "final").final
    label.unlink()
    write(label.with_name("one.nii"), nodes(OTHER))
    shown = shown_label(full_disk, "one")
    assert shown.revision.revision == 2 and np.count_nonzero(shown.values == 1) == 24 + 18
