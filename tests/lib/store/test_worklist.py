"""The worklist and the figures of quality, from a store's index and the decisions beside its revisions."""

import json
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from lib.pacs.datastore import PacsDatastore
from lib.store import quality, reviews
from lib.store.datastore import OslnDatastore
from lib.store.found import in_short
from lib.store.worklist import to_complete, worklist
from osln.dicom.served.uids import study_uid
from osln.pacs.cases import TOLD
from osln.store.leases import take_lease
from osln.store.predictions import prediction_path
from osln.store.skips import skip
from small.store import SHAPE, make_case, write

DECIDED = {
    "complete": False,
    "undecided": "unknown",
    "seconds": 60.0,
    "model": {"name": "osln", "operating_point": "3 FP per patient (score >= 0.4000)"},
    "candidates": [
        {"state": "accepted", "origin": "model", "seconds": 2.0, "score": 0.4},
        {"state": "edited", "origin": "model", "seconds": 4.0, "score": 0.9},
        {"state": "rejected", "origin": "model", "seconds": None, "score": 0.5},
        {"state": "rejected", "origin": "model", "seconds": None, "score": 0.1},
        {"state": "undecided", "origin": "model", "score": 0.8},
        {"state": "added", "origin": "click", "seconds": 6.0},
    ],
}


@pytest.fixture
def store(tmp_path):
    """Cases `new`, `found`, `left` (skipped), `mine` (in review), `part` and `done`."""
    for case in ("new", "found", "left", "mine", "part", "done"):
        make_case(tmp_path, case, pet=False)
    reviews._known.clear()
    store = OslnDatastore(tmp_path)
    result = {"candidates": [{"score": 0.5, "kept": True}, {"score": 1.0, "kept": False}], "model": "osln"}
    store.register_label("found", "original", {"model": "osln", "found": in_short(result)})
    for case in ("part", "done", "mine"):
        store.register_label(case, "final", {"by": "Anna", "revision": 1})
    folder = tmp_path / ".osln" / "part"
    folder.mkdir(parents=True)
    (folder / "0001.review.json").write_text(json.dumps(DECIDED))
    take_lease(tmp_path, "mine", "Bert")
    # Her own, from before she submitted.
    take_lease(tmp_path, "done", "Anna", now=datetime.now(timezone.utc) - timedelta(minutes=5))
    skip(tmp_path, "left", "Anna", "metal")
    return store


def test_every_state_says_who_made_it_so(store):
    told = {entry["case"]: entry for entry in worklist(store)}

    assert list(told) == sorted(told)
    assert {case: (entry["state"], entry["by"]) for case, entry in told.items()} == {
        "new": ("new", None),
        "found": ("found", "osln"),
        "left": ("skipped", "Anna"),
        "mine": ("in review", "Bert"),
        "part": ("partly", "Anna"),
        "done": ("approved", "Anna"),
    }
    assert told["left"]["skip_reason"] == "metal" and told["mine"]["lease"]["by"] == "Bert"
    assert (told["part"]["seconds"], told["part"]["revision"], told["new"]["revision"]) == (60.0, 1, 0)
    found = told["found"]
    assert (found["candidates"], found["kept"], found["doubt"]) == (2, 1, 1.0)
    assert told["new"]["candidates"] is None and told["new"]["doubt"] is None
    assert found["study_uid"].startswith("2.25.") and found["name"] == "found"


def test_a_skip_is_told_whatever_the_state_is(store):
    for case in ("mine", "part"):
        skip(store.root, case, "Anna", "metal")
    told = {entry["case"]: (entry["state"], entry["skip_reason"]) for entry in worklist(store)}

    assert told["mine"] == ("in review", "metal") and told["part"] == ("partly", "metal")
    assert told["left"] == ("skipped", "metal") and told["new"] == ("new", None)


def test_cases_of_one_study_are_told_apart(store, monkeypatch):
    monkeypatch.setattr(OslnDatastore, "names_in", PacsDatastore.names_in)
    about = {"found": ("3", "lung kernel"), "left": ("2", ""), "new": ("", ""), "done": ("4", "alone")}
    for case, (number, described) in about.items():
        study = "1.2" if case == "done" else "1.1"
        told = {"StudyInstanceUID": study, "SeriesInstanceUID": f"1.3.{case}"}
        more = {"SeriesNumber": number, "SeriesDescription": described}
        store._datastore.objects[case].image.info.update(told | more)
    told = {entry["case"]: entry for entry in worklist(store)}

    assert told["found"]["series"] == "series 3, lung kernel" and told["left"]["series"] == "series 2"
    assert told["new"]["series"] == "1.3.new" and told["done"]["series"] is told["mine"]["series"] is None
    assert told["left"]["series_uid"] == "1.3.left" and told["mine"]["series_uid"] is None


