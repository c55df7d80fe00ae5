"""Labels that were copied into the folder are looked at: whether they fit, and whether they have a CT."""

import numpy as np
import pytest

from lib.store.datastore import OslnDatastore
from lib.store.history import history
from lib.store.worklist import worklist
from small.parts import submit_in_part
from small.store import AFFINE_LPS, make_case, tumor, write


@pytest.fixture
def root(tmp_path):
    for case in ("one", "two"):
        make_case(tmp_path, case)
    write(tmp_path / "labels" / "final" / "one.nii.gz", tumor())
    write(tmp_path / "labels" / "final" / "two.nii.gz", tumor()[:, :, :-2])
    return tmp_path


def warnings_of(store, case):
    return next(one["warnings"] for one in worklist(store) if one["case"] == case)


def test_a_label_of_another_size_is_told_until_one_that_fits_takes_its_place(root, caplog):
    store = OslnDatastore(root)
    (warning,) = warnings_of(store, "two")
    assert warning.startswith("the label final/two.nii.gz does not lie on the CT's voxels (shape ")
    assert warnings_of(store, "one") == [] and store.left_out == [f"two: {warning}"]
    assert caplog.text.count("does not lie on the CT's voxels") == 1

    # Another start of the server tells it from the index.
    assert warnings_of(OslnDatastore(root), "two") == [warning]
    write(root / "labels" / "final" / "two.nii.gz", tumor())
    store.refresh()
    assert warnings_of(store, "two") == [] == store.left_out


def test_a_label_in_the_same_place_whose_axes_run_otherwise_fits(root):
    flipped = AFFINE_LPS @ np.diag([-1.0, 1, 1, 1])
    flipped[:3, 3] = (AFFINE_LPS @ [tumor().shape[0] - 1, 0, 0, 1])[:3]
    write(root / "labels" / "final" / "two.nii.gz", tumor()[::-1], flipped)
    assert OslnDatastore(root).left_out == []


def test_a_label_that_is_no_image_is_told(root):
    (root / "labels" / "gtv" / "one.nii.gz").write_bytes(b"nothing")
    told = OslnDatastore(root).left_out
    assert any(one.startswith("one: the label gtv/one.nii.gz cannot be read: ") for one in told)


def test_a_label_without_a_ct_is_told_and_no_longer_when_the_ct_comes(root):
    write(root / "labels" / "final" / "three.nii.gz", tumor())
    store = OslnDatastore(root)
    assert (
        "labels/final/three.nii.gz has no CT three.nii.gz beside the others: add it, or take the label away"
        in (store.left_out)
    )
    make_case(root, "three")
    store.refresh()
    assert not any("three" in one for one in store.left_out)


def test_a_label_that_has_become_a_revision_is_told_and_looked_at_as_before(root):
    store = OslnDatastore(root)
    (warning,) = warnings_of(store, "two")
    with store.transaction():
        store._datastore.objects["one"].labels["final"].info["client_id"] = "berta"
        store._update_datastore_file()
    assert [history(store, case)[0]["source"] for case in ("one", "two")] == ["external", "external"]

    for seen in (store, OslnDatastore(root)):
        rows = [(row["by"], row["revision"], row["warnings"]) for row in worklist(seen)]
        assert rows == [("berta", 1, []), ("unknown", 1, [warning])]
    # The next one is no work of hers.
    write(root / "labels" / "final" / "one.nii.gz", tumor()[:, :, :-1])
    history(store, "one")
    row = worklist(store)[0]
    assert (row["by"], row["revision"], len(row["warnings"])) == ("unknown", 2, 1)
    write(root / "labels" / "final" / "two.nii.gz", tumor())
    store.refresh()
    assert warnings_of(store, "two") == []


@pytest.mark.parametrize("file", ["labels/final/one.nii.gz", "one.nii.gz"])
def test_a_label_or_a_ct_that_went_away_and_came_back_leaves_its_label_the_revision_it_was(root, file):
    store = OslnDatastore(root)
    with store.revisions("one", "final").lock():
        store.revisions("one", "final").settle()
    head = submit_in_part(root, "one", undecided=[[[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]]])
    store.catch_up("one", "final")
    at = store.get_label_info("one", "final")["ts"]
    (root / file).rename(root / "away")
    store.refresh()
    assert "one" not in store.get_labeled_images()
    (root / "away").rename(root / file)
    store.refresh()
    row = worklist(store)[0]
    told = (row["state"], row["by"], row["revision"], row["undecided"])
    assert told == ("partly", "anna", head.revision, 1)
    assert store.get_label_info("one", "final")["ts"] == at
    assert store.get_label_info("one", "final")["name"] == "one.nii.gz"


def test_a_look_at_the_folder_reads_no_revisions_of_labels_that_it_knows(root, monkeypatch):
    make_case(root, "three")
    store = OslnDatastore(root)
    history(store, "one")
    asked = []
    monkeypatch.setattr(OslnDatastore, "missed", lambda _, *label: asked.append(label))
    store.refresh()
    assert asked == []
    write(root / "labels" / "final" / "three.nii.gz", tumor())
    store.refresh()
    assert asked == [("three", "final")]
