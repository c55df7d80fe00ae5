"""The store: what is a case, and that no request leaves the folder."""

import gzip
import shutil
import threading
import zipfile

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from fastapi import HTTPException

from lib.store.datastore import OslnDatastore
from osln.dicom.served.uids import study_uid
from small.store import AFFINE_LPS, NODE, SHAPE, ct, make_case, write

BAD_IDS = [
    "../one",
    "/etc/passwd",
    "one/../two",
    "..",
    ".",
    ".osln",
    "one two",
    "a" * 129,
    "labels/final/one",
]


@pytest.fixture
def root(tmp_path):
    make_case(tmp_path / "store", "one")
    make_case(tmp_path / "store", "two", pet=False, gtv=False)
    return tmp_path / "store"


@pytest.fixture
def store(root):
    return OslnDatastore(root)


def node_label():
    label = np.zeros(SHAPE, np.uint8)
    label[NODE] = 1
    return label


def flipped_x():
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = SHAPE[0] - 1
    return flip


def refusal(function, *args):
    with pytest.raises(HTTPException) as caught:
        function(*args)
    return caught.value.status_code, caught.value.detail


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_only_ct_files_at_the_top_are_cases(root):
    for extra in ("readme.txt", "notes.json", "truth/one.nii.gz", "sub/three.nii.gz", ".hidden.nii.gz"):
        (root / extra).parent.mkdir(exist_ok=True)
        (root / extra).write_bytes(b"")
    (root / "folder.nii.gz").mkdir()
    store = OslnDatastore(root)
    assert sorted(store.list_images()) == ["one", "two"]
    assert store.get_labels_by_image_id("one") == {"gtv": "one"}
    assert store.status() == {"total": 2, "completed": 0, "label_tags": {"gtv": 1}}


def test_a_case_without_approved_label_is_unlabeled(store, root, tmp_path):
    store.save_label("one", str(write(tmp_path / "l.nii.gz", node_label())), "final", {})
    assert store.get_labeled_images() == ["one"]
    assert store.get_unlabeled_images() == ["two"]
    assert store.datalist() == [
        {"image": str(root / "one.nii.gz"), "label": str(root / "labels" / "final" / "one.nii.gz")}
    ]


def test_twin_names_are_left_out_with_a_log_line_and_refused_in_words(root, caplog):
    (root / "one.nii").write_bytes(gzip.decompress((root / "one.nii.gz").read_bytes()))
    store = OslnDatastore(root)
    assert store.list_images() == ["two"]
    assert "one.nii" in caplog.text and "remove or rename" in caplog.text
    status, detail = refusal(store.get_image_uri, "one")
    assert status == 409
    assert "programs confuse the two" in detail
    assert "one" in store.refused


def test_a_twin_that_is_taken_away_brings_the_case_back(root):
    (root / "one.nii").write_bytes(b"")
    store = OslnDatastore(root)
    (root / "one.nii").unlink()
    store.refresh()
    assert sorted(store.list_images()) == ["one", "two"]


def test_names_that_cannot_be_ids_are_left_out_with_a_log_line(root, caplog):
    shutil.copy(root / "one.nii.gz", root / "two words.nii.gz")
    assert sorted(OslnDatastore(root).list_images()) == ["one", "two"]
    assert "two words.nii.gz cannot be a case, rename it: 'two words' is not a case id" in caplog.text


@pytest.mark.parametrize("case", BAD_IDS)
def test_ids_that_could_leave_the_store_are_refused_everywhere(store, tmp_path, case):
    upload = str(write(tmp_path / "u.nii.gz", ct()))
    before = files(tmp_path)
    calls = [
        (store.get_image_uri, case),
        (store.get_image, case),
        (store.get_image_info, case),
        (store.update_image_info, case, {}),
        (store.get_label_uri, case, "final"),
        (store.get_label, case, "final"),
        (store.get_label_info, case, "final"),
        (store.update_label_info, case, "final", {}),
        (store.add_image, case, upload, {}),
        (store.remove_image, case),
        (store.save_label, case, upload, "final", {}),
        (store.remove_label, case, "final"),
    ]
    for function, *arguments in calls:
        status, detail = refusal(function, *arguments)
        assert (status, "is not a case id" in detail) == (422, True), function.__name__
    assert files(tmp_path) == before


@pytest.mark.parametrize("tag", ["../../x", "x", "", "final/../original", "pet"])
def test_tags_that_the_store_does_not_have_are_refused_everywhere(store, tmp_path, tag):
    upload = str(write(tmp_path / "u.nii.gz", node_label()))
    before = files(tmp_path)
    for function, *arguments in [
        (store.get_label_uri, "one", tag),
        (store.get_label_info, "one", tag),
        (store.update_label_info, "one", tag, {}),
        (store.save_label, "one", upload, tag, {}),
        (store.remove_label, "one", tag),
    ]:
        status, detail = refusal(function, *arguments)
        assert (status, "is not a tag" in detail) == (422, True), function.__name__
    assert files(tmp_path) == before


