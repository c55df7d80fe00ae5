"""Submitted labels: names, tumor, revisions, refusals, and what the annotator is told."""

import gzip
import json

import nibabel as nib
import numpy as np
import pytest
from fastapi import HTTPException

from lib.store import labels
from lib.store.datastore import OslnDatastore
from lib.store.history import history, restore
from lib.store.reports import report_for
from lib.store.shown_labels import shown_label
from osln.imaging.grid import read_volume
from osln.store import revisions
from osln.store.final_copy import FinalCopy
from small.segmentation import segmentation
from small.store import AFFINE_LPS, NODE, SHAPE, make_case, tumor, write
from small.submissions import OTHER, nodes, refused, stored, submit


@pytest.fixture
def store(tmp_path):
    make_case(tmp_path / "store", "one", gtv=False)
    return OslnDatastore(tmp_path / "store")


def test_the_first_submission_is_stored_on_the_cts_grid_and_counted(store, tmp_path):
    report = submit(store, tmp_path, nodes(NODE, OTHER), ["lymph node"])
    assert report["nodes"] == {"added": 2, "removed": 0, "changed": 0, "unchanged": 0}
    assert report["revision"] == report["nodes_revision"] == 1
    assert report["tumor"] == "absent"
    assert report["message"] == "Stored as revision 1. 2 nodes.", "there is nothing to compare them with"
    image = nib.load(store.get_label_uri("one", "final"))
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_allclose(image.affine, AFFINE_LPS)
    np.testing.assert_array_equal(stored(store), nodes(NODE, OTHER))


def test_a_correction_is_compared_with_the_former_label_and_keeps_it(store, tmp_path):
    submit(store, tmp_path, nodes(NODE, OTHER), ["lymph node"])
    grown = (slice(10, 15), *NODE[1:])
    report = submit(store, tmp_path, nodes(grown), ["lymph node"], client_id="ben")
    assert report["nodes"] == {"added": 0, "removed": 1, "changed": 1, "unchanged": 0}
    told = (
        "Stored as revision 2. 1 node; compared with revision 1: 0 new, 1 left out, 1 changed, 0 unchanged."
    )
    assert report["message"] == told
    history = store.revisions("one", "final").history()
    assert [(r.revision, r.by, r.base, r.counts["nodes"]) for r in history] == [
        (2, "ben", 1, 1),
        (1, "anna", None, 2),
    ]


def test_without_an_approved_label_the_prediction_is_what_was_corrected(store, tmp_path):
    submit(store, tmp_path, nodes(NODE, OTHER), tag="original", label_names={"lymph node": 1})
    report = submit(store, tmp_path, nodes(NODE), ["lymph node"])
    assert report["nodes"] == {"added": 0, "removed": 1, "changed": 0, "unchanged": 1}
    compared = "1 node; compared with the prediction: 0 new, 1 left out, 0 changed, 1 unchanged."
    assert report["message"] == f"Stored as revision 1. {compared}"


def test_values_that_slicer_renumbered_are_read_by_name(store, tmp_path):
    label = nodes(NODE, value=2) + tumor()
    report = submit(store, tmp_path, label, ["tumor", "lymph node"])
    assert report["tumor"] == "updated"
    np.testing.assert_array_equal(stored(store), nodes(NODE))
    np.testing.assert_array_equal(stored(store, "gtv"), tumor())


def test_the_tumor_s_contour_is_not_stored_as_nodes(store, tmp_path):
    submit(store, tmp_path, nodes(NODE) + 2 * tumor())
    assert "is the contour of the primary tumor" in refused(store, tmp_path, tumor(), ["lymph node"])
    np.testing.assert_array_equal(stored(store), nodes(NODE))


