"""The store of a real PACS as MONAI Label's routes use it."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from fastapi import HTTPException

from osln.dicom.web.client import WebClient
from osln.dicom.web.credentials import Credentials
from osln.imaging.grid import read_volume
from small.deliveries import NODES, submit
from small.dicom import body
from small.pacs import CASE, PET, empty, fresh_store, store_study
from small.study import regions

pytestmark = pytest.mark.pacs


@pytest.fixture
def store(pacs, tmp_path):
    return fresh_store(pacs, tmp_path / "mirror")


def refusal(function, *args):
    with pytest.raises(HTTPException) as caught:
        function(*args)
    return caught.value.status_code, caught.value.detail


def take_away(store):
    """What the room does when others need it."""
    for folder in ("", "pet"):
        (store.root / folder / f"{CASE}.nii.gz").unlink()
    store.refresh()


def cut_off(store):
    store.mirror.web = store.mirror.listing._web = WebClient("http://127.0.0.1:9/dicom-web", Credentials())
    store._asked = -1000.0


def test_cases_are_listed_before_their_images_are_fetched(store):
    assert store.list_images() == store.get_unlabeled_images() == [CASE]
    assert store.status() == {"total": 1, "completed": 0, "label_tags": {}}
    assert not list(store.root.glob("*.nii.gz"))


@pytest.mark.parametrize("uid", [CASE, PET])
def test_case_is_found_by_any_of_its_series(store, uid):
    path = Path(store.get_image_uri(uid))

    np.testing.assert_array_equal(np.sort(read_volume(path).array, axis=None), np.sort(body(), axis=None))
    info = store.get_image_info(uid)
    assert (info["SeriesInstanceUID"], info["path"]) == (CASE, str(path))
    assert info["StudyDate"] == "20200102" and info["warnings"] == []


def test_series_that_nobody_knows_is_a_404_and_a_502_while_the_pacs_is_away(store):
    store._asked = -1000.0
    assert refusal(store.get_image_uri, "1.2.3")[0] == 404
    cut_off(store)
    status, detail = refusal(store.get_image_uri, "1.2.3")
    assert status == 502 and "series 1.2.3 is not known here, and the PACS at 127.0.0.1:9 cannot" in detail
    assert refusal(store.get_image_uri, "1.2.3") == (status, detail)
    status, detail = refusal(store.get_image_uri, CASE)
    assert status == 502 and "cannot be reached" in detail


def test_paths_and_unfit_ids_never_reach_the_pacs(store, monkeypatch):
    monkeypatch.setattr(store, "look", lambda: pytest.fail("the PACS was asked"))

    assert refusal(store.get_image_uri, "../etc/passwd")[0] == 422


def test_case_that_arrives_at_the_pacs_is_found_when_it_is_asked_for(pacs, tmp_path):
    empty(pacs)
    store = fresh_store(pacs, tmp_path / "mirror")
    assert store.list_images() == []

    store_study(pacs, tmp_path / "late")
    store._asked = -1000.0
    assert Path(store.get_image_uri(CASE)).is_file()


def test_images_cannot_be_added_or_removed_here(store, tmp_path):
    assert refusal(store.add_image, "x", "x.nii.gz", {}) == (
        409,
        "the cases of this server are those of its PACS: send the images to the PACS",
    )
    assert refusal(store.remove_image, CASE)[0] == 409


def test_labels_and_what_is_known_of_them_stay_when_images_give_way(pacs, store, tmp_path):
    submit(store, tmp_path, [(1, NODES[0])])
    before = store.get_label_info(CASE, "final")
    take_away(store)

    for again in (store, fresh_store(pacs, tmp_path / "mirror", look=False)):
        assert again.get_labeled_images() == [CASE]
        assert again.get_label_info(CASE, "final") == before and before["by"] == "Anna Nadel"
        assert Path(again.get_label_uri(CASE, "final")).is_file()


def test_case_that_left_the_pacs_keeps_its_place_and_labels(pacs, store, tmp_path):
    submit(store, tmp_path, [(1, NODES[0])])
    empty(pacs)
    store.look()
    take_away(store)

    assert store.get_labeled_images() == [CASE]
    assert "is not on the PACS any more" in refusal(store.get_image_uri, CASE)[1]


def test_training_and_archive_find_the_images_of_approved_cases(store, tmp_path):
    submit(store, tmp_path, [(1, NODES[0])])
    take_away(store)

    with store.at_hand(lambda sentence: None):
        assert (store.root / f"{CASE}.nii.gz").is_file()
    take_away(store)
    with zipfile.ZipFile(store.get_dataset_archive(None)) as archive:
        assert f"image/{CASE}.nii.gz" in archive.namelist()


def test_training_goes_without_images_that_cannot_be_fetched_and_says_so(store, tmp_path):
    submit(store, tmp_path, [(1, NODES[0])])
    take_away(store)
    cut_off(store)
    said = []

    with store.at_hand(said.append):
        assert not (store.root / f"{CASE}.nii.gz").exists()
    assert said[-1].startswith(f"goes without case {CASE}: the PACS at 127.0.0.1:9 cannot be reached")


def test_reply_to_a_submission_says_where_the_label_is(store, tmp_path):
    submit(store, tmp_path, [(1, NODES[0])])

    assert store.about_delivery(CASE)["pacs"] == {
        "waiting": 1,
        "last_error": "",
        "message": "The label is kept here and on its way to the PACS.",
    }


def test_nodes_of_a_structure_set_count_as_approved_once_the_case_is_fetched(pacs, tmp_path):
    empty(pacs)
    store_study(pacs, tmp_path / "nodes", named=regions())
    store = fresh_store(pacs, tmp_path / "mirror")
    assert store.get_unlabeled_images() == [CASE]
    store.get_image_uri(CASE)
    store.refresh()

    assert store.get_labeled_images() == [CASE]
