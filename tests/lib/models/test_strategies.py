import hashlib
import time
from collections import Counter
from pathlib import Path

import pytest

from lib.models import strategies


def build() -> dict:
    return strategies.build(10, lambda: [])


class Store:
    """The methods of a datastore that strategies use."""

    def __init__(self, stamps: dict[str, float]) -> None:
        self.stamps = stamps
        self.put_aside, self.held = {}, {}

    def get_image_uri(self, case: str) -> str:
        return __file__

    def get_unlabeled_images(self) -> list[str]:
        return list(self.stamps)

    def skipped(self) -> dict:
        return self.put_aside

    def leases(self) -> dict:
        return self.held

    def get_image_info(self, case: str) -> dict:
        return {"strategy": {"random": {"ts": self.stamps[case]}}} if self.stamps[case] else {}


def test_first_is_the_first_by_name_and_says_so():
    sample = build()["first"]({"strategy": "first"}, Store({"p10": 0, "p02": 0, "p1": 0}))
    assert sample["id"] == "p02" and sample["why"] == "first by name of 3 without an approved label"
    alone = build()["first"]({"strategy": "first"}, Store({"p1": 0}))
    assert alone["why"] == "first by name, the last one without an approved label"


@pytest.mark.parametrize("name", ["first", "random"])
def test_a_sample_has_the_checksum_of_its_ct_by_which_slicer_knows_a_file_of_the_same_name(name):
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert build()[name]({"strategy": name}, Store({"p1": 0}))["checksum"] == f"SHA256:{digest}"


@pytest.mark.parametrize("name", ["first", "random"])
def test_what_others_work_on_and_what_was_skipped_comes_last_and_says_why(name):
    store = Store({"a": 0, "b": 0, "c": 0})
    store.put_aside, store.held = {"a": {}}, {"b": {"by": "Bert"}}

    def proposed(annotator):
        found = build()[name].propose({"client_id": annotator}, store)
        return found.case, found.why

    assert proposed("Anna")[0] == "c" and "without an approved label" in proposed("Anna")[1]
    del store.stamps["c"]
    assert proposed("Anna") == ("b", "somebody works on it; no other case is without an approved label")
    assert proposed("Bert")[0] == "b" and "somebody" not in proposed("Bert")[1]
    del store.stamps["b"]
    assert proposed("Bert") == ("a", "skipped before; no other case is without an approved label")


@pytest.mark.parametrize("name", ["first", "random"])
def test_nothing_is_left_when_every_case_has_an_approved_label(name):
    assert not build()[name]({"strategy": name}, Store({}))


def test_random_reports_the_weight_of_the_case_it_chose():
    now = time.time()
    for _ in range(5):
        sample = build()["random"]({"strategy": "random"}, Store({"new": now - 999, "old": now}))
        assert sample["weight"] == pytest.approx({"new": 0.999, "old": 0.001}[sample["id"]], abs=1e-5)


@pytest.mark.parametrize("ts", [1e15, -1, "now", None, ["x"]])
def test_random_takes_a_stamp_that_tells_no_time_for_none(ts):
    store = Store({"stamped": ts or [], "just now": time.time()})
    chosen = Counter(build()["random"]({"strategy": "random"}, store)["id"] for _ in range(50))
    assert chosen["stamped"] > 45
    assert strategies.handed_out(store, "stamped", "first") == 0.0


def test_random_prefers_what_was_handed_out_long_ago_and_never_gives_up():
    now = time.time()
    store = Store({"just now": now, "also": now, "an hour ago": now - 3600})
    chosen = Counter(build()["random"]({"strategy": "random"}, store)["id"] for _ in range(200))
    assert chosen["an hour ago"] > 190
    assert build()["random"]({"strategy": "random"}, Store({"just now": now}))["id"] == "just now"