def test_the_nodes_are_not_stored_as_the_tumor_s_contour(store, tmp_path):
    submit(store, tmp_path, tumor(), ["lymph node"])
    told = "the tumor that was sent is what revision 1 has as lymph nodes"
    assert told in refused(store, tmp_path, tumor(), tag="gtv")
    assert told in refused(store, tmp_path, 2 * tumor(), ["lymph node", "tumor"])
    assert store.revisions("one", "gtv").head() is None
    # Both at once: what was a node is the tumor now.
    submit(store, tmp_path, nodes(NODE) + 2 * tumor(), ["lymph node", "tumor"])
    np.testing.assert_array_equal(stored(store, "gtv"), tumor())
    with pytest.raises(ValueError, match="is the contour of the primary tumor"):
        restore(store, "one", 1, 2, "anna")
    np.testing.assert_array_equal(stored(store), nodes(NODE))


def test_single_nodes_as_segments_of_their_own_become_one_label(store, tmp_path):
    label = nodes(NODE) + nodes(OTHER, value=2)
    submit(store, tmp_path, label, ["Lymph Node_1", "lymph node 2"])
    np.testing.assert_array_equal(stored(store), nodes(NODE, OTHER))


def test_names_and_values_work_without_any_label_info(store, tmp_path):
    submit(store, tmp_path, nodes(NODE) + 2 * tumor())
    np.testing.assert_array_equal(stored(store), nodes(NODE))
    np.testing.assert_array_equal(stored(store, "gtv"), tumor())


def test_slicers_values_are_positions_when_its_idx_skips_a_segment(store, tmp_path):
    info = [{"name": "lymph node", "idx": 2}, {"name": "lymph node 2", "idx": 3}]
    submit(store, tmp_path, nodes(NODE) + nodes(OTHER, value=2), label_info=info)
    np.testing.assert_array_equal(stored(store), nodes(NODE, OTHER))


def test_other_clients_values_are_their_idx(store, tmp_path):
    info = [{"name": "tumor", "idx": 7}, {"name": "lymph node", "idx": 3}]
    submit(store, tmp_path, nodes(NODE, value=3) + 7 * tumor(), label_info=info)
    np.testing.assert_array_equal(stored(store), nodes(NODE))


def test_segments_without_a_voxel_that_are_no_nodes_do_not_approve_a_patient_without_nodes(store, tmp_path):
    for names in (["tumor"], ["tumor", "Segment_2"], ["background"]):
        detail = refused(store, tmp_path, nodes(), names)
        assert "no node and no tumor" in detail and "an empty segment 'lymph node'" in detail
    assert "no segment was sent" in refused(store, tmp_path, nodes(NODE), label_info=[])
    assert store.get_labeled_images() == []


def test_two_readings_with_different_results_are_refused(store, tmp_path):
    info = [{"name": "lymph node", "idx": 2}, {"name": "tumor", "idx": 3}]
    assert "ambiguous" in refused(store, tmp_path, nodes(NODE, value=2), label_info=info)


def test_an_unknown_segment_is_refused_with_the_known_names_and_nothing_changes(store, tmp_path):
    submit(store, tmp_path, nodes(NODE), ["lymph node"])
    detail = refused(store, tmp_path, nodes(NODE) + nodes(OTHER, value=2), ["lymph node", "liver"])
    assert "'liver'" in detail and "'lymph node'" in detail and "'tumor'" in detail
    np.testing.assert_array_equal(stored(store), nodes(NODE))
    assert store.revisions("one", "final").head().revision == 1


def test_an_unknown_segment_without_voxels_is_no_matter(store, tmp_path):
    assert submit(store, tmp_path, nodes(NODE), ["lymph node", "Segment_2"])["revision"] == 1


def test_values_beyond_the_names_and_beyond_two_are_refused(store, tmp_path):
    assert "value 5" in refused(store, tmp_path, nodes(NODE, value=5), ["lymph node"])
    assert "[5]" in refused(store, tmp_path, nodes(NODE, value=5))


@pytest.mark.parametrize("info", ["lymph node", [1], [{"name": "lymph node", "idx": "one"}]])
def test_label_info_of_another_form_is_refused(store, tmp_path, info):
    assert "label_info must be a list" in refused(store, tmp_path, nodes(NODE), label_info=info)


