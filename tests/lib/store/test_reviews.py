"""Reviewed labels: decisions stay with their voxels, each node one object, nothing stored twice."""

import json

import numpy as np
import pytest
from fastapi import HTTPException

from lib.store.datastore import OslnDatastore
from lib.store.history import history, restore, stored_review
from lib.store.reviews import review_in_short
from lib.store.shown_labels import shown_label
from lib.store.worklist import in_part, worklist
from osln.imaging.grid import in_file_order
from osln.store.approved import approved_study
from osln.store.layout import companions
from osln.store.parts import partial_cases
from osln.store.revisions import ConflictError
from small.reviews import BESIDE, NAMES, candidate, review, send, touching
from small.store import NODE, make_case, tumor, write
from small.submissions import OTHER, nodes, stored


@pytest.fixture
def store(tmp_path):
    make_case(tmp_path / "store", "one", gtv=False)
    return OslnDatastore(tmp_path / "store")


def shown(store, **options):
    """The label with a value for each node, in the voxel order of the file."""
    found = shown_label(store, "one", instances=True, **options)
    return in_file_order(found.values, found.ct.grid, found.ct.file_grid)


def decided(store, revision=None):
    found = stored_review(store, "one", revision)
    return {one["id"]: (one["state"], one["value"]) for one in found["review"]["candidates"]}


def refused(store, tmp_path, *arguments, status=422, **options):
    with pytest.raises(HTTPException) as caught:
        send(store, tmp_path, *arguments, **options)
    assert caught.value.status_code == status
    return caught.value.detail


def test_touching_nodes_stay_two_with_the_values_that_the_stored_review_names(store, tmp_path):
    report = send(store, tmp_path)
    assert report["nodes"] == {"added": 2, "removed": 0, "changed": 0, "unchanged": 0}
    assert "unchanged" not in report
    wanted = (touching() == 3) + 2 * (touching() == 9)
    np.testing.assert_array_equal(shown(store), wanted)
    np.testing.assert_array_equal(stored(store), touching() > 0)
    assert decided(store) == {"c1": ("accepted", 1), "c2": ("rejected", None), "c3": ("added", 2)}
    found = stored_review(store, "one")
    assert (found["case"], found["revision"], found["by"]) == ("one", 1, "anna")
    assert found["label_sha256"] == store.revisions("one", "final").head().sha256
    assert found["review"]["candidates"][0] == candidate("c1", "accepted", 1)
    assert found["review"]["model"] == review()["model"]


def test_a_node_of_two_parts_is_one_object(store, tmp_path):
    label = nodes(NODE, OTHER, value=3)
    one = review(candidate("c1", "edited", 3))
    report = send(store, tmp_path, label, [{"name": "lymph node 1", "idx": 3}], review=one)
    assert report["nodes"]["added"] == 1
    np.testing.assert_array_equal(shown(store), label > 0)
    assert store.revisions("one", "final").head().counts["nodes"] == 1
    assert decided(store) == {"c1": ("edited", 1)}


def test_the_review_is_in_its_own_file_and_not_in_the_index(store, tmp_path):
    send(store, tmp_path)
    # Quoted: a checksum may hold the two letters.
    assert '"c2"' not in (tmp_path / "store" / "datastore_v2.json").read_text()
    kept = json.loads((tmp_path / "store" / ".osln" / "one" / "0001.review.json").read_text())
    assert len(kept["candidates"]) == 3
    head = store.revisions("one", "final").head()
    assert (head.complete, head.seconds) == (True, 84.2)
    assert head.changes == {"added": 2, "removed": 0, "changed": 0, "unchanged": 0}


def test_training_gets_the_nodes_that_were_accepted_and_no_rejected_one(store, tmp_path):
    send(store, tmp_path)
    study = approved_study(companions(store.root, "one"))
    assert np.unique(study.nodes.array).tolist() == [0, 1, 2]
    assert np.count_nonzero(study.nodes.array) == 36


def test_before_the_first_submission_there_is_no_review(store):
    found = stored_review(store, "one")
    assert (found["revision"], found["by"], found["review"]) == (0, "", None)


def test_a_label_of_slicer_has_no_review(store, tmp_path):
    send(store, tmp_path, nodes(NODE), [{"name": "lymph node", "idx": 1}], review=None)
    assert stored_review(store, "one")["review"] is None
    head = store.revisions("one", "final").head()
    assert (head.complete, head.seconds) == (None, None)


