"""The weights in use: which network of stage two answers, and that each is loaded once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from osln.published import SERVED_ROWS, Published
from osln.rows.experiments import DEFAULT_ROW, ROWS
from osln.stage_two.answering import reason_not_answering, told
from osln.stage_two.points import measured_points
from osln.weights.model_store import ModelStore
from small import app as small_app
from small import store as small_store

TAGGER = {"name": "LesaNet", "origin": "phantom", "sha256": "ab" * 32, "trained_on": "phantom 1"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    names = ("glnet", "local-ct-pet", "local-ct", "tag")
    return small_app.make_models(tmp_path_factory.mktemp("models"), names)


@pytest.fixture
def published(models):
    return Published(ModelStore(models), models / "shipped" / "lesanet.safetensors")


def test_rows_are_offered_in_the_order_of_the_table_the_default_one_first():
    served = [name for name, row in ROWS.items() if row.served]
    assert served[0] == "osln" and DEFAULT_ROW in served
    assert list(SERVED_ROWS) == [DEFAULT_ROW, *(name for name in served if name != DEFAULT_ROW)]


@pytest.mark.parametrize(
    ("row", "classifier"),
    [
        ("osln", "glnet"),
        ("osln-local-ct-pet", "local-ct-pet"),
        ("osln-local-ct", "local-ct"),
        ("osln-tag", "tag"),
    ],
)
def test_a_row_is_answered_by_its_own_network(published, row, classifier):
    scorer, version, tagger, warnings = published.scorer(SERVED_ROWS[row], "cpu")
    assert scorer.classifier.name == version.network == classifier and warnings == []
    assert (tagger is not None) == (classifier in ("glnet", "tag"))


@pytest.mark.parametrize("row", ["osln", "osln-tag"])
def test_rows_that_read_tags_have_a_stand_in_without_a_tagger(tmp_path, row):
    small_store.publish(tmp_path, ("glnet", "local-ct-pet", "tag"))
    scorer, _, tagger, warnings = Published(ModelStore(tmp_path)).scorer(SERVED_ROWS[row], "cpu")
    assert scorer.classifier.name == "local-ct-pet" and tagger is None and len(warnings) == 1


def test_a_row_of_stage_one_has_no_second_stage(published):
    assert published.answering(SERVED_ROWS["lf-stratified"]) is None


def test_requests_at_the_same_time_load_a_network_once(published, monkeypatch):
    made = []

    def slow(checkpoint, device):
        made.append(threading.get_ident())
        time.sleep(0.05)
        return small_store.BrightnessScores(checkpoint, device)

    monkeypatch.setattr("osln.published.CandidateScorer", slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: published.scorer(SERVED_ROWS["osln"], "cpu")[0], range(4)))
    assert len(made) == 1 and all(one is found[0] for one in found)


def test_points_are_those_of_the_paper_three_first_and_nothing_that_is_no_score():
    stored = {"6": 0.1, "0.5": 0.9, "3": 0.5, "1": None, "2": 1.5, "0.15": 0.5}
    assert list(measured_points(stored).items()) == [("3", 0.5), ("0.5", 0.9), ("6", 0.1)]
    assert measured_points({"0.15": 0.5}) == {}


def test_the_reason_says_whose_tags_and_what_to_do(published):
    version = published.versions()["glnet"]
    assert "there is no tagger" in reason_not_answering("glnet", version, None)
    assert "no weights for glnet" in reason_not_answering("glnet", None, TAGGER)
    assert reason_not_answering("glnet", version, published.tagger.describe()) is None
    reason = reason_not_answering("glnet", version, TAGGER)
    assert f"the tagger in use is {told(TAGGER)}" in reason and "phantom 0" in reason
    assert told(TAGGER) == "LesaNet (phantom, trained on phantom 1, abababababab)" and told(None) == "none"