def test_an_empty_label_approves_a_patient_without_nodes(store, tmp_path):
    report = submit(store, tmp_path, nodes(), ["lymph node"])
    assert report["revision"] == 1
    assert store.get_labeled_images() == ["one"]
    again = submit(store, tmp_path, nodes())
    assert (again["revision"], again["unchanged"]) == (1, True)


def test_drawing_only_the_tumor_does_not_approve_a_patient_without_nodes(store, tmp_path):
    report = submit(store, tmp_path, tumor() * 2, ["lymph node", "tumor"])
    assert report["tumor"] == "updated"
    assert report["nodes_revision"] is None, "the next submission is based on the same nodes as before"
    assert "as before" in report["message"]
    assert store.get_labeled_images() == []
    again = submit(store, tmp_path, tumor() * 2, ["lymph node", "tumor"])
    assert again["tumor"] == "unchanged"
    assert store.get_labeled_images() == ["one"]


def test_a_submission_that_names_only_the_tumor_leaves_the_nodes_alone(store, tmp_path):
    submit(store, tmp_path, nodes(NODE), ["lymph node"])
    submit(store, tmp_path, tumor(), ["tumor"])
    submit(store, tmp_path, tumor(), ["tumor"])
    np.testing.assert_array_equal(stored(store), nodes(NODE))
    assert store.revisions("one", "final").head().revision == 1
    assert store.revisions("one", "gtv").head().revision == 1


def test_the_same_tumor_again_is_no_new_revision_of_it(store, tmp_path):
    label = nodes(NODE) + 2 * tumor()
    submit(store, tmp_path, label)
    assert submit(store, tmp_path, label)["tumor"] == "unchanged"
    larger = submit(store, tmp_path, nodes(NODE, OTHER) + 2 * tumor())
    assert (larger["tumor"], larger["nodes_revision"]) == ("unchanged", 2)
    assert store.revisions("one", "gtv").head().revision == 1


def test_the_tumor_tag_takes_a_mask_of_any_single_value(store, tmp_path):
    report = submit(store, tmp_path, tumor() * 255, tag="gtv")
    assert report["tumor"] == "updated"
    assert report["revision"] == 1
    np.testing.assert_array_equal(stored(store, "gtv"), tumor())
    assert store.get_labeled_images() == []


def test_the_tumor_tag_refuses_nothing_drawn_nodes_and_several_values(store, tmp_path):
    assert "empty" in refused(store, tmp_path, nodes(), tag="gtv")
    assert "use the tag 'final'" in refused(store, tmp_path, nodes(NODE), ["lymph node"], tag="gtv")
    assert "one value" in refused(store, tmp_path, nodes(NODE) + 2 * tumor(), tag="gtv")


def test_a_label_that_was_copied_into_the_store_is_kept_before_it_is_replaced(store, tmp_path):
    write(tmp_path / "store" / "labels" / "final" / "one.nii.gz", nodes(OTHER))
    report = submit(store, tmp_path, nodes(NODE), ["lymph node"])
    assert report["nodes"] == {"added": 1, "removed": 1, "changed": 0, "unchanged": 0}
    history = store.revisions("one", "final").history()
    assert [(r.revision, r.source) for r in history] == [(2, "submission"), (1, "external")]


def test_a_label_whose_ct_was_exchanged_before_it_is_stored_is_a_conflict(store, tmp_path, monkeypatch):
    lock_and_store = labels._lock_and_store

    def after_another_ct(*args):
        path = tmp_path / "store" / "one.nii.gz"
        store.remove_image("one")
        store.add_image("one", str(make_case(tmp_path / "upload", "another", gtv=False)), {})
        assert path.is_file()
        return lock_and_store(*args)

    monkeypatch.setattr(labels, "_lock_and_store", after_another_ct)
    assert "got other images" in refused(store, tmp_path, nodes(NODE), ["lymph node"], status=409)
    assert history(store, "one") == []