def test_the_same_label_again_stores_nothing(store, tmp_path):
    send(store, tmp_path)
    before = sorted(path.name for path in (store.root / ".osln" / "one").iterdir())
    for base in (1, 0, None):
        again = send(store, tmp_path, base_revision=base, review=review(seconds=3.0))
        assert again["unchanged"] is True and again["revision"] == again["nodes_revision"] == 1
        assert again["message"] == "Nothing has changed since revision 1."
        assert again["nodes"] == {"added": 0, "removed": 0, "changed": 0, "unchanged": 2}
    assert sorted(path.name for path in (store.root / ".osln" / "one").iterdir()) == before


def test_what_comes_back_from_the_server_is_the_same_label(store, tmp_path):
    send(store, tmp_path)
    names = [{"name": "lymph node 1", "idx": 1}, {"name": "lymph node 2", "idx": 2}]
    again = send(store, tmp_path, shown(store), names, review=stored_review(store, "one")["review"])
    assert again["unchanged"] is True


@pytest.mark.parametrize(
    "change",
    [
        {
            "label": nodes(NODE, value=3) + nodes(BESIDE, value=3),
            "review": review(candidate("c1", "edited", 3)),
        },
        {
            "review": review(
                candidate("c1", "edited", 3), candidate("c2", "rejected"), candidate("c3", "added", 9)
            )
        },
        {"review": review(complete=False, undecided="unknown")},
    ],
    ids=["two nodes became one", "another state", "in part"],
)
def test_the_same_voxels_with_other_nodes_or_decisions_are_a_new_revision(store, tmp_path, change):
    send(store, tmp_path)
    label = change.pop("label", None)
    names = NAMES if label is None else NAMES[:1]
    again = send(store, tmp_path, label, names, base_revision=1, **change)
    assert again["revision"] == 2 and "unchanged" not in again


def test_slicer_sends_the_same_mask_and_the_decisions_stay(store, tmp_path):
    send(store, tmp_path)
    mask = (touching() > 0).astype(np.uint8)
    again = send(store, tmp_path, mask, [{"name": "lymph node", "idx": 1}], review=None)
    assert again["unchanged"] is True
    assert decided(store)["c3"] == ("added", 2)


def test_what_lay_there_becomes_the_label_of_the_annotator_who_confirms_it(store, tmp_path):
    write(store.label_path("one", "final"), nodes(NODE))
    confirmed = send(store, tmp_path, nodes(NODE), [{"name": "lymph node", "idx": 1}], review=None)
    assert confirmed["revision"] == 2 and "unchanged" not in confirmed
    assert [one.by for one in store.revisions("one", "final").history()] == ["anna", "unknown"]


def test_a_label_that_was_taken_away_is_stored_again(store, tmp_path):
    send(store, tmp_path)
    store.remove_label("one", "final")
    assert send(store, tmp_path)["revision"] == 2
    np.testing.assert_array_equal(stored(store), touching() > 0)


def test_an_outdated_base_with_other_nodes_is_a_conflict_and_stores_nothing(store, tmp_path):
    send(store, tmp_path, base_revision=0)
    sentence = refused(
        store,
        tmp_path,
        nodes(NODE, value=3),
        NAMES[:1],
        status=409,
        base_revision=0,
        client_id="ben",
        review=review(candidate("c1", "accepted", 3)),
    )
    assert "revision 1 was stored by anna" in sentence
    assert store.revisions("one", "final").head().by == "anna"
    assert not list((store.root / ".osln" / "one").glob("0002*"))


def test_an_empty_label_with_a_review_says_that_there_are_no_nodes_even_beside_a_new_tumor(store, tmp_path):
    label = 255 * tumor()
    names = [{"name": "lymph node", "idx": 1}, {"name": "tumor", "idx": 255}]
    report = send(store, tmp_path, label, names, review=review(candidate("c1", "rejected")))
    assert report["revision"] is not None and report["tumor"] == "updated"
    assert decided(store) == {"c1": ("rejected", None)}
    found = shown_label(store, "one", instances=True)
    assert found.tumor == 255 and set(np.unique(found.values)) == {0, 255}


def test_undecided_ones_count_only_if_the_annotator_chose_that(store, tmp_path):
    left = (candidate("c1", "undecided", 3), candidate("c2", "accepted", 9))
    send(store, tmp_path, review=review(*left, undecided="accepted", complete=False))
    assert decided(store) == {"c1": ("undecided", 1), "c2": ("accepted", 2)}
    for chosen in ("rejected", "unknown"):
        sentence = refused(store, tmp_path, review=review(*left, undecided=chosen))
        assert "candidate c1 is undecided" in sentence and "its value is null" in sentence


