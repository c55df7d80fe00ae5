"""Submitted labels that still hold the candidates that stage two rejected."""

import numpy as np
import pytest

from lib.store.datastore import OslnDatastore
from small.store import NODE, make_case, tumor, write
from small.submissions import OTHER, nodes, refused, stored, submit


@pytest.fixture
def store(tmp_path):
    make_case(tmp_path / "store", "one", gtv=False)
    return OslnDatastore(tmp_path / "store")


def test_a_segment_of_rejected_candidates_never_becomes_approved_nodes(store, tmp_path):
    label = nodes(NODE) + nodes(OTHER, value=2)
    report = submit(store, tmp_path, label, ["lymph node", "rejected candidate"])
    assert report["nodes"]["added"] == 1
    assert "rejected candidates were left out" in report["message"] and len(report["warnings"]) == 1
    np.testing.assert_array_equal(stored(store), nodes(NODE))
    assert report["tumor"] == "absent" and not store.label_path("one", "gtv").exists()


def test_rejected_candidates_are_left_out_however_slicer_numbers_them(store, tmp_path):
    label = nodes(OTHER) + nodes(NODE, value=2) + 3 * tumor()
    report = submit(store, tmp_path, label, ["rejected candidate", "lymph node", "tumor"])
    assert report["nodes"]["added"] == 1 and report["tumor"] == "updated"
    np.testing.assert_array_equal(stored(store), nodes(NODE))
    np.testing.assert_array_equal(stored(store, "gtv"), tumor())


def test_an_empty_node_segment_beside_rejected_candidates_approves_a_patient_without_nodes(store, tmp_path):
    report = submit(store, tmp_path, nodes(OTHER, value=2), ["lymph node", "rejected candidate"])
    assert report["revision"] == 1 and not stored(store).any()


def test_rejected_candidates_alone_say_nothing_about_nodes(store, tmp_path):
    detail = refused(store, tmp_path, nodes(OTHER), ["rejected candidate"])
    assert "rejected candidates only" in detail and "'lymph node'" in detail
    report = submit(store, tmp_path, nodes(OTHER) + 2 * tumor(), ["rejected candidate", "tumor"])
    assert report["tumor"] == "updated" and report["nodes"]["added"] == 0
    assert store.get_label_uri("one", "gtv")


def test_a_nameless_prediction_with_rejected_candidates_does_not_replace_the_tumor(store, tmp_path):
    submit(store, tmp_path, tumor(), tag="gtv")
    detail = refused(store, tmp_path, nodes(NODE) + nodes(OTHER, value=2))
    assert "without label_info the value 2 means tumor" in detail and "'rejected candidate'" in detail
    np.testing.assert_array_equal(stored(store, "gtv"), tumor())
    grown = tumor()
    grown[24, 16:20, 10:14] = 1
    assert submit(store, tmp_path, nodes(NODE) + 2 * grown)["tumor"] == "updated"


def test_rejected_candidates_of_the_prediction_are_no_former_nodes(store, tmp_path):
    path = write(tmp_path / "prediction.nii.gz", nodes(NODE) + nodes(OTHER, value=2))
    names = {"lymph node": 1, "rejected candidate": 2}
    store.save_label("one", str(path), "original", {"params": {"label_names": names}})
    report = submit(store, tmp_path, nodes(NODE), ["lymph node"])
    assert report["nodes"] == {"added": 0, "removed": 0, "changed": 0, "unchanged": 1}