def test_a_label_that_was_not_put_in_place_is_told_and_taken_up_by_the_next_start(
    store, tmp_path, monkeypatch
):
    submit(store, tmp_path, nodes(NODE), ["lymph node"])
    with monkeypatch.context() as patch:
        patch.setattr(FinalCopy, "publish", lambda self: (_ for _ in ()).throw(OSError(5, "I/O error")))
        report = submit(store, tmp_path, nodes(OTHER), ["lymph node"])
        np.testing.assert_array_equal(stored(store) > 0, nodes(OTHER) > 0)
        # The nodes of revision 1, which lie there still, are news to the newest label.
        back = submit(store, tmp_path, nodes(NODE), ["lymph node"])
        assert (back["revision"], back["nodes"]["added"], back["nodes"]["removed"]) == (3, 1, 1)
        assert [one["revision"] for one in history(store, "one")] == [3, 2, 1]
        submit(store, tmp_path, nodes(OTHER), ["lymph node"])
    assert report["revision"] == 2 and "could not be replaced (I/O error)" in report["warnings"][-1]
    assert report["warnings"][-1] in report["message"]
    again = OslnDatastore(store.root)
    np.testing.assert_array_equal(
        nib.load(again.label_path("one", "final")).get_fdata() > 0, nodes(OTHER) > 0
    )
    assert again.get_label_info("one", "final")["revision"] == 4


def test_voxels_of_two_nodes_are_told(store, tmp_path):
    over = (slice(11, 15), *NODE[1:])
    drawn = [(0, 1, "lymph node 1"), (1, 1, "lymph node 2")]
    path = segmentation(tmp_path / "l.seg.nrrd", [nodes(NODE), nodes(over)], AFFINE_LPS, drawn)
    store.save_label("one", str(path), "final", {"client_id": "anna"})
    told = report_for("one")
    both = np.count_nonzero((nodes(NODE) > 0) & (nodes(over) > 0))
    assert f"{both} voxels lie in several segments of nodes" in told["warnings"][0]


def test_a_label_of_another_format_beside_the_final_file_must_go_first(store, tmp_path):
    other = tmp_path / "store" / "labels" / "final" / "one.nrrd"
    other.write_bytes(b"")
    assert "holds one.nrrd" in refused(store, tmp_path, nodes(NODE), status=409)
    other.unlink()
    assert submit(store, tmp_path, nodes(NODE))["revision"] == 1


NAMES = ["lymph node", "tumor"]


def other_tumor(by=3):
    return np.roll(tumor(), by, axis=2)


def test_a_newer_tumor_of_somebody_else_is_not_replaced(store, tmp_path):
    first = submit(store, tmp_path, nodes(NODE) + 2 * tumor(), NAMES, base_revision=0, tumor_base_revision=0)
    assert (first["nodes_revision"], first["tumor_revision"]) == (1, 1)
    alone = submit(store, tmp_path, other_tumor(), tag="gtv", client_id="ben", tumor_base_revision=1)
    assert (alone["nodes_revision"], alone["tumor_revision"]) == (None, 2)
    mine = {"base_revision": 1, "tumor_base_revision": 1}
    detail = refused(store, tmp_path, nodes(OTHER) + 2 * other_tumor(1), NAMES, status=409, **mine)
    assert "the tumor was drawn over revision 1 of it, but revision 2 of it was stored by ben" in detail
    np.testing.assert_array_equal(stored(store), nodes(NODE))
    # The one that she had, sent along with new nodes, would take the place of the newer one, too.
    refused(store, tmp_path, nodes(OTHER) + 2 * tumor(), NAMES, status=409, **mine)
    without = submit(store, tmp_path, nodes(OTHER), ["lymph node"], **mine)
    assert (without["nodes_revision"], without["tumor_revision"]) == (2, None), "she has not seen ben's"
    assert without["tumor_mark"] is None
    seen = {"base_revision": 2, "tumor_base_revision": 2}
    both = submit(store, tmp_path, nodes(NODE) + 2 * other_tumor(1), NAMES, **seen)
    assert (both["nodes_revision"], both["tumor_revision"]) == (3, 3)
    again = submit(store, tmp_path, nodes(NODE) + 2 * other_tumor(1), NAMES, **seen)
    assert (again["unchanged"], again["tumor_revision"]) == (True, 3)
    np.testing.assert_array_equal(stored(store, "gtv"), other_tumor(1))