def test_values_that_the_label_does_not_have_are_refused_and_nothing_is_stored(store, tmp_path):
    sentence = refused(store, tmp_path, review=review(candidate("c1", "accepted", 4)))
    assert "names the values [4]" in sentence
    assert store.revisions("one", "final").head() is None


def test_a_review_goes_with_nodes(store, tmp_path):
    only_tumor = [{"name": "tumor", "idx": 1}]
    sentence = refused(store, tmp_path, tumor(), only_tumor, review=review(candidate("c1", "rejected")))
    assert "a review goes with a label of nodes" in sentence
    assert not store.label_path("one", "gtv").exists()


def test_a_damaged_review_of_the_head_hinders_no_submission(store, tmp_path):
    send(store, tmp_path)
    (store.root / ".osln" / "one" / "0001.review.json").write_text("{")
    assert send(store, tmp_path)["revision"] == 2
    with pytest.raises(ValueError, match="is not a review"):
        stored_review(store, "one", 1)


def test_a_node_without_a_voxel_is_refused_and_read_where_a_former_version_stored_it(store, tmp_path):
    lost = review(candidate("c1", "accepted", 3), candidate("c2", "accepted"))
    sentence = refused(store, tmp_path, review=lost)
    assert "candidate c2 is accepted, and yet it has no value of the label map" in sentence
    assert store.revisions("one", "final").head() is None

    send(store, tmp_path)
    file = store.root / ".osln" / "one" / "0001.review.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"candidates": lost["candidates"]}))
    assert decided(store) == {"c1": ("accepted", 3), "c2": ("accepted", None)}
    send(store, tmp_path, base_revision=1, review=review(complete=False))
    restore(store, "one", 1, 2, "anna")
    assert decided(store)["c2"] == ("accepted", None)


def test_more_than_254_nodes_have_two_bytes_and_the_tumor_is_the_highest_value(store, tmp_path):
    label = np.zeros(touching().shape, dtype=np.uint16)
    places = np.argwhere(np.ones((20, 18, 1), dtype=bool)) * 2
    for value, (x, y, z) in enumerate(places[:300], start=1):
        label[x, y, z] = value
    names = [{"name": f"lymph node {value}", "idx": value} for value in range(1, 301)]
    send(store, tmp_path, label, names, review=review(candidate("c300", "accepted", 300)))
    found = shown_label(store, "one", instances=True)
    assert (found.values.dtype, found.tumor) == (np.uint16, 65535)
    np.testing.assert_array_equal(shown(store), label)
    assert decided(store) == {"c300": ("accepted", 300)}


def test_a_case_in_part_is_told_in_reply_history_and_index_and_restored_as_one(store, tmp_path):
    left = [candidate("c4", "undecided"), candidate("c5", "undecided")]
    decided = review()["candidates"]
    part = review(*decided, *left, complete=False, undecided="unknown")
    reply = send(store, tmp_path, review=part)
    assert reply["message"].startswith(
        "Stored as revision 1 in part: 2 undecided and all that was not found stay unknown. 2 nodes."
    )
    assert partial_cases(store.root, ["one"]) == ["one"]
    whole = send(store, tmp_path, base_revision=1, review=review(*decided))
    assert "in part" not in whole["message"] and partial_cases(store.root, ["one"]) == []
    restore(store, "one", 1, 2, "anna")
    told = [(one["revision"], one["complete"], one["undecided"]) for one in history(store, "one")]
    assert told == [(3, False, 2), (2, True, None), (1, False, 2)]
    assert partial_cases(store.root, ["one"]) == ["one"]
    (row,) = [entry for entry in worklist(store) if entry["case"] == "one"]
    assert (row["state"], row["undecided"]) == ("partly", 2)


def test_a_case_that_takes_the_name_of_one_that_is_gone_has_decisions_of_its_own(store, tmp_path):
    send(store, tmp_path)
    assert review_in_short(store.root, "one", 1)["seconds"] == 84.2
    store.remove_image("one")
    make_case(tmp_path / "store", "one", gtv=False)
    store.refresh()
    assert review_in_short(store.root, "one", 1) is None
    send(store, tmp_path, review=review(seconds=5.0))

    assert review_in_short(store.root, "one", 1)["seconds"] == 5.0


def test_a_label_without_decisions_after_one_in_part_says_that_the_case_is_complete_now(store, tmp_path):
    part = review(
        candidate("c1", "accepted", 3),
        candidate("c3", "added", 9),
        candidate("c4", "undecided"),
        complete=False,
        undecided="unknown",
    )
    send(store, tmp_path, review=part)
    without = touching() * (touching() == 3)

    reply = send(store, tmp_path, without, NAMES[:1], review=None)

    assert "complete now: revision 1 left 1 undecided" in reply["message"]
    assert partial_cases(store.root, ["one"]) == []
    restore(store, "one", 1, base=2, annotator="anna")
    assert partial_cases(store.root, ["one"]) == ["one"]
    # Of a complete one nothing is said.
    send(store, tmp_path)
    assert "complete now" not in send(store, tmp_path, without, NAMES[:1], review=None)["message"]


