"""Ten nodes that touch each other are ten nodes from the viewer to the store and back."""

import nibabel as nib
import numpy as np
import pytest

from lib.store.datastore import OslnDatastore
from osln.files.images import split_suffix
from osln.imaging.single_nodes import single_nodes
from osln.store.approved import approved_study
from osln.store.layout import companions, file_marks
from osln.store.revisions import NODES
from small.store import NODE, make_case, write
from small.submissions import OTHER, nodes, stored, submit

TEN = [np.s_[6 + 2 * n : 8 + 2 * n, 20:23, 8:10] for n in range(10)]
"""Ten boxes of 12 voxels, each beside the next."""
NAMES = [f"lymph node {number}" for number in range(1, 11)]


def ten():
    return sum(nodes(box, value=number) for number, box in enumerate(TEN, 1))


@pytest.fixture
def store(tmp_path):
    make_case(tmp_path / "store", "one")
    return OslnDatastore(tmp_path / "store")


def counts(report):
    return list(report["nodes"].values())


def learned(store):
    """Sizes of the nodes that training sees."""
    study = approved_study(companions(store.root, "one"))
    return sorted(np.bincount(study.nodes.array[study.nodes.array > 0].ravel())[1:].tolist())


def node_map(store, revision):
    return np.asarray(nib.load(store.revisions("one", "final").node_map(revision)).dataobj)


def test_ten_segments_that_touch_are_ten_nodes_and_viewers_get_one_value(store, tmp_path):
    report = submit(store, tmp_path, ten(), NAMES)

    assert counts(report) == [10, 0, 0, 0]
    assert store.revisions("one", "final").head().counts == {"nodes": 10, "voxels": 120}
    np.testing.assert_array_equal(node_map(store, 1), ten())
    np.testing.assert_array_equal(stored(store), ten() > 0)
    assert learned(store) == [12] * 10


def test_an_unchanged_submission_with_one_value_keeps_ten_nodes(store, tmp_path):
    submit(store, tmp_path, ten(), NAMES)
    marks = file_marks(companions(store.root, "one"))
    report = submit(store, tmp_path, stored(store), ["lymph node"])

    assert counts(report) == [0, 0, 0, 10] and "warnings" not in report
    assert report["unchanged"] is True and report["revision"] == 1
    assert single_nodes(node_map(store, 1))[1] == 10 and learned(store) == [12] * 10
    assert file_marks(companions(store.root, "one")) == marks


def test_where_one_value_was_redrawn_only_that_node_changes_and_it_is_told(store, tmp_path):
    submit(store, tmp_path, ten(), NAMES)
    redrawn = stored(store).copy()
    redrawn[np.s_[12:14, 23, 8:10]] = 1
    report = submit(store, tmp_path, redrawn, ["lymph node"])

    assert counts(report) == [0, 0, 1, 9]
    assert "10 nodes that touch were redrawn and stay apart" in report["message"]
    assert learned(store) == [12] * 9 + [16]


def test_segments_of_their_own_join_and_divide_nodes_although_the_mask_is_the_same(store, tmp_path):
    submit(store, tmp_path, ten(), NAMES)
    marks = file_marks(companions(store.root, "one"))
    joined = (ten() == 1) | (ten() == 2)
    sent = np.where(joined, 1, 2 * (ten() > 0)).astype(np.uint8)
    report = submit(store, tmp_path, sent, ["lymph node 1", "lymph node"])

    assert counts(report) == [0, 0, 1, 8] and learned(store) == [12] * 8 + [24]
    assert file_marks(companions(store.root, "one")) != marks, "what was prepared from it is prepared anew"
    assert counts(submit(store, tmp_path, ten(), NAMES)) == [0, 0, 2, 8]


def test_revisions_without_a_map_are_told_apart_by_gaps(store, tmp_path):
    submit(store, tmp_path, nodes(NODE, OTHER), ["lymph node"])
    (store.root / ".osln" / "one" / f"0001{NODES}").unlink()
    assert learned(store) == [18, 24]
    assert counts(submit(store, tmp_path, nodes(NODE, OTHER), ["lymph node"])) == [0, 0, 0, 2]


def test_nodes_of_an_import_stay_apart_when_they_are_approved(store, tmp_path):
    write(store.root / "labels" / "final" / "one.nii.gz", (ten() > 0).astype(np.uint8))
    write(store.root / "nodes" / "one.nii.gz", ten())
    assert learned(store) == [12] * 10
    assert counts(submit(store, tmp_path, (ten() > 0).astype(np.uint8), ["lymph node"])) == [0, 0, 0, 10]


def test_a_label_that_was_copied_into_the_store_is_told_apart_by_its_own_values(store, tmp_path):
    submit(store, tmp_path, (ten() > 0).astype(np.uint8), ["lymph node"])
    assert learned(store) == [120]
    write(store.root / "labels" / "final" / "one.nii.gz", ten())
    assert learned(store) == [12] * 10


def test_the_map_of_an_import_goes_with_its_case(store):
    write(store.root / "nodes" / "one.nii.gz", ten())
    store.remove_image("one")
    assert not [path for path in (store.root / "nodes").iterdir() if split_suffix(path)[0] == "one"]


def test_what_an_eraser_left_is_told(store, tmp_path):
    submit(store, tmp_path, nodes(np.s_[6:10, 20:23, 8:11]))
    report = submit(store, tmp_path, nodes(np.s_[6:8, 20:21, 8:10]))
    assert "1 of the nodes is what is left of a larger one" in report["message"]
    assert store.revisions("one", "final").head().counts == {"nodes": 1, "voxels": 4, "crumbs": 1}
    again = submit(store, tmp_path, nodes(np.s_[6:8, 20:21, 8:10], np.s_[20:23, 20:23, 8:10]))
    assert "left of a larger" not in again["message"]