def test_notes_never_call_a_case_of_a_folder_by_the_name_of_another(store):
    # An index of a former version, which took them.
    noted = {"PatientID": "left", "StudyInstanceUID": study_uid("left"), "SeriesDescription": "left"}
    store._datastore.objects["found"].image.info.update(noted)
    row = next(one for one in worklist(store) if one["case"] == "found")
    assert (row["name"], row["study_uid"], row["series"]) == ("found", study_uid("found"), None)
    assert not noted.keys() & store.get_image_info("found").keys()


@pytest.mark.parametrize("wrong", [["x"], {"a": 1}, 7, True, 1.5])
def test_whatever_is_noted_of_a_pacs_case_and_its_label_the_list_is_told(store, monkeypatch, wrong):
    monkeypatch.setattr(OslnDatastore, "names_in", PacsDatastore.names_in)
    entry = store._datastore.objects["part"]
    entry.image.info.update(dict.fromkeys(TOLD, wrong))
    entry.labels["final"].info.update(dict.fromkeys(("by", "client_id", "misfit"), wrong))
    told = {row["case"]: row for row in worklist(store)}
    assert len(told) == 6 and (told["part"]["name"], told["part"]["by"]) == ("part", None)
    json.dumps(told)


def test_a_case_in_part_says_what_is_left_and_whether_it_is_needed(store):
    told = {entry["case"]: entry for entry in worklist(store)}
    assert {case: entry["undecided"] for case, entry in told.items() if entry["undecided"] is not None} == {
        "part": 1
    }
    assert not any(entry["to_complete"] for entry in told.values()) and to_complete(store) == []
    for split in ("validation", "test", "train"):
        (store.root / ".osln" / "splits.json").write_text(
            json.dumps({"seed": 0, "cases": {"part": split, "done": split, "gone": split}})
        )
        needed = [entry["case"] for entry in worklist(store) if entry["to_complete"]]
        assert needed == to_complete(store) == ([] if split == "train" else ["part"])


def test_what_undecided_ones_count_as_was_told_so_the_case_is_complete():
    assert reviews.in_short({**DECIDED, "undecided": "rejected"})["complete"]
    assert not reviews.in_short(DECIDED)["complete"]


def test_a_prediction_of_a_former_version_lies_in_the_index_and_is_counted_too(store):
    params = {"candidates": [{"score": 0.5}], "model": "ct"}
    store.register_label("new", "original", {"model": "ct", "params": params})
    entry = next(one for one in worklist(store) if one["case"] == "new")
    assert (entry["state"], entry["candidates"], entry["kept"]) == ("found", 1, 1)


@pytest.mark.parametrize(
    "notes",
    [
        {"params": "x"},
        {"params": {"candidates": 5, "warnings": "y"}},
        {"found": "x", "params": {"candidates": [1, {"score": "high"}]}},
        {"found": {"kept": 1}, "ts": 1e300, "model": ["osln"]},
        {"found": {"candidates": 1, "kept": 1, "doubt": 1, "warnings": 7}},
        {"found": {"candidates": 1, "kept": 1, "doubt": 1, "warnings": None}},
        {"found": {"candidates": 1, "kept": 1, "doubt": 1, "warnings": [7]}},
        {"found": {"candidates": [1], "kept": "1", "doubt": None, "warnings": []}},
    ],
)
def test_whatever_the_notes_of_a_prediction_say_the_list_is_told(store, notes):
    store._datastore.objects["found"].labels["original"].info = notes
    told = {row["case"]: row for row in worklist(store)}
    assert told["found"]["state"] == "found" and told["found"]["warnings"] == [] and told["new"]
    json.dumps(told)


def test_a_damaged_table_of_splits_or_review_hides_no_case(store):
    (store.root / ".osln" / "splits.json").write_text("{")
    (store.root / ".osln" / "part" / "0001.review.json").write_text("{")
    told = {entry["case"]: entry for entry in worklist(store)}
    assert len(told) == 6 and told["part"]["state"] == "approved" and told["part"]["split"] is None


