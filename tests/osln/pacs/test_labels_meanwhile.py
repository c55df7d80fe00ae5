"""A label that is stored while its case is being fetched: the fetch leaves it alone."""

import nibabel as nib
import numpy as np
import pytest
from fastapi import HTTPException

from lib.store import labels
from lib.store.history import restore
from lib.store.worklist import worklist
from osln.pacs import returning
from osln.store.approved import approved_study
from osln.store.layout import companions
from osln.store.revisions import DiskFullError, Revisions, label_revisions
from small.deliveries import NODES, of, send, submit
from small.dicom import ct_slices, structure_set
from small.memory_pacs import memory_pacs
from small.pacs import CASE, fresh_store
from small.study import regions


@pytest.fixture
def pacs():
    with memory_pacs(ct_slices()) as server:
        yield server


def draw(pacs):
    """The PACS gets a structure set with a tumor and two nodes."""
    pacs.objects.append(structure_set(ct_slices(), regions()))


def while_fetching(pacs, act):
    """Calls `act` once, when the images of the CT are asked for."""

    def instead(handler, path):
        if path.startswith("studies/") and path.endswith(f"series/{CASE}"):
            pacs.instead = None
            act()
        return False

    pacs.instead = instead


def final(store):
    """Voxels of the nodes that others read, and who made each revision, after the next visit."""
    kept = label_revisions(store.root, CASE, "final")
    with kept.lock():
        kept.settle()
    return np.asarray(nib.load(kept.final).dataobj), [revision.by for revision in kept.history()]


def test_tumor_of_another_server_is_not_replaced_by_who_knows_older_nodes_alone(pacs, tmp_path):
    first = fresh_store(pacs, tmp_path / "first")
    submit(first, tmp_path, [(1, NODES[0]), (2, NODES[1])])
    assert send(first) == 2
    moved = [(1, NODES[0]), (2, (slice(12, 15), *NODES[1][1:]))]
    here = fresh_store(pacs, tmp_path / "here")
    submit(here, tmp_path, [(1, NODES[0])], by="Ben")
    here.take_labels()
    with pytest.raises(HTTPException) as refused:
        submit(here, tmp_path, moved, by="Ben", base_revision=1)
    assert refused.value.status_code == 409 and "base_revision alone" in refused.value.detail
    np.testing.assert_array_equal(np.asarray(nib.load(here.get_label_uri(CASE, "gtv")).dataobj), of(NODES[1]))
    # Nodes and tumor that came together were seen together.
    there = fresh_store(pacs, tmp_path / "there")
    there.take_labels()
    submit(there, tmp_path, moved, by="Ben", base_revision=1)
    np.testing.assert_array_equal(
        np.asarray(nib.load(there.get_label_uri(CASE, "gtv")).dataobj), of(moved[1][1])
    )


def test_label_that_is_taken_from_the_pacs_while_its_case_is_fetched_stays(pacs, tmp_path):
    first = fresh_store(pacs, tmp_path / "first")
    submit(first, tmp_path, [(1, NODES[0])])
    assert send(first) == 1
    draw(pacs)
    fresh = fresh_store(pacs, tmp_path / "fresh")
    while_fetching(pacs, fresh.take_labels)
    fresh.mirror.ensure(CASE)

    voxels, authors = final(fresh)
    np.testing.assert_array_equal(voxels, of(NODES[0]))
    assert authors == ["Anna Nadel"]
    assert "a label of the nodes was stored while" in fresh.get_image_info(CASE)["warnings"][-1]


def test_label_that_is_submitted_while_its_case_is_fetched_anew_stays(pacs, tmp_path):
    store = fresh_store(pacs, tmp_path / "mirror")
    store.mirror.ensure(CASE)
    draw(pacs)
    store.look()
    ensure = store.mirror.ensure

    def while_somebody_else_fetches():
        store.mirror.ensure = lambda case: None
        submit(store, tmp_path, [(1, NODES[0])])

    while_fetching(pacs, while_somebody_else_fetches)
    ensure(CASE)

    voxels, authors = final(store)
    np.testing.assert_array_equal(voxels, of(NODES[0]))
    assert authors == ["Anna Nadel"]