def part():
    """As `review`, with a candidate that is left undecided."""
    left = candidate("c4", "undecided")
    return review(*review()["candidates"], left, complete=False, undecided="unknown")


def test_a_label_from_a_backup_is_the_annotators_who_confirms_it_with_its_decisions(store, tmp_path):
    send(store, tmp_path, review=part())
    kept = store.revisions("one", "final")
    copied = kept.final.read_bytes()
    send(store, tmp_path, nodes(OTHER), [{"name": "lymph node", "idx": 1}], review=None)
    kept.final.write_bytes(copied)
    assert stored_review(store, "one")["revision"] == 3
    (row,) = worklist(store)
    assert (row["state"], row["undecided"], row["by"]) == ("partly", 1, "unknown")

    mask = (touching() > 0).astype(np.uint8)
    reply = send(store, tmp_path, mask, [{"name": "lymph node", "idx": 1}], review=None)

    assert reply["revision"] == 4 and "unchanged" not in reply
    told = [(one["by"], one["source"], one["complete"], one["nodes"]) for one in history(store, "one")]
    assert told[:2] == [("anna", "submission", False, 2), ("unknown", "external", False, 2)]
    assert partial_cases(store.root, ["one"]) == ["one"]


def in_list(store):
    """What the list says of the case, also after the next start."""
    rows = [worklist(one)[0] for one in (store, OslnDatastore(store.root))]
    told = [(row["state"], row["by"], row["revision"], row["undecided"]) for row in rows]
    assert told[0] == told[1] and in_part(store, "one") == bool(partial_cases(store.root, ["one"]))
    return told[0]


def test_a_finished_label_that_is_copied_over_a_part_completes_the_case_in_the_list(store, tmp_path):
    send(store, tmp_path, review=part())
    assert in_list(store) == ("partly", "anna", 1, 1)
    write(store.revisions("one", "final").final, (touching() > 0).astype(np.uint8))
    history(store, "one")
    assert in_list(store) == ("approved", "unknown", 2, None)


def test_a_part_from_a_backup_is_told_in_the_list_where_the_first_visit_is_refused(store, tmp_path):
    send(store, tmp_path, review=part())
    final = store.revisions("one", "final").final
    copied = final.read_bytes()
    send(store, tmp_path, nodes(OTHER), [{"name": "lymph node", "idx": 1}], review=None)
    final.write_bytes(copied)
    with pytest.raises(ConflictError, match="revision 3 was stored by unknown"):
        restore(store, "one", number=1, base=2, annotator="carl")
    assert in_list(store) == ("partly", "unknown", 3, 1)


def test_the_next_start_notes_the_newest_revision_that_a_lost_or_full_index_does_not_know(
    store, tmp_path, monkeypatch
):
    send(store, tmp_path, nodes(OTHER), [{"name": "lymph node", "idx": 1}], review=None)
    with monkeypatch.context() as patch:
        patch.setattr(store, "_write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        assert "the index could not be written" in send(store, tmp_path, review=part())["message"]
    assert worklist(store)[0]["revision"] == 1
    for _ in range(2):
        (row,) = worklist(OslnDatastore(store.root))
        assert (row["state"], row["by"], row["revision"]) == ("partly", "anna", 2)
        assert row["at"] == store.revisions("one", "final").head().at
        (store.root / "datastore_v2.json").unlink()

    write(store.revisions("one", "final").final, touching())
    assert worklist(OslnDatastore(store.root))[0]["revision"] == 0, "nobody has visited it"


def test_a_tumor_that_is_sent_with_the_same_nodes_completes_no_case_in_part(store, tmp_path):
    label, names = np.zeros_like(touching()), [{"name": "lymph node 1", "idx": 1}]
    label[1:3, 1:3, 1:3] = 1
    part = review(
        candidate("c1", "accepted", 1), candidate("c4", "undecided"), complete=False, undecided="unknown"
    )
    send(store, tmp_path, label, names, review=part)
    label[-2:, -2:, -2:] = 9

    reply = send(store, tmp_path, label, [*names, {"name": "tumor", "idx": 9}], review=None)

    assert "The tumor was updated" in reply["message"]
    assert partial_cases(store.root, ["one"]) == ["one"]