@pytest.mark.parametrize("base", [0, 99])
def test_the_base_revision_of_a_tumor_alone_is_that_of_the_tumor(store, tmp_path, base):
    submit(store, tmp_path, tumor(), tag="gtv", base_revision=0)
    detail = refused(store, tmp_path, other_tumor(), tag="gtv", status=409, base_revision=base)
    assert f"drawn over revision {base} of it, but revision 1" in detail
    submit(store, tmp_path, other_tumor(), tag="gtv", base_revision=1)
    np.testing.assert_array_equal(stored(store, "gtv"), other_tumor())


def test_a_tumor_that_is_not_stored_yet_has_no_revision_to_be_drawn_over(store, tmp_path):
    assert "but none is stored" in refused(store, tmp_path, tumor(), tag="gtv", status=409, base_revision=3)
    assert "must be the number" in refused(store, tmp_path, tumor(), tag="gtv", tumor_base_revision="1")


def test_a_copied_tumor_is_revision_0_to_those_who_look(tmp_path):
    make_case(tmp_path / "store", "one")
    store = OslnDatastore(tmp_path / "store")
    assert shown_label(store, "one").tumor_revision is None and history(store, "one", "gtv") == []
    report = submit(store, tmp_path, other_tumor(), tag="gtv", tumor_base_revision=0)
    assert report["tumor_revision"] == 2
    assert [(one["revision"], one["by"]) for one in history(store, "one", "gtv")] == [
        (2, "anna"),
        (1, "unknown"),
    ]
    assert shown_label(store, "one").tumor_revision.revision == 2
    with pytest.raises(ValueError, match="'original' has no revisions"):
        history(store, "one", "original")


def opened(store):
    """What a viewer sends back of the tumor that it shows."""
    shown = shown_label(store, "one")
    number = shown.tumor_revision.revision if shown.tumor_revision else 0
    return {"tumor_base_revision": number, "tumor_base_mark": shown.tumor_mark}


@pytest.mark.parametrize("known", [("tumor_base_revision", "tumor_base_mark"), ("tumor_base_revision",)])
@pytest.mark.parametrize("by", ["anna", "ben"])
def test_a_copied_tumor_that_becomes_a_revision_is_still_the_one_that_was_shown(tmp_path, known, by):
    make_case(tmp_path / "store", "one")
    store = OslnDatastore(tmp_path / "store")
    seen = {key: value for key, value in opened(store).items() if key in known}
    first = submit(store, tmp_path, nodes(NODE), ["lymph node"], client_id=by, base_revision=0, **seen)
    assert [(one["revision"], one["source"]) for one in history(store, "one", "gtv")] == [(1, "external")]
    now = opened(store)
    assert now["tumor_base_mark"] == seen.get("tumor_base_mark", now["tumor_base_mark"])
    assert {"tumor_base_" + key: first["tumor_" + key] for key in ("revision", "mark")} == now
    drawn = nodes(OTHER) + 2 * other_tumor()
    report = submit(store, tmp_path, drawn, NAMES, base_revision=1, **seen)
    assert (report["tumor_revision"], report["tumor_mark"]) == (2, opened(store)["tumor_base_mark"])
    np.testing.assert_array_equal(stored(store, "gtv"), other_tumor())


def test_a_contour_that_came_after_the_case_was_opened_is_not_replaced(store, tmp_path):
    seen = opened(store)
    assert seen == {"tumor_base_revision": 0, "tumor_base_mark": ""}
    copied = write(tmp_path / "store" / "labels" / "gtv" / "one.nii.gz", tumor())
    # Before it is a revision, and once somebody has made it one.
    for _ in range(2):
        drawn = {"tag": "gtv", "status": 409, **seen}
        detail = refused(store, tmp_path, other_tumor(), **drawn)
        assert "over revision 0 of it, but revision 1 of it was stored by unknown" in detail
        alone = submit(store, tmp_path, nodes(NODE), ["lymph node"], **seen)
        assert (alone["tumor_revision"], alone["tumor_mark"]) == (None, None)
    np.testing.assert_array_equal(np.asarray(nib.load(copied).dataobj), tumor())
    submit(store, tmp_path, other_tumor(), tag="gtv", **opened(store))
    np.testing.assert_array_equal(stored(store, "gtv"), other_tumor())