def test_folders_of_other_tags_are_not_labels(root):
    write(root / "labels" / "other" / "one.nii.gz", node_label())
    assert OslnDatastore(root).status()["label_tags"] == {"gtv": 1}


def test_an_unknown_case_is_a_404_that_says_where_the_list_is(store):
    status, detail = refusal(store.get_image_uri, "three")
    assert status == 404
    assert "no case 'three' in the store, which has 2" in detail
    assert "session has ended" in refusal(store.get_image_uri, "")[1]


def test_files_that_are_moved_into_a_watched_store_are_noticed(root, tmp_path):
    store, noticed = OslnDatastore(root, auto_reload=True), threading.Event()
    refresh = store.refresh

    def refreshed():
        refresh()
        if "three" in store.list_images():
            noticed.set()

    store.refresh = refreshed
    try:
        write(tmp_path / "three.nii.gz", ct()).replace(root / "three.nii.gz")
        assert noticed.wait(60)
    finally:
        store._observer.stop()


def test_an_error_while_watching_is_logged_and_does_not_end_the_watch(store, monkeypatch, caplog):
    monkeypatch.setattr(store, "refresh", lambda: 1 / 0)
    store._on_any_event("moved")
    assert "could not be read again" in caplog.text


def test_a_case_copied_into_the_folder_is_found_when_it_is_asked_for(store, root):
    shutil.copy(root / "one.nii.gz", root / "three.nii.gz")
    assert store.get_image_uri("three") == str(root / "three.nii.gz")


def test_an_uploaded_ct_becomes_a_case(store, root, tmp_path):
    upload = write(tmp_path / "u.nii.gz", ct())
    assert store.add_image("three", str(upload), {"user": "anna"}) == "three"
    assert (root / "three.nii.gz").read_bytes() == upload.read_bytes()
    assert store.get_image_info("three")["user"] == "anna"
    assert OslnDatastore(root).list_images() == store.list_images()


def test_an_upload_never_replaces_a_case_but_may_be_repeated(store, root, tmp_path):
    upload = write(tmp_path / "u.nii.gz", ct() + 1)
    before = (root / "one.nii.gz").read_bytes()
    assert refusal(store.add_image, "one", str(upload), {})[0] == 409
    assert (root / "one.nii.gz").read_bytes() == before
    moved = write(tmp_path / "moved" / "u.nii.gz", ct(), AFFINE_LPS + np.eye(4, k=3))
    assert "with another CT (one.nii.gz)" in refusal(store.add_image, "one", str(moved), {})[1]
    assert store.add_image("one", str(root / "one.nii.gz"), {}) == "one"


def test_the_same_ct_in_another_file_is_the_case_that_is_there(store, root, tmp_path):
    before = (root / "one.nii.gz").read_bytes()
    voxels = nib.load(root / "one.nii.gz").get_fdata(dtype=np.float32)
    plain = write(tmp_path / "u.nii", voxels[::-1], AFFINE_LPS @ flipped_x())
    assert store.add_image("one", str(plain), {}) == "one"
    assert (root / "one.nii.gz").read_bytes() == before and not (root / "one.nii").exists()


