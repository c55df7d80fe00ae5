"""The JSON of a prediction lies beside its label map; that of a former version in the index."""

import json

from osln.store.predictions import prediction_path, read_prediction, remove_prediction, write_prediction


def test_a_prediction_is_read_as_it_was_written_until_it_is_removed(tmp_path):
    assert read_prediction(tmp_path, "p1") is None
    write_prediction(tmp_path, "p1", {"candidates": [1.5]})
    assert read_prediction(tmp_path, "p1") == {"candidates": [1.5]}
    remove_prediction(tmp_path, "p1")
    remove_prediction(tmp_path, "p1")
    assert read_prediction(tmp_path, "p1") is None


def test_one_in_the_index_is_read_as_long_as_there_is_no_other(tmp_path):
    entry = {"labels": {"original": {"info": {"params": {"candidates": []}}}}}
    (tmp_path / "datastore_v2.json").write_text(json.dumps({"objects": {"p1": entry}}))
    assert read_prediction(tmp_path, "p1") == {"candidates": []}
    assert read_prediction(tmp_path, "p2") is None
    write_prediction(tmp_path, "p1", {"candidates": [1]})
    assert read_prediction(tmp_path, "p1") == {"candidates": [1]}


def test_a_damaged_file_is_none(tmp_path):
    write_prediction(tmp_path, "p1", {})
    prediction_path(tmp_path, "p1").write_text("[1]")
    assert read_prediction(tmp_path, "p1") is None