def test_a_copied_tumor_that_another_one_takes_the_place_of_is_not_the_one_that_was_shown(tmp_path):
    make_case(tmp_path / "store", "one")
    store = OslnDatastore(tmp_path / "store")
    seen = opened(store)
    write(tmp_path / "store" / "labels" / "gtv" / "one.nii.gz", other_tumor(1))
    refused(store, tmp_path, other_tumor(), tag="gtv", status=409, **seen)
    only = {"tumor_base_mark": seen["tumor_base_mark"]}
    assert "drawn over another one" in refused(store, tmp_path, other_tumor(), tag="gtv", status=409, **only)
    only = {"tumor_base_mark": opened(store)["tumor_base_mark"]}
    submit(store, tmp_path, other_tumor(), tag="gtv", **only)
    np.testing.assert_array_equal(stored(store, "gtv"), other_tumor())


def test_a_tumor_that_is_packed_anew_keeps_its_mark(tmp_path):
    make_case(tmp_path / "store", "one")
    store = OslnDatastore(tmp_path / "store")
    file = tmp_path / "store" / "labels" / "gtv" / "one.nii.gz"
    seen = opened(store)
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), 1, mtime=7))
    assert opened(store) == seen
    submit(store, tmp_path, other_tumor(), tag="gtv", **seen)


def test_a_mark_that_is_no_text_is_refused(store, tmp_path):
    assert "tumor_base_mark must be" in refused(store, tmp_path, tumor(), tag="gtv", tumor_base_mark=1)


def test_a_viewer_that_knows_nodes_alone_replaces_no_tumor_that_came_after_them(store, tmp_path):
    submit(store, tmp_path, nodes(NODE) + 2 * tumor(), NAMES, base_revision=0)
    submit(store, tmp_path, other_tumor(), tag="gtv", client_id="ben")
    drawn = nodes(NODE) + 2 * other_tumor(1)
    detail = refused(store, tmp_path, drawn, NAMES, status=409, base_revision=1)
    assert "with base_revision alone" in detail and "tumor_base_revision" in detail
    assert "edited from revision 0" in refused(
        store, tmp_path, 2 * tumor(), NAMES, status=409, base_revision=0, client_id="ben"
    )
    # Whoever says of no label what was edited is not asked, nor who has stored the tumor.
    submit(store, tmp_path, drawn, NAMES)
    submit(store, tmp_path, nodes(NODE) + 2 * tumor(), NAMES, base_revision=2)
    # What came together was seen together.
    submit(store, tmp_path, nodes(OTHER) + 2 * other_tumor(), NAMES, base_revision=3, client_id="ben")
    np.testing.assert_array_equal(stored(store, "gtv"), other_tumor())


def test_an_outdated_base_revision_is_a_conflict(store, tmp_path):
    submit(store, tmp_path, nodes(NODE), ["lymph node"], base_revision=0)
    detail = refused(store, tmp_path, nodes(OTHER), ["lymph node"], status=409, base_revision=0)
    assert "stored by anna" in detail
    assert "number of the revision" in refused(store, tmp_path, nodes(OTHER), base_revision="one")


