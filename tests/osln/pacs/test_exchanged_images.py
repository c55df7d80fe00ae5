"""A CT whose images the PACS exchanges after it was labeled: a label goes with those it was drawn on."""

import json

import nibabel as nib
import numpy as np
import pytest
from fastapi import HTTPException

from osln.pacs import exporting
from osln.pacs import mirror as pacs_mirror
from osln.store.revisions import label_revisions
from small.deliveries import NODES, label, segs, send, submit
from small.dicom import AXIAL, body, ct_slices, uid
from small.meanwhile import meanwhile
from small.memory_pacs import memory_pacs
from small.pacs import CASE, fresh_store
from small.study import pet


@pytest.fixture
def pacs():
    with memory_pacs(ct_slices()) as server:
        yield server


@pytest.fixture
def store(pacs, tmp_path):
    store = fresh_store(pacs, tmp_path / "mirror")
    submit(store, tmp_path, [(1, NODES[0])])
    return store


def others():
    """As many images of another content in the same places."""
    slices = ct_slices(body()[:, ::-1].copy())
    for number, one in enumerate(slices):
        one.SOPInstanceUID = uid(f"another {number}")
    return slices


def voxels(store):
    return np.asarray(nib.load(store.get_image_uri(CASE)).dataobj)


def gives_way(store):
    (store.root / f"{CASE}.nii.gz").unlink()
    store.refresh()


def test_images_that_gave_way_are_not_replaced_by_others(pacs, store):
    gives_way(store)
    pacs.objects = others()
    store.look()

    with pytest.raises(
        HTTPException, match="has 12 images on the PACS now that are not the 12 that"
    ) as caught:
        store.get_image_uri(CASE)
    assert caught.value.status_code == 502 and not (store.root / f"{CASE}.nii.gz").exists()
    assert send(store) == 0 and segs(pacs) == []
    assert "are not those that were labeled" in store.waiting()["last_error"]


def test_former_images_that_come_back_are_fetched_and_the_label_is_sent(pacs, store, monkeypatch):
    gives_way(store)
    former, pacs.objects = pacs.objects, others()
    store.look()
    monkeypatch.setattr(pacs_mirror, "ASK_AGAIN_S", 0.0)
    with pytest.raises(HTTPException):
        store.get_image_uri(CASE)

    pacs.objects = former
    np.testing.assert_array_equal(voxels(store), body())
    assert send(store) == 1


def test_exchanged_ct_is_not_asked_about_with_each_request(pacs, store):
    gives_way(store)
    pacs.objects = others()
    store.look()
    pacs.asked.clear()

    for _ in range(3):
        with pytest.raises(HTTPException):
            store.get_image_uri(CASE)
    assert len(pacs.asked) == 1


def test_pet_that_arrives_does_not_bring_other_images_of_the_ct(pacs, store):
    before = voxels(store)
    pacs.objects = [*others(), *pet(AXIAL @ np.diag([2.0, 2.0, 2.0, 1.0]))]
    store.look()

    np.testing.assert_array_equal(voxels(store), before)
    assert "are not the 12 that its labels were drawn on" in store.get_image_info(CASE)["warnings"][-1]
    assert send(store) == 0 and segs(pacs) == []


def test_same_images_are_fetched_again_beside_a_new_pet(pacs, store):
    pacs.objects += pet(AXIAL @ np.diag([2.0, 2.0, 2.0, 1.0]))
    store.look()
    gives_way(store)

    np.testing.assert_array_equal(voxels(store), body())
    assert (store.root / "pet" / f"{CASE}.nii.gz").is_file() and send(store) == 1


def test_a_pet_that_was_corrected_on_the_pacs_comes_when_the_ct_here_is_taken_away(pacs, store):
    wide = AXIAL @ np.diag([2.0, 2.0, 2.0, 1.0])
    images, before = list(pacs.objects), label_revisions(store.root, CASE, "final").head()
    pacs.objects = images + pet(wide)
    store.look()
    store.get_image_uri(CASE)

    def highest():
        return np.asarray(nib.load(store.root / "pet" / f"{CASE}.nii.gz").dataobj).max()

    former = highest()
    pacs.objects = images + pet(wide, PatientWeight="35")
    store.look()
    store.get_image_uri(CASE)
    assert highest() == former, "the PACS lists UIDs and numbers alone"

    gives_way(store)
    store.get_image_uri(CASE)
    assert highest() == pytest.approx(former / 2, rel=1e-4)
    assert label_revisions(store.root, CASE, "final").head() == before


def test_label_goes_with_the_images_it_was_drawn_on_whatever_was_fetched_since(pacs, store, tmp_path):
    """As a former version left it: the manifest tells of images that were fetched after the label."""
    pacs.objects = others()
    store.look()
    other = fresh_store(pacs, tmp_path / "other")
    other.get_image_uri(CASE)
    for path in (other.root / ".osln" / "import").glob("*.json"):
        (store.root / ".osln" / "import" / path.name).write_bytes(path.read_bytes())

    assert label_revisions(store.root, CASE, "final").head().images
    assert send(store) == 0 and segs(pacs) == []


def test_revision_of_a_former_version_goes_by_what_was_fetched_last(pacs, store):
    head = store.root / ".osln" / CASE / "head.json"
    for path in (head, head.with_name("0001.json")):
        noted = json.loads(path.read_text())
        del noted["images"]
        path.write_text(json.dumps(noted))
    assert label_revisions(store.root, CASE, "final").head().images == ""

    assert send(store) == 1


def test_label_of_images_that_were_exchanged_meanwhile_is_taken(pacs, store, tmp_path):
    file = label(store, [(1, NODES[1])], tmp_path)
    gives_way(store)
    pacs.objects = others()
    store.look()

    store.save_label(CASE, str(file), "final", {"label_info": [{"name": "lymph node", "idx": 1}]})
    assert label_revisions(store.root, CASE, "final").head().revision == 2


def test_unlabeled_ct_that_was_exchanged_is_fetched_anew(pacs, tmp_path):
    store = fresh_store(pacs, tmp_path / "unlabeled")
    store.get_image_uri(CASE)
    gives_way(store)
    pacs.objects = others()
    store.look()

    np.testing.assert_array_equal(voxels(store), body()[:, ::-1])


def test_an_export_refers_to_the_images_of_the_revision_that_it_gives(pacs, store, tmp_path, monkeypatch):
    images = []
    real = exporting.series_on_pacs
    monkeypatch.setattr(
        exporting, "series_on_pacs", lambda mirror, case, on: images.append(on) or real(mirror, case, on)
    )
    later = [(1, NODES[0]), (1, NODES[1])]
    meanwhile(monkeypatch, exporting, "approved", lambda: submit(store, tmp_path, later))
    made = exporting.export_stored(store.mirror, CASE, "final", "seg")
    assert len(made.SegmentSequence) == 2 and len(images) == 2, "looked up again for the later revision"