def test_an_uploaded_nrrd_is_stored_as_nifti_with_the_same_voxels(store, root, tmp_path):
    upload = tmp_path / "u.seg.nrrd"
    original = sitk.ReadImage(str(write(tmp_path / "u.nii.gz", ct())))
    sitk.WriteImage(original, str(upload))
    assert store.add_image("three", str(upload), {}) == "three"
    stored = sitk.ReadImage(store.get_image_uri("three"))
    assert store.get_image_uri("three") == str(root / "three.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(stored).T, ct())
    np.testing.assert_allclose(stored.GetOrigin(), original.GetOrigin())
    assert OslnDatastore(root).list_images() == store.list_images()


def test_an_upload_that_is_no_ct_is_refused_and_not_kept(store, root, tmp_path):
    before = files(root)
    for name, voxels in {
        "flat.nii.gz": np.zeros(SHAPE, np.int16),
        "nan.nii.gz": np.full(SHAPE, np.nan, np.float32),
        "movie.nii.gz": np.zeros((*SHAPE, 2), np.int16),
    }.items():
        assert refusal(store.add_image, "three", str(write(tmp_path / name, voxels)), {})[0] == 422
    (tmp_path / "text.nii.gz").write_bytes(b"text")
    assert refusal(store.add_image, "three", str(tmp_path / "text.nii.gz"), {})[0] == 422
    (tmp_path / "photo.jpg").write_bytes(b"text")
    assert ".nii.gz, .nii, .nrrd" in refusal(store.add_image, "three", str(tmp_path / "photo.jpg"), {})[1]
    assert files(root) == before


def test_a_removed_case_takes_its_companions_along_and_loses_nothing(store, root, tmp_path):
    store.save_label("one", str(write(tmp_path / "l.nii.gz", node_label())), "final", {})
    make_case(root, "one.2")
    store.remove_image("one")
    assert sorted(store.list_images()) == ["one.2", "two"]
    archive = next((root / ".osln" / ".removed").iterdir())
    assert {"pet/one.nii.gz", "labels/gtv/one.nii.gz", "labels/final/one.nii.gz"} <= set(files(archive))
    assert "revisions/0001.nii.gz" in files(archive)
    assert not (root / "pet" / "one.nii.gz").exists()
    assert (root / "pet" / "one.2.nii.gz").exists()


def test_removing_an_approved_label_keeps_its_revisions(store, root, tmp_path):
    store.save_label("one", str(write(tmp_path / "l.nii.gz", node_label())), "final", {})
    store.remove_label("one", "final")
    assert store.get_labeled_images() == []
    assert not (root / "labels" / "final" / "one.nii.gz").exists()
    assert store.revisions("one", "final").head().revision == 1
    assert refusal(store.remove_label, "one", "final") == (404, "case one has no label 'final'; it has: gtv")


def test_what_a_viewer_asks_by_uid_is_done_to_the_case(store, root, tmp_path):
    uid = study_uid("one")
    store.save_label("one", str(write(tmp_path / "l.nii.gz", node_label())), "final", {})
    store.update_image_info(uid, {"site": "here"})
    store.update_label_info(uid, "final", {"told": "by uid"})
    assert store.get_image_info("one")["site"] == "here"
    assert store.get_label_info("one", "final")["told"] == "by uid"

    store.remove_label(uid, "final")
    assert not (root / "labels" / "final" / "one.nii.gz").exists()
    assert refusal(store.remove_label, uid, "final") == (404, "case one has no label 'final'; it has: gtv")


def test_a_label_that_never_was_a_revision_becomes_one_before_it_is_removed(store, root):
    before = (root / "labels" / "gtv" / "one.nii.gz").read_bytes()
    store.remove_label("one", "gtv")
    assert store.revisions("one", "gtv").path(1).read_bytes() == before


def test_a_download_of_everything_needs_an_approved_case(store, tmp_path):
    assert refusal(store.get_dataset_archive, None)[0] == 409
    store.save_label("one", str(write(tmp_path / "l.nii.gz", node_label())), "final", {})
    with zipfile.ZipFile(store.get_dataset_archive(None)) as archive:
        assert sorted(archive.namelist()) == ["image/one.nii.gz", "label/one.nii.gz", "metadata.json"]


def test_a_download_names_files_that_are_links_by_their_case(store, root, tmp_path):
    store.save_label("one", str(write(tmp_path / "l.nii.gz", node_label())), "final", {})
    (root / "one.nii.gz").rename(tmp_path / "4711")
    (root / "one.nii.gz").symlink_to(tmp_path / "4711")
    with zipfile.ZipFile(store.get_dataset_archive(None)) as archive:
        assert archive.read("image/one.nii.gz") == (tmp_path / "4711").read_bytes()


def test_a_restart_finds_everything_again(store, root, tmp_path):
    store.save_label("one", str(write(tmp_path / "l.nii.gz", node_label())), "final", {"client_id": "anna"})
    store.update_image_info("two", {"note": 1})
    again = OslnDatastore(root)
    assert again.json() == store.json()
    assert again.get_label_info("one", "final")["by"] == "anna"


def test_a_lost_index_is_made_anew_from_the_files(store, root, tmp_path):
    store.save_label("one", str(write(tmp_path / "l.nii.gz", node_label())), "final", {})
    (root / "datastore_v2.json").unlink()
    assert OslnDatastore(root).status() == {"total": 2, "completed": 1, "label_tags": {"final": 1, "gtv": 1}}


def test_a_start_after_the_head_came_from_a_backup_notes_the_revision_that_lies_there(store, root, tmp_path):
    store.save_label("one", str(write(tmp_path / "l.nii.gz", node_label())), "final", {})
    head = (root / ".osln" / "one" / "head.json").read_bytes()
    store.save_label("one", str(write(tmp_path / "l.nii.gz", np.ones(SHAPE, np.uint8))), "final", {})
    (root / ".osln" / "one" / "head.json").write_bytes(head)
    assert OslnDatastore(root).get_label_info("one", "final")["revision"] == 2
    shutil.copy(root / ".osln" / "one" / "0001.nii.gz", root / "labels" / "final" / "one.nii.gz")
    assert OslnDatastore(root).get_label_info("one", "final")["revision"] == 1


def test_stored_images_and_labels_have_the_folders_usual_mode(store, root, tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    store.add_image("three", str(write(tmp_path / "u.nii.gz", ct(), AFFINE_LPS)), {})
    store.save_label("three", str(write(tmp_path / "l.nii.gz", node_label())), "final", {})
    store.save_label("three", str(tmp_path / "l.nii.gz"), "original", {})
    written = [
        root / "three.nii.gz",
        *(root / "labels" / tag / "three.nii.gz" for tag in ("final", "original")),
    ]
    assert {path.stat().st_mode & 0o777 for path in written} == {(tmp_path / "plain").stat().st_mode & 0o777}