def test_a_full_disk_is_told_and_the_former_label_stays(store, tmp_path, monkeypatch):
    submit(store, tmp_path, nodes(NODE), ["lymph node"])

    def no_space(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("osln.store.revisions.write_atomically", no_space)
    assert "former label is untouched" in refused(store, tmp_path, nodes(OTHER), status=507)
    monkeypatch.undo()
    np.testing.assert_array_equal(stored(store), nodes(NODE))


@pytest.mark.parametrize("base", [0, 1])
def test_what_a_full_disk_kept_from_being_stored_whole_may_be_sent_again(store, tmp_path, monkeypatch, base):
    (store.root / "labels" / "gtv" / "one.nii.gz").unlink(missing_ok=True)
    if base:
        submit(store, tmp_path, nodes(NODE), ["lymph node"], base_revision=0)
    both = nodes(NODE, OTHER) + 2 * tumor()
    sent = {"names": ["lymph node", "tumor"], "base_revision": base}
    write_atomically = revisions.write_atomically

    def no_space_for_tumors(path, data):
        if "gtv" in str(path):
            raise OSError(28, "No space left on device")
        write_atomically(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(revisions, "write_atomically", no_space_for_tumors)
        for _ in range(2):
            told = refused(store, tmp_path, both, status=507, **sent)
            assert f"the nodes were stored as revision {base + 1}, the tumor was not" in told
    # Somebody else's nodes, other nodes or other decisions are no repetition.
    assert "stored by anna" in refused(store, tmp_path, both, status=409, **sent | {"client_id": "ben"})
    refused(store, tmp_path, nodes(OTHER) + 2 * tumor(), status=409, **sent)

    report = submit(store, tmp_path, both, **sent)
    assert (report["nodes_revision"], report["tumor"]) == (base + 1, "updated")
    assert report["nodes"]["added"] == 2 - base
    compared = "; compared with revision 1: 1 new, 0 left out, 0 changed, 1 unchanged" if base else ""
    assert report["message"].startswith(f"Stored as revision {base + 1}. 2 nodes{compared}.")
    assert [one["revision"] for one in history(store, "one")] == list(range(base + 1, 0, -1))
    np.testing.assert_array_equal(stored(store, "gtv") > 0, tumor() > 0)
    assert submit(store, tmp_path, both, **sent)["unchanged"]


def test_nodes_in_air_are_stored_with_a_doubt(store, tmp_path):
    report = submit(store, tmp_path, nodes(np.s_[0:3, 0:3, 0:3]), ["lymph node"])
    assert "mirrored" in report["warnings"][0]
    assert "mirrored" in report["message"]


def test_a_prediction_keeps_its_values_and_has_no_revisions(store, tmp_path):
    label = nodes(NODE) + nodes(OTHER, value=3)
    assert submit(store, tmp_path, label, tag="original", model="osln") == {}
    np.testing.assert_array_equal(stored(store, "original"), label)
    assert store.get_label_info("one", "original")["model"] == "osln"
    assert store.revisions("one", "final").head() is None and not list((tmp_path / "store").rglob("0001*"))


def test_a_prediction_on_another_grid_is_refused(store, tmp_path):
    path = write(tmp_path / "p.nii.gz", np.zeros((5, 5, 5), np.uint8))
    with pytest.raises(HTTPException, match="CT's grid"):
        store.save_label("one", str(path), "original", {})


def test_a_mirrored_file_of_the_same_patient_space_is_stored_at_the_right_place(store, tmp_path):
    mirror = np.diag([-1.0, 1, -1, 1])
    mirror[0, 3], mirror[2, 3] = SHAPE[0] - 1, SHAPE[2] - 1
    path = write(tmp_path / "upload.nii.gz", nodes(NODE)[::-1, :, ::-1], AFFINE_LPS @ mirror)
    store.save_label("one", str(path), "final", {})
    np.testing.assert_array_equal(stored(store), nodes(NODE))
    kept = read_volume(store.revisions("one", "final").path(1))
    assert kept.array.sum() == nodes(NODE).sum()


def test_the_report_is_told_once_and_only_for_its_case(store, tmp_path):
    path = write(tmp_path / "upload.nii.gz", nodes(NODE))
    store.save_label("one", str(path), "final", {})
    assert report_for("two") == {}
    store.save_label("one", str(path), "final", {})
    assert json.dumps(report_for("one"))
    assert report_for("one") == {}