def test_older_revision_is_restored_where_the_images_have_given_way(pacs, tmp_path):
    store = fresh_store(pacs, tmp_path / "mirror")
    submit(store, tmp_path, [(1, NODES[0])])
    submit(store, tmp_path, [(1, NODES[1])])
    (store.root / f"{CASE}.nii.gz").unlink()
    restore(store, CASE, number=1, base=2, annotator="Berta")

    voxels, authors = final(store)
    np.testing.assert_array_equal(voxels, of(NODES[0]))
    assert authors == ["Berta", "Anna Nadel", "Anna Nadel"]


def exchange(pacs, root):
    """The CT has one image less on the PACS, and somebody fetches it."""
    pacs.objects[:] = ct_slices()[:-1]
    fresh_store(pacs, root).mirror.ensure(CASE)


def test_label_whose_images_are_exchanged_before_it_is_stored_is_a_conflict(pacs, tmp_path, monkeypatch):
    store = fresh_store(pacs, tmp_path / "mirror")
    store.mirror.ensure(CASE)
    lock_and_store = labels._lock_and_store

    def after_a_fetch(*args):
        exchange(pacs, store.root)
        return lock_and_store(*args)

    monkeypatch.setattr(labels, "_lock_and_store", after_a_fetch)
    with pytest.raises(HTTPException, match="got other images while its label was sent; nothing") as error:
        submit(store, tmp_path, [(1, NODES[0])])
    assert error.value.status_code == 409 and store.get_labeled_images() == []
    monkeypatch.undo()
    submit(store, tmp_path, [(1, NODES[0])])
    assert approved_study(companions(store.root, CASE)).nodes.array.sum() == of(NODES[0]).sum()
    assert send(store) == 1


def test_label_of_images_that_are_fetched_with_its_submission_is_stored(pacs, tmp_path):
    store = fresh_store(pacs, tmp_path / "mirror")
    label = tmp_path / "label.nii.gz"
    submit(fresh_store(pacs, tmp_path / "viewer"), tmp_path, [(1, NODES[0])])
    assert not (store.root / f"{CASE}.nii.gz").exists()
    store.save_label(CASE, str(label), "final", {"label_info": [{"name": "lymph node", "idx": 1}]})
    assert label_revisions(store.root, CASE, "final").head().images


def test_label_on_the_pacs_whose_images_are_exchanged_before_it_is_taken_waits(pacs, tmp_path, monkeypatch):
    first = fresh_store(pacs, tmp_path / "first")
    submit(first, tmp_path, [(1, NODES[0])])
    assert send(first) == 1
    fresh, read_seg = fresh_store(pacs, tmp_path / "fresh"), returning.read_seg

    def after_a_fetch(*args):
        exchange(pacs, fresh.root)
        return read_seg(*args)

    monkeypatch.setattr(returning, "read_seg", after_a_fetch)
    fresh.take_labels()
    assert fresh.get_labeled_images() == []


def test_label_that_was_put_there_is_told_where_none_of_the_pacs_can_be_stored(pacs, tmp_path, monkeypatch):
    first = fresh_store(pacs, tmp_path / "first")
    submit(first, tmp_path, [(1, NODES[0])])
    assert send(first) == 1
    draw(pacs)
    fresh, submit_to = fresh_store(pacs, tmp_path / "fresh"), Revisions.submit
    fresh.mirror.ensure(CASE)
    fresh.refresh()

    def full(kept, data, **about):
        if about["source"] == "pacs":
            raise DiskFullError("the disk is full")
        return submit_to(kept, data, **about)

    monkeypatch.setattr(Revisions, "submit", full)
    fresh.take_labels()
    (row,) = worklist(fresh)
    assert (row["state"], row["by"], row["revision"]) == ("approved", "unknown", 1)
