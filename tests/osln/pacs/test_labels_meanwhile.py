"""A label that is stored while its case is being fetched: the fetch leaves it alone."""

import nibabel as nib
import numpy as np
import pytest

from lib.store.history import restore
from osln.store.revisions import label_revisions
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