def test_quality_counts_what_was_decided(store):
    (case,) = quality.reviewed_cases(store)
    assert (case["case"], case["by"], case["seconds"], case["model"]) == ("part", "Anna", 60.0, "osln")
    assert case["node_seconds"] == [2.0, 4.0, 6.0]
    # Of the model 5, of which 3 were offered and decided: 2 accepted.
    assert [case[key] for key in quality.COUNTED] == [5, 1, 1, 2, 1, 3, 2, 1]

    told = quality.summary([case, {**case, "seconds": 20.0, "node_seconds": [], "agreed": 0, "added": 0}])
    assert (told["cases"], told["seconds_per_case"], told["seconds_per_node"]) == (2, 40.0, 4.0)
    assert told["agreement"] == pytest.approx(2 / 6) and told["added_per_case"] == 0.5


def test_without_an_operating_point_it_is_not_known_what_was_offered():
    told = reviews.in_short({**DECIDED, "model": None})
    assert (told["offered"], told["agreed"], told["accepted"]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("point", "offered"),
    [
        ("kept from score >= 0.41.", 2),
        ("score >= .41, moved", 2),
        ("(score >= 1e-3)", 4),
        ("score >= 5E-1", 2),
        ("score >= 1", 0),
        # What cannot be read is not known.
        ("score >= 0.4.1", 0),
        ("score >= 0,1", 0),
        ("score >= .", 0),
        ("score >= ...", 0),
        ("score >= 1e", 0),
        ("score >= -1", 0),
        ("score >= \u00b2", 0),
        (7, 0),
    ],
)
def test_the_threshold_is_read_from_any_text_or_not_known(point, offered):
    told = reviews.in_short({**DECIDED, "model": {"name": "osln", "operating_point": point}})
    assert told["offered"] == offered


@pytest.mark.parametrize(
    "damage",
    [
        {"model": "osln"},
        {"candidates": 3},
        {"candidates": [{"origin": "model", "state": "accepted", "score": "x"}]},
    ],
)
def test_one_review_that_cannot_be_read_takes_no_figure_of_the_others_with_it(store, damage):
    folder = store.root / ".osln" / "done"
    folder.mkdir(exist_ok=True)
    (folder / "0001.review.json").write_text(json.dumps({**DECIDED, **damage}))

    assert [one["case"] for one in quality.reviewed_cases(store)] == ["part"]
    assert {entry["case"]: entry["state"] for entry in worklist(store)}["done"] == "approved"


def test_seconds_are_those_of_decisions_that_took_some():
    candidates = [{"state": "accepted", "origin": "model", "seconds": 4.0, "score": 0.9}] * 3
    undecided = [
        {"state": "undecided", "origin": "model", "seconds": seconds, "score": 0.1} for seconds in (0.0, 1.0)
    ]
    unlooked = [{"state": "rejected", "origin": "model", "seconds": 0.0, "score": 0.2}]
    told = reviews.in_short({**DECIDED, "candidates": candidates + undecided * 10 + unlooked, "seconds": 0.0})
    assert told["node_seconds"] == [4.0] * 3
    # Whoever sends none has not measured any.
    assert told["seconds"] is None


@pytest.mark.parametrize(
    ("origin", "state", "added"),
    [
        ("annotator", "added", 1),
        ("click", "accepted", 1),
        ("click", "edited", 1),
        ("annotator", "rejected", 0),
        ("click", "undecided", 0),
        ("model", "accepted", 0),
    ],
)
def test_nodes_that_were_added_are_nodes(origin, state, added):
    told = reviews.in_short({**DECIDED, "candidates": [{"state": state, "origin": origin}]})
    assert told["added"] == added


def test_without_decisions_there_is_no_figure():
    told = quality.summary([])
    assert told["cases"] == 0
    assert {told[key] for key in ("seconds_per_case", "seconds_per_node", "agreement", "added_per_case")} == {
        None
    }


def test_a_stored_prediction_leaves_a_line_in_the_index_and_is_told_whole(store):
    label = write(store.root.parent / "label.nii.gz", np.zeros(SHAPE, np.uint8))
    names = {"lymph node": 1}
    candidates = [{"id": 1, "score": 0.5, "kept": True, "center_mm": [0.0, 0.0, 0.0]}]
    result = {"candidates": candidates, "label_names": names, "model": "osln"}
    store.save_label("new", str(label), "original", {"model": "osln", "params": result})

    kept = store.json()["objects"]["new"]["labels"]["original"]["info"]
    assert kept["params"] == {"label_names": names} and kept["found"]["candidates"] == 1
    assert store.get_label_info("new", "original")["params"] == result
    store.save_label("new", str(label), "original", {})
    assert "params" not in store.get_label_info("new", "original"), "that of the former prediction is gone"
    store.remove_label("new", "original")
    assert not prediction_path(store.root, "new").exists()
